"""Clipping, behind the sum over replicas; a loss that is not finite; time over several sessions."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.devices.replicas import make_strategy, replica_id
from dseh_tf.errors import InputError


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize(("clip", "clip_norm"), [(0.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.5, 0.6), (0.0, 100.0)])
def test_gradients_are_clipped_as_one_device_would(tf, replicas, clip, clip_norm):
    from dseh_tf.training.trainer import VariableGroup, apply_gradients, build_optimizer

    strategy = make_strategy("mirrored", replicas) if replicas > 1 else tf.distribute.get_strategy()
    whole = [np.array([3.0, -0.2], np.float32), np.array([[0.4], [-2.0]], np.float32)]
    with strategy.scope():
        variables = [tf.Variable(np.zeros_like(g)) for g in whole]
        optimizer = build_optimizer("sgd", variables)
        optimizer.learning_rate = 1.0
    group = VariableGroup(optimizer, variables, clip=clip, clip_norm=clip_norm)
    shares = [1.0] if replicas == 1 else [0.3, 0.7]  # what each replica's rows add to the gradient

    @tf.function
    def step():
        share = tf.constant(shares)[replica_id()]
        apply_gradients([group], [share * g for g in whole])

    strategy.run(step)
    expected = [np.clip(g, -clip, clip) if clip else g for g in whole]
    length = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in expected))
    if clip_norm:
        expected = [g * min(1.0, clip_norm / length) for g in expected]
    for variable, gradient in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), -gradient, rtol=1e-5)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_by_hand(tf, momentum, nesterov):
    """Sutskever's momentum: v = m v - r g, and w += v; Nesterov's looks ahead, w += m v - r g."""
    from dseh_tf.training.trainer import build_optimizer

    weight, speed, rate = tf.Variable([1.0]), 0.0, 0.1
    optimizer, expected = build_optimizer("sgd", [weight], momentum, nesterov), 1.0
    optimizer.learning_rate = rate
    for gradient in (1.0, -0.5, 2.0):
        optimizer.apply([tf.constant([gradient])], [weight])
        speed = momentum * speed - rate * gradient
        expected += momentum * speed - rate * gradient if nesterov else speed
        assert float(weight[0]) == pytest.approx(expected, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_run(tf, tmp_path):
    """The step is named, and the last checkpoint is one from before."""
    import keras

    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training.batches import TrainingRows
    from dseh_tf.training.trainer import Phase, Trainer, VariableGroup, build_optimizer

    weight = keras.Variable([1.0])
    optimizer = build_optimizer("sgd", [weight])
    trainer = Trainer(
        Runtime(progress=False, checkpoints=tmp_path, checkpoint_steps=2), {"weight": weight.value}, 0, lambda: None
    )
    phase = Phase(
        name="tiny",
        round=0,
        rows=TrainingRows({"x": np.ones((4, 1), np.float32)}, 2, 0, "tiny", 0, {}),
        epochs=6,
        loss=lambda batch: {"total": tf.math.log(weight.value[0] - 0.4) * tf.reduce_mean(batch["x"])},
        groups=[VariableGroup(optimizer, [weight])],
        learning_rate=lambda epoch: 0.05,
    )
    with pytest.raises(
        InputError, match=r"tiny: found total = nan in step \d+, expected a finite loss; choose a smaller"
    ):
        trainer.run(phase)
    assert np.isfinite(trainer.traces["tiny/0/total"]).all()


def test_seconds_are_of_all_sessions_and_of_training_alone(tf, tmp_path, monkeypatch):
    import keras

    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training import trainer as module

    clock = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])

    def session():
        runtime = Runtime(progress=False, checkpoints=tmp_path)
        return module.Trainer(runtime, {"weight": keras.Variable([1.0]).value}, 0, lambda: None)

    first = session()
    clock[0] += 5
    with first.aside():
        clock[0] += 40
        first.save()
    clock[0] += 2
    assert first.seconds == first.seconds == 7
    first._done["phase/0"] = 3
    first.save()
    clock[0] += 1000  # lost
    second = session()
    clock[0] += 3
    assert second.seconds == 10
