"""Losses of class centres against naive loops in float64 and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import (
    finite_differences,
    gradient_of,
    naive_centre_likelihood,
    naive_margin_cosines,
    naive_polarization,
    naive_shared_cross_entropy,
    naive_targets,
)

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process

BATCH, BITS = 6, 5
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def classes(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of the batch (one, two, four and no label), centres of four classes, and what ties become."""
    labels = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 1]], float)
    centres = rng.choice([-1.0, 1.0], (4, BITS))
    centres[:, 0], centres[:, 1] = (1, 1, -1, -1), (-1, -1, 1, 1)  # ties, for ties of either sign
    return labels, centres, np.array([1.0, -1.0, 1.0, -1.0, 1.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_centre_targets(classes, dtype):
    labels, centres, ties = classes
    expected = naive_targets(labels, centres, ties)
    found = losses.centre_targets(*(tf.constant(x.astype(dtype)) for x in (labels, centres, ties)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(expected[0], centres[0])  # one label: its centre
    np.testing.assert_array_equal(expected[1, :2], [1, -1])  # ties
    np.testing.assert_array_equal(expected[3], np.zeros(BITS))  # no label


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [
        (losses.centre_likelihood, naive_centre_likelihood),
        (lambda u, t: losses.polarization(u, t, 0.7), lambda u, t: naive_polarization(u, t, 0.7)),
    ],
    ids=["centre_likelihood", "polarization"],
)
def test_terms_of_centres(rng, classes, dtype, ours, naive):
    targets = naive_targets(*classes)
    u = rng.normal(0, 1.5, (BATCH, BITS))
    found = float(ours(tf.constant(u.astype(dtype)), tf.constant(targets.astype(dtype))))
    assert found == pytest.approx(naive(u, targets), rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = gradient_of(lambda x: ours(x, tf.constant(targets)), u)
        np.testing.assert_allclose(slope, finite_differences(lambda x: naive(x, targets), u), rtol=1e-5, atol=1e-7)
        assert np.abs(slope[3]).max() == 0 and np.abs(slope).max() > 0.1  # the row without a label


def test_centre_likelihood_of_large_outputs():
    """Far on the wrong side an entry costs 2 |z|, where 1 - (tanh z + 1) / 2 is 0 and its logarithm infinite."""
    found = losses.centre_likelihood(tf.constant([[500.0, 500.0]]), tf.constant([[-1.0, 1.0]]))
    assert float(found) == pytest.approx(1000.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_margin_cosines_and_their_cross_entropy(rng, classes, dtype):
    labels, centres, _ = classes
    u = rng.normal(0, 1.5, (BATCH, BITS))

    def ours(x: tf.Tensor) -> tf.Tensor:
        return losses.margin_cosines(x, tf.cast(centres, x.dtype), tf.cast(labels, x.dtype), 0.3, 4.0)

    def loss(x: np.ndarray) -> float:
        return naive_shared_cross_entropy(naive_margin_cosines(x, centres, labels, 0.3, 4.0), labels)

    expected = naive_margin_cosines(u, centres, labels, 0.3, 4.0)
    found = ours(tf.constant(u.astype(dtype)))
    np.testing.assert_allclose(found, expected, rtol=50 * TOLERANCE[dtype], atol=TOLERANCE[dtype])
    entropy = float(losses.shared_cross_entropy(found, tf.constant(labels.astype(dtype))))
    assert entropy == pytest.approx(loss(u), rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = gradient_of(lambda x: losses.shared_cross_entropy(ours(x), tf.constant(labels)), u)
        np.testing.assert_allclose(slope, finite_differences(loss, u), rtol=1e-5, atol=1e-7)
        assert np.abs(slope[3]).max() == 0  # no label


def test_cosines_of_a_row_of_zeros():
    zeros, centre, label = np.zeros((1, 3)), np.ones((1, 3)), np.ones((1, 1))
    found = losses.margin_cosines(*(tf.constant(x) for x in (zeros, centre, label)), 0.3, 4.0)
    assert found.numpy() == pytest.approx(-1.2)
    assert np.isfinite(
        gradient_of(lambda x: tf.reduce_sum(losses.margin_cosines(x, centre, label, 0.3, 4.0)), zeros)
    ).all()


def test_shared_cross_entropy_of_large_logits():
    """The classes' logits differ by 1,000: exp overflows, the loss is that difference shared by two labels."""
    found = losses.shared_cross_entropy(tf.constant([[1000.0, 0.0, 0.0]]), tf.constant([[1.0, 1.0, 0.0]]))
    assert float(found) == pytest.approx(500.0)


def test_labelled_rows(classes):
    assert float(losses.labelled_rows(tf.constant(classes[0]))) == BATCH - 1
    assert float(losses.labelled_rows(tf.zeros([3, 2]))) == 1
