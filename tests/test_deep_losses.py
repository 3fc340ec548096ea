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


# Class centres and classifiers


def naive_targets(labels, centres, ties) -> np.ndarray:
    targets = np.zeros((len(labels), centres.shape[1]))
    for i, row in enumerate(labels):
        for k in range(centres.shape[1]):
            summed = sum(centres[j, k] for j in range(len(row)) if row[j])
            if row.any():
                targets[i, k] = ties[k] if summed == 0 else math.copysign(1.0, summed)
    return targets


def naive_centre_likelihood(u, targets) -> float:
    """Binary cross entropy by its definition, with the two probabilities of each bit."""
    total = 0.0
    for row, wanted in zip(u, targets, strict=True):
        for x, t in zip(row, wanted, strict=True):
            p = (math.tanh(x) + 1) / 2
            if t:
                total -= (t + 1) / 2 * math.log(p) + (1 - (t + 1) / 2) * math.log(1 - p)
    return total


def naive_tanh_distance(u) -> float:
    return sum((abs(math.tanh(x)) - 1) ** 2 for row in u for x in row)


def naive_polarization(u, targets, margin: float) -> float:
    return sum(
        max(0.0, margin - t * x) for a, b in zip(u, targets, strict=True) for x, t in zip(a, b, strict=True) if t
    )


def naive_margin_cosines(u, centres, labels, margin: float, scale: float) -> np.ndarray:
    logits = np.zeros((len(u), len(centres)))
    for i, row in enumerate(u):
        for j, centre in enumerate(centres):
            length = math.sqrt(sum(x * x for x in row)) * math.sqrt(len(centre))
            cosine = sum(float(a) * float(b) for a, b in zip(row, centre, strict=True)) / length
            logits[i, j] = scale * (cosine - margin * labels[i][j])
    return logits


def naive_shared_cross_entropy(logits, labels) -> float:
    total = 0.0
    for row, own in zip(logits, labels, strict=True):
        normalizer = math.log(sum(math.exp(x) for x in row))
        for x, y in zip(row, own, strict=True):
            if y:
                total += (normalizer - x) / sum(own)
    return total


def naive_cubic_distance(u) -> float:
    return sum(abs(abs(x) - 1) ** 3 for row in u for x in row)


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
    found = deep_losses.centre_targets(*(tf.constant(x.astype(dtype)) for x in (labels, centres, ties)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(expected[0], centres[0])  # one label: its centre
    np.testing.assert_array_equal(expected[1, :2], [1, -1])  # ties
    np.testing.assert_array_equal(expected[3], np.zeros(BITS))  # no label


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [
        (deep_losses.centre_likelihood, naive_centre_likelihood),
        (lambda u, t: deep_losses.polarization(u, t, 0.7), lambda u, t: naive_polarization(u, t, 0.7)),
    ],
    ids=["centre_likelihood", "polarization"],
)
def test_terms_of_centres(rng, classes, dtype, ours, naive):
    targets = naive_targets(*classes)
    u = rng.normal(0, 1.5, (BATCH, BITS))
    found = float(ours(tf.constant(u.astype(dtype)), tf.constant(targets.astype(dtype))))
    assert found == pytest.approx(naive(u, targets), rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = _slope(lambda x: ours(x, tf.constant(targets)), u)
        np.testing.assert_allclose(slope, finite_differences(lambda x: naive(x, targets), u), rtol=1e-5, atol=1e-7)
        assert np.abs(slope[3]).max() == 0 and np.abs(slope).max() > 0.1  # the row without a label


def test_centre_likelihood_of_large_outputs():
    """Far on the wrong side an entry costs 2 |z|, where 1 - (tanh z + 1) / 2 is 0 and its logarithm infinite."""
    found = deep_losses.centre_likelihood(tf.constant([[500.0, 500.0]]), tf.constant([[-1.0, 1.0]]))
    assert float(found) == pytest.approx(1000.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [(deep_losses.tanh_distance, naive_tanh_distance), (deep_losses.cubic_distance, naive_cubic_distance)],
)
def test_pulls_to_signs(rng, dtype, ours, naive):
    u = rng.normal(0, 1.5, (BATCH, BITS))
    assert float(ours(tf.constant(u.astype(dtype)))) == pytest.approx(naive(u), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(_slope(ours, u), finite_differences(naive, u), rtol=1e-5, atol=1e-7)
    assert np.isfinite(_slope(ours, np.array([[0.0, 1.0, -1.0]]))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_margin_cosines_and_their_cross_entropy(rng, classes, dtype):
    labels, centres, _ = classes
    u = rng.normal(0, 1.5, (BATCH, BITS))

    def ours(x: tf.Tensor) -> tf.Tensor:
        return deep_losses.margin_cosines(x, tf.cast(centres, x.dtype), tf.cast(labels, x.dtype), 0.3, 4.0)

    def loss(x: np.ndarray) -> float:
        return naive_shared_cross_entropy(naive_margin_cosines(x, centres, labels, 0.3, 4.0), labels)

    expected = naive_margin_cosines(u, centres, labels, 0.3, 4.0)
    found = ours(tf.constant(u.astype(dtype)))
    np.testing.assert_allclose(found, expected, rtol=50 * TOLERANCE[dtype], atol=TOLERANCE[dtype])
    entropy = float(deep_losses.shared_cross_entropy(found, tf.constant(labels.astype(dtype))))
    assert entropy == pytest.approx(loss(u), rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = _slope(lambda x: deep_losses.shared_cross_entropy(ours(x), tf.constant(labels)), u)
        np.testing.assert_allclose(slope, finite_differences(loss, u), rtol=1e-5, atol=1e-7)
        assert np.abs(slope[3]).max() == 0  # no label


def test_cosines_of_a_row_of_zeros():
    zeros, centre, label = np.zeros((1, 3)), np.ones((1, 3)), np.ones((1, 1))
    found = deep_losses.margin_cosines(*(tf.constant(x) for x in (zeros, centre, label)), 0.3, 4.0)
    assert found.numpy() == pytest.approx(-1.2)
    assert np.isfinite(_slope(lambda x: tf.reduce_sum(deep_losses.margin_cosines(x, centre, label, 0.3, 4.0)), zeros)).all()


def test_shared_cross_entropy_of_large_logits():
    """The classes' logits differ by 1,000: exp overflows, the loss is that difference shared by two labels."""
    found = deep_losses.shared_cross_entropy(tf.constant([[1000.0, 0.0, 0.0]]), tf.constant([[1.0, 1.0, 0.0]]))
    assert float(found) == pytest.approx(500.0)


def test_labelled_rows(classes):
    assert float(deep_losses.labelled_rows(tf.constant(classes[0]))) == BATCH - 1
    assert float(deep_losses.labelled_rows(tf.zeros([3, 2]))) == 1
