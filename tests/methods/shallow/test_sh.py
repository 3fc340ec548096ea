import numpy as np
import pytest

from dseh_tf.methods.shallow.sh import SH, sinusoid_modes
from tests.methods.toy import clusters


@pytest.mark.parametrize("bits", [1, 4, 9, 40])
@pytest.mark.parametrize("span", [[3.0, 1.0, 0.2], [2.0], [1.0, 1.3, 1.7, 0.9]])
def test_modes_are_the_lowest_frequencies_of_the_formula(bits, span):
    """Against a plain enumeration of every direction and mode number that could matter."""
    everything = sorted((m * np.pi / s) ** 2 for s in span for m in range(1, bits + 1))
    modes = sinusoid_modes(np.array(span), bits)
    found = (modes[:, 1] * np.pi / np.array(span)[modes[:, 0]]) ** 2
    np.testing.assert_allclose(found, everything[:bits], rtol=1e-12)
    assert len({tuple(m) for m in modes}) == bits and modes[:, 1].min() == 1


def test_codes_are_products_of_sines_over_all_directions():
    """The published form: a product over directions, the other directions having mode 0 and so a factor of 1."""
    data, bits = clusters(), 10
    fitted = SH(bits=bits, normalise=False).fit(data)
    train = data.train.features.astype(np.float64)
    _, _, right = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    basis = right[:bits].T
    basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(bits)])
    low = ((train - train.mean(axis=0)) @ basis).min(axis=0)
    span = np.ptp((train - train.mean(axis=0)) @ basis, axis=0)
    x = (data.query.features - train.mean(axis=0)) @ basis
    table = np.zeros((bits, bits))
    candidates = sorted(((m / span[d]) ** 2, d, m) for d in range(bits) for m in range(1, bits + 1))[:bits]
    for row, (_, d, m) in enumerate(candidates):
        table[row, d] = m
    for bit in range(bits):
        value = np.prod(np.sin(table[bit] * np.pi / span * (x - low) + np.pi / 2), axis=1)
        clear = np.abs(value) > 1e-4
        np.testing.assert_array_equal(fitted.encode(data.query)[clear, bit] > 0, value[clear] > 0)
