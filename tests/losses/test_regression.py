"""Losses against targets, against naive loops in float64 and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import finite_differences, gradient_of, value_and_gradient

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process

BATCH, BITS, CLASSES = 6, 6, 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_label_regression(rng):
    y, predicted = (rng.random((BATCH, CLASSES)) < 0.4).astype(np.float64), rng.random((BATCH, CLASSES))

    def naive(p):
        total = 0.0
        for i in range(BATCH):
            for k in range(CLASSES):
                total += 0.5 * (y[i, k] - p[i, k]) ** 2
        return total

    value, gradient = value_and_gradient(lambda p: losses.label_regression(p, tf.constant(y)), predicted)
    assert value == pytest.approx(naive(predicted), rel=1e-12)
    np.testing.assert_allclose(gradient, finite_differences(naive, predicted), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("logit_scale", "smoothing"), [(10.0, 0.999), (1.0, 1.0)])
def test_code_cross_entropy(rng, logit_scale, smoothing):
    logits = 0.3 * rng.standard_normal((BATCH, BITS))
    signs = np.where(rng.random((BATCH, BITS)) < 0.5, -1.0, 1.0)

    def naive(z):
        total = 0.0
        for i in range(BATCH):
            for k in range(BITS):
                target = smoothing if signs[i, k] > 0 else 0.0
                p = 1.0 / (1.0 + math.exp(-logit_scale * z[i, k]))
                total -= target * math.log(p) + (1.0 - target) * math.log(1.0 - p)
        return total

    value, gradient = value_and_gradient(
        lambda z: losses.code_cross_entropy(z, tf.constant(signs), logit_scale, smoothing), logits
    )
    assert value == pytest.approx(naive(logits), rel=1e-9)
    np.testing.assert_allclose(gradient, finite_differences(naive, logits), rtol=1e-5, atol=1e-6)


def test_code_cross_entropy_settles_and_does_not_overflow():
    settled = math.log(0.999 / 0.001) / 10.0
    _, gradient = value_and_gradient(
        lambda z: losses.code_cross_entropy(z, tf.constant([[1.0]], tf.float64)), np.array([[settled]])
    )
    assert gradient[0, 0] == pytest.approx(0.0, abs=1e-9)
    value, gradient = value_and_gradient(
        lambda z: losses.code_cross_entropy(z, tf.constant([[-1.0]])), np.array([[100.0]], np.float32)
    )
    assert value == pytest.approx(1000.0)
    assert np.isfinite(gradient).all()


def test_code_regression(rng):
    u, h = rng.normal(0, 1, (2, BATCH, BITS))
    expected = sum((a - b) ** 2 for x, y in zip(u, h, strict=True) for a, b in zip(x, y, strict=True))
    assert float(losses.code_regression(tf.constant(u), tf.constant(h))) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient_of(lambda x: losses.code_regression(x, tf.constant(h)), u), 2 * (u - h))
