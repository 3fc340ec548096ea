import numpy as np
import pytest
import scipy.linalg

from dseh_tf.errors import InputError
from dseh_tf.methods.shallow.base import Preparation
from dseh_tf.methods.shallow.itq_cca import ITQCCA, canonical_directions
from tests.methods.toy import clusters


@pytest.mark.parametrize("several", [False, True])
def test_correlations_are_those_of_qr_and_svd(several):
    """Without a ridge worth speaking of: singular values between orthonormal bases of the two centred column spaces."""
    data = clusters(several=several)
    fitted = ITQCCA(bits=4, ridge=1e-10, normalise=False).fit(data)
    x = data.train.features - data.train.features.mean(axis=0, dtype=np.float64)
    y = data.train.labels - data.train.labels.mean(axis=0)
    expected = np.linalg.svd(np.linalg.qr(x)[0].T @ scipy.linalg.orth(y), compute_uv=False)
    found = fitted.results["correlations"]
    assert len(found) == len(expected) == (4 if several else 3)  # single labels sum to one: rank c - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    scores = x @ fitted.learned["canonical"]
    np.testing.assert_allclose(scores.T @ scores / len(x), np.eye(len(found)), atol=1e-5)


def test_directions_solve_the_generalised_eigenproblem_with_its_ridge():
    data, ridge = clusters(several=True), 0.3
    preparation = Preparation(data.train.features, True)
    directions, correlations = canonical_directions(data.train.features, preparation, data.train.labels, ridge)
    x = preparation.centred(data.train.features)
    y = data.train.labels - data.train.labels.mean(axis=0)
    n = len(x)
    cxx, cyy, cxy = x.T @ x / n, y.T @ y / n, x.T @ y / n
    cxx += ridge * np.trace(cxx) / len(cxx) * np.eye(len(cxx))
    cyy += ridge * np.trace(cyy) / len(cyy) * np.eye(len(cyy))
    left = cxy @ np.linalg.inv(cyy) @ cxy.T
    np.testing.assert_allclose(left @ directions, cxx @ directions * correlations**2, atol=1e-10)
    values = scipy.linalg.eigh(left, cxx, eigvals_only=True)[::-1]
    np.testing.assert_allclose(correlations**2, values[:4], atol=1e-10)


def test_scaling_multiplies_directions_by_the_correlation():
    data = clusters()
    fits = {s: ITQCCA(bits=3, scaling=s).fit(data) for s in ("none", "sqrt", "linear")}
    r = np.array(fits["none"].results["correlations"])
    np.testing.assert_allclose(fits["sqrt"].learned["directions"], fits["none"].learned["directions"] * r)
    np.testing.assert_allclose(fits["linear"].learned["directions"], fits["none"].learned["directions"] * r**2)
    assert (np.diff(fits["sqrt"].results["quantisation_error"]) <= 1e-12).all()


def test_more_bits_than_classes_is_said():
    fitted = ITQCCA(bits=9).fit(clusters(several=True))
    assert fitted.results["notes"] == [
        "9 bits from the 4 canonical directions of 4 classes, all there are: rotated as a tight frame over all bits"
    ]


def test_bad_settings_and_labels():
    data = clusters()
    with pytest.raises(InputError, match=r"found scaling 'cubic', expected one of sqrt, linear, none"):
        ITQCCA(bits=4, scaling="cubic").fit(data)
    data.train.labels[:] = [1, 0, 0, 0]
    with pytest.raises(InputError, match="train labels: found the same labels in every row"):
        ITQCCA(bits=4).fit(data)
