"""The loss of discriminators against its definition and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import finite_differences, gradient_of

pytestmark = pytest.mark.usefixtures("tf")


def naive(logits: np.ndarray, source: float) -> float:
    total = 0.0
    for (x,) in logits:
        p = 1.0 / (1.0 + math.exp(-x))
        total -= source * math.log(p) + (1 - source) * math.log(1 - p)
    return total


@pytest.mark.parametrize("source", [0.0, 1.0])
def test_source_cross_entropy(source):
    logits = 2 * np.random.default_rng(1).standard_normal((7, 1))
    found = losses.source_cross_entropy(tf.constant(logits), source)
    assert found.dtype == tf.float64 and float(found) == pytest.approx(naive(logits, source), rel=1e-12)
    slope = gradient_of(lambda x: losses.source_cross_entropy(x, source), logits)
    np.testing.assert_allclose(slope, finite_differences(lambda x: naive(x, source), logits), rtol=1e-6, atol=1e-8)
