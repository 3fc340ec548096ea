"""The rivals' loss terms against naive loops in float64 and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import deep_losses
from tests.test_losses import finite_differences, log_one_plus_exp, naive_similarity

pytestmark = pytest.mark.usefixtures("tf")

BATCH, BITS = 6, 5
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def naive_sign_distance(u) -> float:
    return sum((x - (1.0 if x >= 0 else -1.0)) ** 2 for row in u for x in row)


def naive_laplacian(u) -> float:
    return sum(math.log(math.cosh(abs(x) - 1.0)) for row in u for x in row)


def naive_weighted(theta, similar, weight: float) -> tuple[float, float]:
    loss = count = 0.0
    for i, row in enumerate(theta):
        for j, value in enumerate(row):
            w = weight if similar[i][j] else 1.0
            loss += w * (log_one_plus_exp(value) - similar[i][j] * value)
            count += w
    return loss, count


def naive_hinge(codes, positives, negatives, valid, margin: float) -> float:
    total = 0.0
    for t in range(len(positives)):
        for i in range(len(codes)):
            if valid[t][i]:
                near = sum((a - b) ** 2 for a, b in zip(codes[i], codes[positives[t][i]], strict=True))
                far = sum((a - b) ** 2 for a, b in zip(codes[i], codes[negatives[t][i]], strict=True))
                total += max(0.0, near - far + margin)
    return total


def _slope(function, x: np.ndarray) -> np.ndarray:
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [(deep_losses.sign_distance, naive_sign_distance), (deep_losses.laplacian_distance, naive_laplacian)],
)
def test_quantization(rng, dtype, ours, naive):
    u = rng.normal(0, 1.5, (BATCH, BITS))
    u[0, 0] = 0.0
    expected = naive(u)
    assert float(ours(tf.constant(u.astype(dtype)))) == pytest.approx(expected, rel=TOLERANCE[dtype])
    u[0, 0] = 0.3  # off the kink
    np.testing.assert_allclose(_slope(ours, u), finite_differences(naive, u), rtol=1e-5, atol=1e-7)


def test_a_zero_output_is_drawn_to_plus_one():
    assert _slope(deep_losses.sign_distance, np.zeros((1, 1))) == pytest.approx(-2.0)


def test_laplacian_distance_of_large_outputs():
    """cosh(1000) overflows even in float64; its logarithm is 999 - log 2 and a hair."""
    assert float(deep_losses.laplacian_distance(tf.constant([[1000.0]]))) == pytest.approx(999 - math.log(2), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weighted_likelihood(rng, dtype):
    theta = rng.normal(0, 4, (4, BATCH))
    similar = (rng.random((4, BATCH)) < 0.4).astype(float)
    expected = naive_weighted(theta, similar, 5.0)
    found = deep_losses.weighted_likelihood(tf.constant(theta.astype(dtype)), tf.constant(similar.astype(dtype)), 5.0)
    np.testing.assert_allclose([float(x) for x in found], expected, rtol=TOLERANCE[dtype])
    slope = _slope(lambda t: deep_losses.weighted_likelihood(t, tf.constant(similar), 5.0)[0], theta)
    np.testing.assert_allclose(
        slope, finite_differences(lambda t: naive_weighted(t, similar, 5.0)[0], theta), rtol=1e-5, atol=1e-7
    )


def test_weighted_likelihood_is_linear_far_out():
    """Beyond 15 a dissimilar pair costs its theta, a similar one nothing: what thuml's threshold stands for."""
    theta = tf.constant([[40.0, 40.0]])
    summed, weights = deep_losses.weighted_likelihood(theta, tf.constant([[0.0, 1.0]]), 5.0)
    assert float(summed) == pytest.approx(40.0) and float(weights) == 6.0


def test_continuation():
    """1 at first, then steps of 200: sqrt(1 + .005 t), 7.14 at t = 10,000."""
    beta = [float(deep_losses.continuation(tf.constant(t, tf.int64), 0.005, 0.5, 200)) for t in (0, 199, 200, 399, 10_000)]
    np.testing.assert_allclose(beta, [1, 1, math.sqrt(2), math.sqrt(2), math.sqrt(51)], rtol=1e-6)


def test_piecewise_threshold():
    p = tf.constant([0.1, 0.39, 0.41, 0.5, 0.59, 0.61, 0.9])
    np.testing.assert_allclose(deep_losses.piecewise_threshold(p, 0.1), [0, 0, 0.41, 0.5, 0.59, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(deep_losses.piecewise_threshold(p, 0.5), p)
    np.testing.assert_array_equal(
        _slope(lambda x: tf.reduce_sum(deep_losses.piecewise_threshold(x, 0.1)), p.numpy()), [0, 0, 1, 1, 1, 0, 0]
    )


def test_triplets_are_what_they_should_be(rng):
    labels = (rng.random((40, 5)) < 0.3).astype(float)
    labels[0] = 1  # similar to all that have a label
    labels[1:, 0] = 1 * (labels[1:].sum(1) == 0) + labels[1:, 0]
    labels[39] = 0  # similar to none, not even itself
    similar = naive_similarity(labels, labels)
    seed = tf.constant([3, 4], tf.int64)
    positives, negatives, valid = (x.numpy() for x in deep_losses.sample_triplets(tf.constant(similar), seed, 200))
    assert valid[:, 39].max() == 0
    drawn = {i: (set(), set()) for i in range(40)}
    for t in range(200):
        for i in range(40):
            if valid[t, i]:
                assert positives[t, i] != i and similar[i, positives[t, i]] == 1 and similar[i, negatives[t, i]] == 0
                drawn[i][0].add(positives[t, i])
                drawn[i][1].add(negatives[t, i])
    row = 7
    assert valid[0, row]
    # 200 draws meet nearly every candidate of a row.
    assert len(drawn[row][0]) > 0.8 * (similar[row].sum() - 1)
    assert len(drawn[row][1]) > 0.8 * (similar[row] == 0).sum()
    again = deep_losses.sample_triplets(tf.constant(similar), seed, 200)
    other = deep_losses.sample_triplets(tf.constant(similar), seed + 1, 200)
    np.testing.assert_array_equal(again[0], positives)
    assert not np.array_equal(other[0], positives)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_triplet_hinge(rng, dtype):
    codes = rng.random((BATCH, BITS))
    positives, negatives = rng.integers(0, BATCH, (2, 3, BATCH))
    valid = (rng.random((3, BATCH)) < 0.8).astype(float)
    triplets = (tf.constant(positives), tf.constant(negatives), tf.constant(valid.astype(dtype)))
    expected = naive_hinge(codes, positives, negatives, valid, 0.4)
    found = deep_losses.triplet_hinge(tf.constant(codes.astype(dtype)), *triplets, 0.4)
    assert float(found) == pytest.approx(expected, rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = _slope(lambda x: deep_losses.triplet_hinge(x, *triplets, 0.4), codes)
        differences = finite_differences(lambda x: naive_hinge(x, positives, negatives, valid, 0.4), codes)
        np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-7)


def test_code_regression(rng):
    u, h = rng.normal(0, 1, (2, BATCH, BITS))
    expected = sum((a - b) ** 2 for x, y in zip(u, h, strict=True) for a, b in zip(x, y, strict=True))
    assert float(deep_losses.code_regression(tf.constant(u), tf.constant(h))) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(_slope(lambda x: deep_losses.code_regression(x, tf.constant(h)), u), 2 * (u - h))
