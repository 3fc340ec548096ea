"""CNNH's first stage against a plain loop over entries, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("tf")


def _labels(rng: np.random.Generator, rows: int, classes: int = 4) -> np.ndarray:
    labels = (rng.random((rows, classes)) < 0.3).astype(np.float32)
    labels[np.arange(rows), rng.integers(classes, size=rows)] = 1
    return labels


def _loss(h: np.ndarray, similar: np.ndarray) -> float:
    return float(np.square(h.astype(np.float64) @ h.T - h.shape[1] * similar).sum())


def naive_codes(labels: np.ndarray, bits: int, seed: int, sweeps: int) -> np.ndarray:
    """The paper's Newton steps, entry by entry, with every sum written out."""
    n = len(labels)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xC0DE5]))
    h = rng.uniform(-1, 1, (n, bits))
    similar = np.array([[1.0 if (labels[i] * labels[j]).any() else -1.0 for j in range(n)] for i in range(n)])
    for _ in range(sweeps):
        for i in rng.permutation(n):
            for k in range(bits):
                slope = sum(h[j, k] * (h[i] @ h[j] - bits * similar[i, j]) for j in range(n) if j != i)
                curvature = sum(h[j, k] ** 2 for j in range(n) if j != i)
                h[i, k] = np.clip(h[i, k] - slope / curvature, -1, 1)
    return np.where(h >= 0, 1.0, -1.0)


def test_one_row_at_a_time_is_the_plain_algorithm(rng):
    from dseh_tf.methods.deep.cnnh import similarity_codes

    labels = _labels(rng, 30)
    found = similarity_codes(labels, 6, seed=2, sweeps=2, block=1)
    np.testing.assert_array_equal(found, naive_codes(labels, 6, seed=2, sweeps=2))


@pytest.mark.parametrize("single", [True, False])
def test_blocks_come_as_far(rng, single):
    """On 600 rows, blocks of 32 reach the loss of single rows within 2 %, far below random codes."""
    from dseh_tf.methods.deep.cnnh import similarity_codes

    labels = np.eye(5, dtype=np.float32)[rng.integers(5, size=600)] if single else _labels(rng, 600)
    similar = np.where(labels @ labels.T > 0.5, 1.0, -1.0)
    plain, blocks = (_loss(similarity_codes(labels, 16, 0, 5, block), similar) for block in (1, 32))
    assert blocks < 1.02 * plain
    assert blocks < 0.7 * _loss(np.sign(rng.standard_normal((600, 16))), similar)


def test_like_rows_get_like_codes(rng):
    """Two classes: every code is its class's own, and the classes' codes are opposite."""
    from dseh_tf.methods.deep.cnnh import similarity_codes

    labels = np.eye(2, dtype=np.float32)[rng.integers(2, size=200)]
    codes = similarity_codes(labels, 12, seed=1)
    products = codes @ codes.T / 12
    np.testing.assert_array_equal(products, np.where(labels @ labels.T > 0.5, 1, -1))


def test_deterministic(rng):
    from dseh_tf.methods.deep.cnnh import similarity_codes

    labels = _labels(rng, 100)
    np.testing.assert_array_equal(similarity_codes(labels, 8, 3), similarity_codes(labels, 8, 3))
    assert not np.array_equal(similarity_codes(labels, 8, 3), similarity_codes(labels, 8, 4))
