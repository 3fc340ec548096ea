"""One training loop for every method that trains by gradient.

Shaped like Orbit's controller: a phase begins, takes steps, ends. Many steps run inside one tf.function; between
them the loop shows progress, writes summaries and saves checkpoints. Its step count is its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from dseh_tf.devices.replicas import replica_count, replica_id, sum_gradients
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.models.layers import DropoutStream, dropout_stream
from dseh_tf.training.batches import TrainingRows, stream_seed
from dseh_tf.training.checkpoints import CheckpointStore
from dseh_tf.training.summaries import Summaries

Terms = dict[str, tf.Tensor]


@dataclass(frozen=True)
class VariableGroup:
    """Variables that learn at one rate: base rate times `multiplier`.

    clip: their gradients' elements are clipped to ±clip, clip_norm: their gradients together to that length; 0 for neither.
    """

    optimizer: keras.optimizers.Optimizer
    variables: Sequence
    multiplier: float = 1.0
    clip: float = 0.0
    clip_norm: float = 0.0


@dataclass(frozen=True)
class Phase:
    """A stretch of training of one network.

    name: "labnet", "imgnet", ...; one name, one `loss` (it is traced once and used in every round). round: from 0.
    loss: a batch (this replica's share, and the "step" of the phase, int64) -> {"total": scalar, other terms}; shares of
    all replicas add up to the loss of the global batch. Everything but "total" is for the eye.
    learning_rate: epoch -> base rate. on_epoch: called behind each epoch with the number of those done.
    """

    name: str
    round: int
    rows: TrainingRows
    epochs: int
    loss: Callable[[dict[str, tf.Tensor]], Terms]
    groups: Sequence[VariableGroup]
    learning_rate: Callable[[int], float]
    on_epoch: Callable[[int], None] | None = None

    @property
    def epoch_steps(self) -> int:
        return max(1, self.rows.rows // self.rows.batch_size)

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps


class OnePassAdam(keras.optimizers.Adam):
    """Keras' Adam, each variable and its moments updated in one pass over memory instead of ten.

    By TensorFlow's own kernel, that of the release's tf.train.AdamOptimizer: rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) *
    m / (sqrt(v) + epsilon). It takes 1 - beta_2 in float32, Keras in float64, which are 1.3e-5 apart.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_raw(self._momentums[index]).handle,
            v=_raw(self._velocities[index]).handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


def build_optimizer(
    name: str, variables: Sequence, momentum: float = 0.0, nesterov: bool = False
) -> keras.optimizers.Optimizer:
    """Adam with the release's epsilon of 1e-8 (Keras has 1e-7), RMSprop, or SGD; built at once, inside the scope.

    tf.function would otherwise create its variables in the first step, and fail. RMSprop is torch's, whose users'
    settings the rivals have: decay .99, and 1e-8 added to the root, where Keras adds its epsilon below it.
    """
    if name == "adam":
        optimizer = OnePassAdam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    elif name == "rmsprop":
        optimizer = keras.optimizers.RMSprop(1e-3, rho=0.99, momentum=momentum, epsilon=1e-16)
    else:
        optimizer = keras.optimizers.SGD(1e-3, momentum=momentum, nesterov=nesterov)
    optimizer.build(list(variables))
    return optimizer


def apply_gradients(groups: Sequence[VariableGroup], gradients: Sequence[tf.Tensor]) -> None:
    """Updates all groups by their part of `gradients`, which are those of this replica's share of the loss.

    Keras sums gradients over replicas inside `apply`, behind its clipping. Clipping the sum, as one device would, takes
    the sum first; each replica then hands in its equal part of it.
    """
    start = 0
    for group in groups:
        part = list(gradients[start : start + len(group.variables)])
        start += len(group.variables)
        if not part:
            continue
        if group.clip or group.clip_norm:
            part = sum_gradients(part)
            if group.clip:  # one pass over memory; tf.clip_by_value makes two of it
                part = [
                    tf.raw_ops.ClipByValue(t=g, clip_value_min=-group.clip, clip_value_max=group.clip) for g in part
                ]
            if group.clip_norm:
                part, _ = tf.clip_by_global_norm(part, group.clip_norm)
            part = [g / replica_count() for g in part] if replica_count() > 1 else part
        group.optimizer.apply(part, group.variables)


class Trainer:
    """Runs phases; owns the checkpoints, the loss traces and the summaries of a run."""

    def __init__(
        self, runtime: Runtime, tracked: dict[str, object], seed: int, after_restore: Callable[[], None]
    ) -> None:
        """tracked: everything a checkpoint holds. after_restore: called when a checkpoint has been read into it."""
        self.runtime = runtime
        self.seed = seed
        self.traces: dict[str, np.ndarray] = {}
        self.summaries = Summaries(runtime.tensorboard)
        self._store = CheckpointStore(runtime.checkpoints)
        self._tracked = tf.train.Checkpoint(**tracked)
        self._loops: dict[str, Callable] = {}
        self._done: dict[str, int] = {}
        self.notes: dict = {"seconds": 0.0}
        self._began = time.perf_counter()
        restored = self._store.restore(self._tracked, _progress_fault)
        if restored:
            progress, self.traces = restored
            self._done, self.notes = progress["done"], {**self.notes, **progress["notes"]}
            after_restore()

    def started(self, name: str, round_: int) -> bool:
        return f"{name}/{round_}" in self._done

    @property
    def seconds(self) -> float:
        """What training took since the trainer was made, and before that in the sessions that this one goes on from.

        Work that was lost behind a session's last checkpoint is not in it, nor is what `aside` holds.
        """
        now = time.perf_counter()
        self.notes["seconds"] += now - self._began
        self._began = now
        return self.notes["seconds"]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """For reports between steps: their time is not training's."""
        before = self.seconds
        try:
            yield
        finally:
            self.notes["seconds"], self._began = before, time.perf_counter()

    def save(self) -> None:
        """Checkpoints what has been done so far; its number is the count of all steps, and of phases begun."""
        number = sum(self._done.values()) + len(self._done)
        notes = {**self.notes, "seconds": self.seconds}
        self._store.save(number, self._tracked, {"done": self._done, "notes": notes}, self.traces)

    def run(self, phase: Phase) -> None:
        """Takes the phase's steps that are not done yet."""
        key = f"{phase.name}/{phase.round}"
        first = self._done.setdefault(key, 0)
        if first >= phase.steps:
            return
        strategy = self.runtime.strategy
        iterator = iter(
            strategy.distribute_datasets_from_function(lambda context: phase.rows.dataset(context, first, phase.steps))
        )
        loop = self._loop(phase)
        block = min(50, phase.epoch_steps)
        seed = stream_seed(self.seed, phase.name, phase.round, "dropout")
        bar = tqdm(
            total=phase.steps, initial=first, desc=f"round {phase.round} {phase.name}", unit="step",
            disable=not self.runtime.progress, mininterval=0.5, dynamic_ncols=True,
        )  # fmt: skip
        step, saved = first, first
        with bar:
            while step < phase.steps:
                epoch = step // phase.epoch_steps
                rate = phase.learning_rate(epoch)
                for group in phase.groups:
                    group.optimizer.learning_rate.assign(rate * group.multiplier)
                count = min(block, (epoch + 1) * phase.epoch_steps - step)
                started = time.perf_counter()
                values = loop(iterator, tf.constant(seed, tf.int64), tf.constant(step, tf.int64), tf.constant(count))
                terms = dict(zip(self._names[phase.name], values.numpy().T, strict=True))
                step += count
                self._done[key] = step
                self._record(phase, step, terms, rate, count / (time.perf_counter() - started))
                bar.update(count)
                bar.set_postfix(loss=f"{terms['total'].mean():.4f}", refresh=False)
                epoch_ends = step % phase.epoch_steps == 0
                if epoch_ends and phase.on_epoch:
                    phase.on_epoch(step // phase.epoch_steps)
                if step - saved >= self.runtime.checkpoint_steps or step == phase.steps:
                    self.save()
                    saved = step

    def _record(self, phase: Phase, step: int, terms: dict[str, np.ndarray], rate: float, speed: float) -> None:
        before = sum(
            n for k, n in self._done.items() if k.startswith(f"{phase.name}/") and k != f"{phase.name}/{phase.round}"
        )
        for name, values in terms.items():
            if not np.isfinite(values).all():
                bad = int(np.argmin(np.isfinite(values)))
                raise InputError(
                    f"{phase.name}: found {name} = {values[bad]} in step {step - len(values) + bad + 1}, expected a finite "
                    "loss; choose a smaller learning rate"
                )
            key = f"{phase.name}/{phase.round}/{name}"
            self.traces[key] = np.concatenate(
                [self.traces.get(key, np.zeros(0, np.float32)), values.astype(np.float32)]
            )
        self.summaries.scalars(
            {f"{phase.name}/loss/{name}": values.mean() for name, values in terms.items()}
            | {f"{phase.name}/learning_rate/{i}": rate * g.multiplier for i, g in enumerate(phase.groups)}
            | {f"{phase.name}/steps_per_second": speed},
            before + step,
        )

    def _loop(self, phase: Phase) -> Callable:
        """The tf.function of a phase's name: many steps in one call; returns the loss terms [steps, terms]."""
        if phase.name in self._loops:
            return self._loops[phase.name]
        strategy, batch_size = self.runtime.strategy, phase.rows.batch_size
        self._names: dict[str, list[str]] = getattr(self, "_names", {})
        variables = [v for group in phase.groups for v in group.variables]

        def replica_step(batch: dict[str, tf.Tensor], seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            share = batch_size // replica_count()
            stream = DropoutStream(tf.stack([seed, step]), replica_id() * share, batch_size)
            with dropout_stream(stream), tf.GradientTape() as tape:
                terms = phase.loss({**batch, "step": step})
            # A layer that only a term of weight 0 reads is not in the graph; its gradient is 0.
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(terms["total"], [_raw(v) for v in variables], unconnected_gradients=zero)
            apply_gradients(phase.groups, gradients)
            self._names[phase.name] = list(terms)
            return tf.stack([tf.cast(value, tf.float32) for value in terms.values()])

        if self.runtime.jit_compile:
            if strategy.num_replicas_in_sync == 1:
                replica_step = tf.function(replica_step, jit_compile=True)
            else:
                logging.warning(
                    "jit_compile: %s replicas sum within the step; it is not compiled", strategy.num_replicas_in_sync
                )

        @tf.function
        def loop(iterator: object, seed: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            trace = tf.TensorArray(tf.float32, size=count)
            for index in tf.range(count):
                step = first + tf.cast(index, tf.int64)
                shares = strategy.run(replica_step, args=(next(iterator), seed, step))
                trace = trace.write(index, strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None))
            return trace.stack()

        self._loops[phase.name] = loop
        return loop


def _progress_fault(progress: Mapping[str, Any]) -> str:
    """What is wrong with a checkpoint's progress as `Trainer.save` writes it, or an empty string."""
    done, notes = progress.get("done"), progress.get("notes")
    if not isinstance(done, dict) or not all(type(steps) is int and steps >= 0 for steps in done.values()):
        return f"done: found {done!r}, expected steps by phase"
    if not isinstance(notes, dict) or isinstance(notes.get("seconds"), bool):
        return f"notes: found {notes!r}, expected named values"
    if not isinstance(notes.get("seconds", 0.0), int | float):
        return f"notes.seconds: found {notes['seconds']!r}, expected a number"
    rounds = notes.get("rounds", [])
    if not isinstance(rounds, list) or not all(isinstance(report, dict) for report in rounds):
        return f"notes.rounds: found {rounds!r}, expected a report a round"
    return ""


def _raw(variable: object) -> tf.Variable:
    """The TensorFlow variable behind a Keras one."""
    return getattr(variable, "value", variable)
