"""The optimiser against Adam as its paper's section 2 orders the computation, in float64, and against Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dseh_tf.training.optimizers import build_optimizer

SHAPES = [(3, 4), (5,)]


@pytest.fixture
def gradients(rng) -> list[list[np.ndarray]]:
    """Of 20 steps, from 1e-9 (where epsilon matters) to 1."""
    sizes = np.logspace(-9, 0, 20)
    return [[(size * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES] for size in sizes]


def trained(tf, optimizer, variables, gradients) -> list[np.ndarray]:
    for step, parts in enumerate(gradients):
        optimizer.learning_rate.assign(1e-3 / (1 + step))
        optimizer.apply([tf.constant(part) for part in parts], variables)
    return [np.asarray(v) for v in variables]


def test_is_adam_with_epsilon_outside_the_root(tf, gradients):
    variables = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    found = trained(tf, build_optimizer("adam", variables), variables, gradients)
    for index, shape in enumerate(SHAPES):
        x, m, v = (np.zeros(shape) for _ in range(3))
        for step, parts in enumerate(gradients):
            g, t = parts[index].astype(np.float64), step + 1
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            x -= 1e-3 / t * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(found[index], x, rtol=5e-5)


def test_equals_keras(tf, gradients):
    ours, theirs = ([tf.Variable(tf.zeros(shape)) for shape in SHAPES] for _ in range(2))
    reference = keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    reference.build(theirs)
    for a, b in zip(
        trained(tf, build_optimizer("adam", ours), ours, gradients),
        trained(tf, reference, theirs, gradients),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=5e-5)


def test_replicas_stay_equal(tf, gradients):
    """Each of two replicas hands in half of the gradient; both copies take the whole step."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    alone = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    expected = trained(tf, build_optimizer("adam", alone), alone, gradients)
    with strategy.scope():
        mirrored = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
        optimizer = build_optimizer("adam", mirrored)

    @tf.function
    def step(*parts):
        strategy.run(lambda *halves: optimizer.apply([h / 2 for h in halves], mirrored), args=parts)

    for index, parts in enumerate(gradients):
        optimizer.learning_rate.assign(1e-3 / (1 + index))
        step(*map(tf.constant, parts))
    for variable, value in zip(mirrored, expected, strict=True):
        for copy in strategy.experimental_local_results(variable):
            np.testing.assert_allclose(copy, value, rtol=1e-6)
