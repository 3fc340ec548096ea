"""Losses of pairs against naive loops in float64 and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.losses import pairs
from tests.losses.naive import (
    finite_differences,
    gradient_of,
    naive_likelihood,
    naive_similarity,
    naive_weighted,
    value_and_gradient,
)

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process

ROWS, BATCH, WIDTH, BITS, CLASSES = 23, 5, 7, 6, 4
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def labels(rng: np.random.Generator, rows: int) -> np.ndarray:
    return (rng.random((rows, CLASSES)) < 0.4).astype(np.float64)


def test_similarity_is_one_where_a_label_is_shared(rng):
    rows, batch = labels(rng, ROWS), labels(rng, BATCH)
    rows[0] = 0  # no label: similar to nothing
    rows[1] = batch[0] = 1  # several labels shared count once
    expected = naive_similarity(rows, batch)
    assert 0 < expected.mean() < 1
    for dtype in (np.float32, np.float64):
        found = losses.similarity(tf.constant(rows.astype(dtype)), tf.constant(batch.astype(dtype)))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [0.5, 1.0, 0.3])
def test_inner_products(rng, scale):
    memory, outputs = rng.standard_normal((ROWS, WIDTH)), rng.standard_normal((BATCH, WIDTH))
    found = losses.inner_products(tf.constant(memory), tf.constant(outputs), scale).numpy()
    for i in range(ROWS):
        for j in range(BATCH):
            assert found[i, j] == pytest.approx(scale * math.fsum(memory[i] * outputs[j]), rel=1e-12, abs=1e-12)


SETTINGS = [(0.5, 0.999), (0.5, 0.8), (1.0, 1.0), (0.5, 5.0)]  # (scale of theta, what multiplies S) of the presets


def plain(bank, outputs, similar, scale, similarity):
    return losses.pair_likelihood(losses.inner_products(bank, outputs, scale), similarity * similar)


@pytest.fixture(params=["one block", "blocks", "rows"])
def block_rows(request, monkeypatch) -> str:
    """Blocks of the whole bank, of a number of rows that does not divide it, of one row."""
    rows = {"one block": ROWS, "blocks": 4, "rows": 1}[request.param]
    monkeypatch.setattr(pairs, "_BLOCK_BYTES", rows * WIDTH * 8)
    return request.param


@pytest.mark.parametrize(("scale", "similarity"), SETTINGS)
@pytest.mark.parametrize("form", [plain, losses.bank_likelihood])
def test_likelihood_against_loops_and_finite_differences(rng, form, scale, similarity, block_rows):
    bank, outputs = rng.standard_normal((ROWS, WIDTH)), rng.standard_normal((BATCH, WIDTH))
    similar = naive_similarity(labels(rng, ROWS), labels(rng, BATCH))

    def loss(x):
        return form(tf.constant(bank), x, tf.constant(similar), scale, similarity)

    value, gradient = value_and_gradient(loss, outputs)
    assert value == pytest.approx(naive_likelihood(bank, outputs, similar, scale, similarity), rel=1e-12)
    slope = finite_differences(lambda x: naive_likelihood(bank, x, similar, scale, similarity), outputs)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scale", "similarity"), SETTINGS)
def test_bank_form_equals_plain_form(rng, dtype, scale, similarity, block_rows):
    bank, outputs = (rng.standard_normal(shape).astype(dtype) for shape in ((ROWS, WIDTH), (BATCH, WIDTH)))
    similar = naive_similarity(labels(rng, ROWS), labels(rng, BATCH)).astype(dtype)
    expected = value_and_gradient(lambda x: 3.0 * plain(tf.constant(bank), x, similar, scale, similarity), outputs)
    for held in (tf.constant(bank), tf.Variable(bank, trainable=False)):
        found = value_and_gradient(
            lambda x, held=held: 3.0 * losses.bank_likelihood(held, x, tf.constant(similar), scale, similarity), outputs
        )
        assert found[0] == pytest.approx(expected[0], rel=TOLERANCE[dtype])
        np.testing.assert_allclose(found[1], expected[1], rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scale", "similarity"), SETTINGS)
def test_weights_count_the_rows_of_the_bank(rng, dtype, scale, similarity, block_rows):
    """Against the plain form on a bank in which each row is as often as its weight says."""
    bank, outputs = (rng.standard_normal(shape).astype(dtype) for shape in ((ROWS, WIDTH), (BATCH, WIDTH)))
    similar = naive_similarity(labels(rng, ROWS), labels(rng, BATCH)).astype(dtype)
    counts = rng.integers(0, 5, ROWS)
    rows = np.repeat(np.arange(ROWS), counts)
    expected = value_and_gradient(lambda x: plain(bank[rows], x, similar[rows], scale, similarity), outputs)
    weights = tf.constant(counts, dtype)
    for held in (tf.constant(bank), tf.Variable(bank, trainable=False)):
        found = value_and_gradient(
            lambda x, held=held: losses.bank_likelihood(held, x, tf.constant(similar), scale, similarity, weights),
            outputs,
        )
        assert found[0] == pytest.approx(expected[0], rel=TOLERANCE[dtype])
        np.testing.assert_allclose(found[1], expected[1], rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("batch", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_sums_over_large_batches(rng, batch, size):
    """Products of many sigmoids, close to 1/2 and close to 1, neither underflow nor lose digits."""
    bank, outputs = (size * rng.standard_normal(shape).astype(np.float32) for shape in ((ROWS, WIDTH), (batch, WIDTH)))
    similar = (rng.random((ROWS, batch)) < 0.4).astype(np.float32)
    theta = 0.5 * bank.astype(np.float64) @ outputs.T
    expected = float((np.logaddexp(0.0, theta) - 0.8 * similar * theta).sum())
    found = losses.bank_likelihood(tf.constant(bank), tf.constant(outputs), tf.constant(similar), 0.5, 0.8)
    assert float(found) == pytest.approx(expected, rel=2e-6)


def test_bank_form_reads_what_the_step_has_written(rng, block_rows):
    bank = rng.standard_normal((ROWS, WIDTH))
    outputs, rows = rng.standard_normal((BATCH, WIDTH)), rng.choice(ROWS, BATCH, replace=False)
    similar = naive_similarity(labels(rng, ROWS), labels(rng, BATCH))
    variable = tf.Variable(bank, trainable=False)

    @tf.function
    def step(x):
        variable.scatter_nd_update(rows[:, None].astype(np.int32), x)
        return losses.bank_likelihood(variable, x, tf.constant(similar), 0.5, 0.999)

    bank[rows] = outputs
    assert float(step(tf.constant(outputs))) == pytest.approx(naive_likelihood(bank, outputs, similar, 0.5, 0.999))


def test_the_bank_is_a_constant(rng):
    bank, outputs = tf.Variable(rng.standard_normal((ROWS, WIDTH))), tf.Variable(rng.standard_normal((BATCH, WIDTH)))
    similar = tf.ones((ROWS, BATCH), tf.float64)
    with tf.GradientTape() as tape:
        loss = losses.bank_likelihood(bank, outputs, similar, 0.5, 0.999)
    to_bank, to_outputs = tape.gradient(loss, [bank, outputs])
    assert to_bank is None
    assert to_outputs is not None


@pytest.mark.parametrize("form", [plain, losses.bank_likelihood])
@pytest.mark.parametrize("theta", [1000.0, -1000.0])
@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_no_overflow_on_unbounded_features(form, theta, similar):
    outputs, bank = np.full((1, 2), theta, np.float32), np.ones((1, 2), np.float32)
    value, gradient = value_and_gradient(
        lambda x: form(tf.constant(bank), x, tf.constant([[similar]], tf.float32), 0.5, 0.999), outputs
    )
    assert value == pytest.approx(max(theta, 0.0) - 0.999 * similar * theta, rel=1e-5)
    sigmoid = 1.0 if theta > 0 else 0.0
    np.testing.assert_allclose(gradient, np.full((1, 2), 0.5 * (sigmoid - 0.999 * similar)), atol=1e-6)


def test_similarity_of_five_pulls_without_end():
    """ImageNet's S = 5: a similar pair's slope stays at or below -4, so its theta grows to what tanh codes allow."""
    theta = tf.Variable([[-30.0, 0.0, 30.0]])
    with tf.GradientTape() as tape:
        loss = losses.pair_likelihood(theta, tf.constant([[5.0, 5.0, 5.0]]))
    np.testing.assert_allclose(tape.gradient(loss, theta), [[-5.0, -4.5, -4.0]], atol=1e-6)
    assert float(loss) == pytest.approx(150.0 + math.log(2.0) + 30.0 - 150.0, rel=1e-6)


def test_similarity_below_one_settles_at_its_logit():
    for similarity in (0.999, 0.8):
        theta = tf.Variable([[math.log(similarity / (1 - similarity))]], dtype=tf.float64)
        with tf.GradientTape() as tape:
            loss = losses.pair_likelihood(theta, tf.constant([[similarity]], tf.float64))
        assert float(tape.gradient(loss, theta)[0, 0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weighted_likelihood(rng, dtype):
    theta = rng.normal(0, 4, (4, BATCH))
    similar = (rng.random((4, BATCH)) < 0.4).astype(float)
    expected = naive_weighted(theta, similar, 5.0)
    found = losses.weighted_likelihood(tf.constant(theta.astype(dtype)), tf.constant(similar.astype(dtype)), 5.0)
    np.testing.assert_allclose([float(x) for x in found], expected, rtol=TOLERANCE[dtype])
    slope = gradient_of(lambda t: losses.weighted_likelihood(t, tf.constant(similar), 5.0)[0], theta)
    np.testing.assert_allclose(
        slope, finite_differences(lambda t: naive_weighted(t, similar, 5.0)[0], theta), rtol=1e-5, atol=1e-7
    )


def test_weighted_likelihood_is_linear_far_out():
    """Beyond 15 a dissimilar pair costs its theta, a similar one nothing: what thuml's threshold stands for."""
    theta = tf.constant([[40.0, 40.0]])
    summed, weights = losses.weighted_likelihood(theta, tf.constant([[0.0, 1.0]]), 5.0)
    assert float(summed) == pytest.approx(40.0) and float(weights) == 6.0


def test_squared_likelihood(rng):
    """Half the squares of what `naive_likelihood` adds up, pair by pair; without overflow where theta is large."""
    memory, outputs = rng.standard_normal((ROWS, WIDTH)), rng.standard_normal((BATCH, WIDTH))
    similar = naive_similarity(labels(rng, ROWS), labels(rng, BATCH))

    def naive(x: np.ndarray) -> float:
        pairs = [
            naive_likelihood(memory[i : i + 1], x[j : j + 1], similar[i : i + 1, j : j + 1], 0.5, 0.999)
            for i in range(ROWS)
            for j in range(BATCH)
        ]
        return sum(value**2 for value in pairs) / 2

    def loss(x: tf.Tensor) -> tf.Tensor:
        theta = losses.inner_products(tf.constant(memory), x, 0.5)
        return losses.squared_likelihood(theta, 0.999 * tf.constant(similar))

    value, slope = value_and_gradient(loss, outputs)
    assert value == pytest.approx(naive(outputs), rel=1e-11)
    np.testing.assert_allclose(slope, finite_differences(naive, outputs), rtol=1e-5, atol=1e-7)
    large = losses.squared_likelihood(tf.constant([[1000.0, -1000.0]]), tf.constant([[0.999, 0.0]]))
    assert float(large) == pytest.approx(0.5, rel=1e-3)
