"""Clipping, behind the sum over replicas; a loss that is not finite; time over several sessions."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.devices.replicas import make_strategy, replica_id
from dseh_tf.errors import InputError


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize(("clip", "clip_norm"), [(0.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.5, 0.6), (0.0, 100.0)])
def test_gradients_are_clipped_as_one_device_would(tf, replicas, clip, clip_norm):
    from dseh_tf.training.optimizers import VariableGroup, apply_gradients, build_optimizer

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
    from dseh_tf.training.optimizers import build_optimizer

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
    from dseh_tf.training.optimizers import VariableGroup, build_optimizer
    from dseh_tf.training.recipe import Phase
    from dseh_tf.training.trainer import Trainer

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
        forward=lambda batch: {"x": batch["x"]},
        loss=lambda outputs, batch: {"total": tf.math.log(weight.value[0] - 0.4) * tf.reduce_mean(outputs["x"])},
        groups=[VariableGroup(optimizer, [weight])],
        learning_rate=lambda epoch: 0.05,
    )
    with pytest.raises(
        InputError, match=r"tiny: found total = nan in step \d+, expected a finite loss; choose a smaller"
    ):
        trainer.take(phase)
    assert np.isfinite(trainer.traces["tiny/0/total"]).all()
    Trainer(trainer.runtime, {"weight": weight.value}, 0, lambda: None)  # restores the last checkpoint
    assert np.isfinite(weight.numpy()).all() and weight.numpy()[0] < 1


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("victim", ["weight", "moment", "bank"])
def test_no_checkpoint_holds_what_is_not_finite(tf, tmp_path, victim, saved):
    """The last update of a phase makes NaN while every loss is finite: the checkpoint before it is the newest."""
    import keras

    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training.batches import TrainingRows
    from dseh_tf.training.optimizers import VariableGroup, build_optimizer
    from dseh_tf.training.recipe import Phase
    from dseh_tf.training.trainer import Trainer

    weight, bank = keras.Variable([1.0], name="weight"), tf.Variable([1.0], name="bank")
    optimizer = build_optimizer("sgd", [weight], momentum=0.5)
    tracked = {"weight": weight.value, "bank": bank, "optimizer": optimizer}
    runtime = Runtime(progress=False, checkpoints=tmp_path, checkpoint_steps=2 if saved else 3)
    trainer = Trainer(runtime, tracked, 0, lambda: None)

    @tf.custom_gradient
    def broken_at(value, step):
        bad = tf.where(tf.equal(step, 3), np.float32(np.nan), np.float32(1.0))
        return tf.identity(value), lambda upstream: (upstream * bad, None)

    def loss(outputs, batch):
        if victim == "bank":
            bank.assign(tf.where(tf.equal(batch["step"], 3), [np.inf], [1.0]))
        elif victim == "moment":
            optimizer.momentums[0].assign(tf.where(tf.equal(batch["step"], 3), [-np.inf], optimizer.momentums[0]))
        value = broken_at(weight.value, batch["step"]) if victim == "weight" else tf.convert_to_tensor(weight.value)
        return {"total": tf.reduce_sum(value) * tf.reduce_mean(outputs["x"])}

    phase = Phase(
        "tiny", 0, TrainingRows({"x": np.ones((4, 1), np.float32)}, 2, 0, "tiny", 0, {}), 2,
        forward=lambda batch: {"x": batch["x"]}, loss=loss, groups=[VariableGroup(optimizer, [weight])],
        learning_rate=lambda epoch: 0.05, saved=saved,
    )  # fmt: skip
    name = "bank" if victim == "bank" else "weight"
    line = rf"tiny/0: found NaN or infinity in \S*{name}\S* after step 4, expected finite numbers; choose a smaller"
    with pytest.raises(InputError, match=line):
        trainer.take(phase)
    assert len(trainer.traces["tiny/0/total"]) == 4 and np.isfinite(trainer.traces["tiny/0/total"]).all()
    assert [folder.name for folder in tmp_path.iterdir()] == (["00000003"] if saved else [])
    if saved:
        assert Trainer(runtime, tracked, 0, lambda: None)._done == {"tiny/0": 2}
        assert np.isfinite([weight.numpy()[0], bank.numpy()[0], optimizer.momentums[0].numpy()[0]]).all()


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


class Walk:
    """A recipe of three rounds (bank, phase, targets, phase) that notes what is done."""

    def __init__(self, tf, folder, stop=None):
        import keras

        from dseh_tf.devices.runtime import Runtime
        from dseh_tf.training.optimizers import build_optimizer
        from dseh_tf.training.trainer import Trainer

        self.tf, self.done, self.stop = tf, [], stop
        self.weight = keras.Variable([1.0])
        self.optimizer = build_optimizer("sgd", [self.weight])
        runtime = Runtime(progress=False, checkpoints=folder, checkpoint_steps=2)
        self.trainer = Trainer(runtime, {"weight": self.weight.value}, 0, lambda: None)

    def note(self, key):
        self.done.append(key)
        if key == self.stop:
            raise KeyboardInterrupt

    def phase(self, name, round_):
        from dseh_tf.training.batches import TrainingRows
        from dseh_tf.training.optimizers import VariableGroup
        from dseh_tf.training.recipe import Phase

        rows = TrainingRows({"x": np.ones((4, 1), np.float32)}, 2, 0, name, round_, {})
        return Phase(
            name, round_, rows, 2,
            forward=lambda batch: {"x": batch["x"]},
            loss=lambda outputs, batch: {"total": self.tf.reduce_sum(self.weight.value) * self.tf.reduce_sum(outputs["x"])},
            groups=[VariableGroup(self.optimizer, [self.weight])],
            learning_rate=lambda epoch: 0.01,
            on_epoch=lambda epoch: self.note(f"{name}/{round_}:{epoch}"),
        )  # fmt: skip

    def stages(self):
        from functools import partial

        from dseh_tf.training.recipe import Work

        for round_ in range(3):
            yield Work("bank", round_, partial(self.note, f"bank/{round_}"))
            yield self.phase("one", round_)
            yield Work("targets", round_, partial(self.note, f"targets/{round_}"), derived=True)
            yield self.phase("two", round_)

    def fitted(self):
        return self.weight.numpy().copy()

    def run(self):
        return self.trainer.run(self)


def _all(rounds=range(3)):
    each = ("bank/{}", "one/{}:1", "one/{}:2", "targets/{}", "two/{}:1", "two/{}:2")
    return [stage.format(round_) for round_ in rounds for stage in each]


@pytest.mark.parametrize(
    ("stop", "again"),
    [
        ("bank/1", ["bank/1"]),  # it was not finished
        ("one/1:1", ["one/1:1"]),  # the bank is in a checkpoint
        ("targets/1", ["targets/1"]),
        ("two/1:1", ["targets/1", "two/1:1"]),  # what is derived is not in a checkpoint
        ("two/1:2", ["targets/1", "two/1:2"]),
    ],
)
def test_a_resumed_run_goes_on_where_it_was(tf, tmp_path, stop, again):
    whole = Walk(tf, tmp_path / "whole")
    expected = whole.run()
    assert whole.done == _all()
    cut = Walk(tf, tmp_path / "cut", stop)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = Walk(tf, tmp_path / "cut")
    np.testing.assert_array_equal(resumed.run(), expected)
    rest = _all()[_all().index(stop) + 1 :]
    assert resumed.done == again + rest
    finished = Walk(tf, tmp_path / "cut")
    np.testing.assert_array_equal(finished.run(), expected)
    assert finished.done == []


def test_checkpoints_of_earlier_versions_do_not_name_work(tf, tmp_path):
    """They have the steps of phases alone: work before a phase that had begun is not repeated."""
    cut = Walk(tf, tmp_path, "two/0:2")
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    cut.trainer._done = {key: steps for key, steps in cut.trainer._done.items() if not key.startswith("bank")}
    cut.trainer.save()
    resumed = Walk(tf, tmp_path)
    resumed.run()
    assert "bank/0" not in resumed.done and "bank/1" in resumed.done
