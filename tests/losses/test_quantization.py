"""Distances from codes against naive loops in float64 and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import (
    finite_differences,
    gradient_of,
    naive_cubic_distance,
    naive_laplacian,
    naive_sign_distance,
    naive_tanh_distance,
    value_and_gradient,
)

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process

BATCH, BITS = 6, 5
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_absolute_distance(rng, reduction):
    codes = np.tanh(rng.standard_normal((BATCH, BITS)))

    def naive(h):
        total = 0.0
        for row in h:
            distance = sum(abs(1.0 - abs(float(bit))) for bit in row)
            total += distance / len(row) if reduction == "mean" else distance
        return total

    value, gradient = value_and_gradient(lambda h: losses.absolute_distance(h, reduction), codes)
    assert value == pytest.approx(naive(codes), rel=1e-12)
    np.testing.assert_allclose(gradient, finite_differences(naive, codes), rtol=1e-6, atol=1e-8)
    assert float(losses.absolute_distance(tf.sign(tf.constant(codes)), reduction)) == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [(losses.sign_distance, naive_sign_distance), (losses.laplacian_distance, naive_laplacian)],
)
def test_distances(rng, dtype, ours, naive):
    u = rng.normal(0, 1.5, (BATCH, BITS))
    u[0, 0] = 0.0
    expected = naive(u)
    assert float(ours(tf.constant(u.astype(dtype)))) == pytest.approx(expected, rel=TOLERANCE[dtype])
    u[0, 0] = 0.3  # off the kink
    np.testing.assert_allclose(gradient_of(ours, u), finite_differences(naive, u), rtol=1e-5, atol=1e-7)


def test_a_zero_output_is_drawn_to_plus_one():
    assert gradient_of(losses.sign_distance, np.zeros((1, 1))) == pytest.approx(-2.0)


def test_laplacian_distance_of_large_outputs():
    """cosh(1000) overflows even in float64; its logarithm is 999 - log 2 and a hair."""
    assert float(losses.laplacian_distance(tf.constant([[1000.0]]))) == pytest.approx(999 - math.log(2), rel=1e-6)


def test_continuation():
    """1 at first, then steps of 200: sqrt(1 + .005 t), 7.14 at t = 10,000."""
    beta = [float(losses.continuation(tf.constant(t, tf.int64), 0.005, 0.5, 200)) for t in (0, 199, 200, 399, 10_000)]
    np.testing.assert_allclose(beta, [1, 1, math.sqrt(2), math.sqrt(2), math.sqrt(51)], rtol=1e-6)


def test_piecewise_threshold():
    p = tf.constant([0.1, 0.39, 0.41, 0.5, 0.59, 0.61, 0.9])
    np.testing.assert_allclose(losses.piecewise_threshold(p, 0.1), [0, 0, 0.41, 0.5, 0.59, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(losses.piecewise_threshold(p, 0.5), p)
    np.testing.assert_array_equal(
        gradient_of(lambda x: tf.reduce_sum(losses.piecewise_threshold(x, 0.1)), p.numpy()), [0, 0, 1, 1, 1, 0, 0]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "naive"),
    [(losses.tanh_distance, naive_tanh_distance), (losses.cubic_distance, naive_cubic_distance)],
)
def test_pulls_to_signs(rng, dtype, ours, naive):
    u = rng.normal(0, 1.5, (BATCH, BITS))
    assert float(ours(tf.constant(u.astype(dtype)))) == pytest.approx(naive(u), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(gradient_of(ours, u), finite_differences(naive, u), rtol=1e-5, atol=1e-7)
    assert np.isfinite(gradient_of(ours, np.array([[0.0, 1.0, -1.0]]))).all()
