"""One training loop for every method that trains by gradient.

The trainer runs the stages of a recipe in order. Many steps of a phase run inside one tf.function; between them the
loop shows progress, writes summaries and saves checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from dseh_tf.devices.replicas import replica_count, replica_id
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.models.layers import DropoutStream, dropout_stream
from dseh_tf.seeding import stream_seed
from dseh_tf.training.checkpoints import CheckpointStore, restore_together
from dseh_tf.training.optimizers import apply_gradients, raw
from dseh_tf.training.recipe import Phase, Recipe, Result, Stage, Work
from dseh_tf.training.summaries import Summaries
from dseh_tf.training.xla import slice_pooling


class Trainer:
    """Runs the stages of a recipe; owns the checkpoints, the loss traces and the summaries of a run.

    Attributes:
        traces: float32, the loss terms of every step, by <phase>/<round>/<term>.
        notes: Further values that checkpoints store, by name; JSON values.
    """

    def __init__(
        self, runtime: Runtime, tracked: Mapping[str, object], seed: int, after_restore: Callable[[], None]
    ) -> None:
        """Restores the newest whole checkpoint, if there is one.

        Args:
            runtime: Devices, and where to write.
            tracked: Everything a checkpoint holds.
            seed: Seed of the run.
            after_restore: Called when a checkpoint has been read into `tracked`.
        """
        self.runtime = runtime
        self.seed = seed
        self.traces: dict[str, np.ndarray] = {}
        self.summaries = Summaries(runtime.tensorboard if runtime.workers.chief else None)
        self._store = CheckpointStore(runtime.checkpoints)
        self._tracked = tf.train.Checkpoint(**tracked)
        self._loops: dict[str, Callable] = {}
        self._done: dict[str, int] = {}
        self._unsaved = 0  # steps since the last checkpoint
        self.notes: dict = {"seconds": 0.0}
        self._began = time.perf_counter()
        restored = restore_together(self._store, runtime.workers, self._tracked, _progress_fault)
        if restored:
            progress, self.traces = restored
            self._done, self.notes = progress["done"], {**self.notes, **progress["notes"]}
            after_restore()

    @property
    def seconds(self) -> float:
        """Training time, in this session and in those that it resumes.

        Work that was lost after a session's last checkpoint does not count, nor does what runs in `aside`.
        """
        now = time.perf_counter()
        self.notes["seconds"] += now - self._began
        self._began = now
        return self.notes["seconds"]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A context manager for reports between steps, whose time does not count as training time."""
        before = self.seconds
        try:
            yield
        finally:
            self.notes["seconds"], self._began = before, time.perf_counter()

    def save(self) -> None:
        """Checkpoints what has been done so far; its number is the count of all steps, and of phases begun.

        Raises InputError if a variable is not finite; the earlier checkpoints stay.
        """
        self._check_finite()
        self._unsaved = 0
        if not self.runtime.workers.chief:
            return
        number = sum(self._done.values()) + len(self._done)  # every save is after a step or a finished stage
        notes = {**self.notes, "seconds": self.seconds}
        self._store.save(number, self._tracked, {"done": self._done, "notes": notes}, self.traces)

    def run(self, recipe: Recipe[Result]) -> Result:
        """Walks the stages of a recipe that are not finished yet, and returns the fitted method."""
        stages = list(recipe.stages())
        begun = max((i for i, stage in enumerate(stages) if stage.key in self._done), default=-1)
        finished = max((i for i, stage in enumerate(stages) if self._finished(stage)), default=-1)
        for index, stage in enumerate(stages):
            if isinstance(stage, Phase):
                self.take(stage)
            elif stage.derived:
                if index > finished:
                    stage.run()
            elif index > begun:
                stage.run()
                self._done[stage.key] = 0
                if stage.saved:
                    self.save()
        return recipe.fitted()

    def _finished(self, stage: Stage) -> bool:
        done = self._done.get(stage.key)
        return done is not None and (isinstance(stage, Work) or done >= stage.steps)

    def take(self, phase: Phase) -> None:
        """Runs the steps of a phase that are not done yet."""
        key = phase.key
        first = self._done.setdefault(key, 0)
        if first >= phase.steps:
            return
        strategy = self.runtime.strategy

        def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            found = phase.rows.dataset(context, first, phase.steps)
            # With several workers, a finite data set has batches of unknown size, and a collective more in each step.
            return found.repeat() if context.num_input_pipelines > 1 else found

        iterator = iter(strategy.distribute_datasets_from_function(batches))
        loop = self._loop(phase)
        block = min(50, phase.epoch_steps)
        seed = stream_seed(self.seed, phase.name, phase.round, "dropout")
        bar = tqdm(
            total=phase.steps, initial=first, desc=f"round {phase.round} {phase.name}", unit="step",
            disable=not self.runtime.progress, mininterval=0.5, dynamic_ncols=True,
        )  # fmt: skip
        step = first
        with bar:
            while step < phase.steps:
                epoch = step // phase.epoch_steps
                rate = phase.learning_rate(epoch)
                for group in phase.groups:
                    group.optimizer.learning_rate.assign(rate * group.multiplier)
                count = min(block, (epoch + 1) * phase.epoch_steps - step)
                started = time.perf_counter()
                try:
                    values = loop(
                        iterator, tf.constant(seed, tf.int64), tf.constant(step, tf.int64), tf.constant(count)
                    )
                except tf.errors.UnimplementedError as error:
                    if not self.runtime.jit_compile:
                        raise
                    raise InputError(
                        f"jit_compile: found operations in {phase.name} that XLA cannot compile ({_cause(error)}), expected "
                        "others: leave out --jit_compile, or add --nodeterministic"
                    ) from error
                terms = dict(zip(self._names[phase.name], values.numpy().T, strict=True))
                step += count
                self._done[key] = step
                self._unsaved += count
                self._record(phase, step, terms, rate, count / (time.perf_counter() - started))
                bar.update(count)
                bar.set_postfix(loss=f"{terms['total'].mean():.4f}", refresh=False)
                epoch_ends = step % phase.epoch_steps == 0
                if epoch_ends and phase.on_epoch:
                    phase.on_epoch(step // phase.epoch_steps)
                if self._unsaved >= self.runtime.checkpoint_steps or (step == phase.steps and phase.saved):
                    self.save()
                elif step == phase.steps:
                    self._check_finite()

    def _record(self, phase: Phase, step: int, terms: dict[str, np.ndarray], rate: float, speed: float) -> None:
        before = sum(n for k, n in self._done.items() if k.startswith(f"{phase.name}/") and k != phase.key)
        for name, values in terms.items():
            if not np.isfinite(values).all():
                bad = int(np.argmin(np.isfinite(values)))
                raise InputError(
                    f"{phase.name}: found {name} = {values[bad]} in step {step - len(values) + bad + 1}, expected a finite "
                    "loss; choose a smaller learning rate"
                )
            key = f"{phase.key}/{name}"
            self.traces[key] = np.concatenate(
                [self.traces.get(key, np.zeros(0, np.float32)), values.astype(np.float32)]
            )
        self.summaries.scalars(
            {f"{phase.name}/loss/{name}": values.mean() for name, values in terms.items()}
            | {f"{phase.name}/learning_rate/{i}": rate * g.multiplier for i, g in enumerate(phase.groups)}
            | {f"{phase.name}/steps_per_second": speed},
            before + step,
        )

    def _check_finite(self) -> None:
        """Raises InputError if a weight, a bank or an optimiser's moment is NaN or infinite.

        The loss of a step is computed before its update, so no loss shows the effect of the last update.
        """
        for item in tf.train.TrackableView(self._tracked).descendants():
            if not isinstance(item, keras.Variable | tf.Variable):
                continue
            values = tf.convert_to_tensor(raw(item) if isinstance(item, keras.Variable) else item)
            if values.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(values)):
                name, (key, steps) = getattr(item, "path", None) or item.name, list(self._done.items())[-1]
                raise InputError(
                    f"{key}: found NaN or infinity in {name} after step {steps}, expected finite numbers; choose a smaller "
                    "learning rate"
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
                terms = phase.share({**batch, "step": step})
            # A layer that only a term of weight 0 reads is not in the graph; its gradient is 0.
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(terms["total"], [raw(v) for v in variables], unconnected_gradients=zero)
            apply_gradients(phase.groups, gradients)
            self._names[phase.name] = list(terms)
            return tf.stack([tf.cast(value, tf.float32) for value in terms.values()])

        if self.runtime.jit_compile:
            if strategy.num_replicas_in_sync == 1:
                plain_step = replica_step

                def replica_step(batch: dict[str, tf.Tensor], seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
                    with slice_pooling():
                        return plain_step(batch, seed, step)

                replica_step = tf.function(replica_step, jit_compile=True)
            else:
                logging.warning(
                    "jit_compile: %s replicas sum within the step; it is not compiled", strategy.num_replicas_in_sync
                )

        @tf.function
        def loop(iterator: Iterator[Any], seed: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            trace = tf.TensorArray(tf.float32, size=count)
            for index in tf.range(count):
                step = first + tf.cast(index, tf.int64)
                shares = strategy.run(replica_step, args=(next(iterator), seed, step))
                trace = trace.write(index, strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None))
            return trace.stack()

        self._loops[phase.name] = loop
        return loop


def _cause(error: tf.errors.OpError) -> str:
    """The line of TensorFlow's message that names what is missing."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Graph execution", "Detected", "<", "[[", "tf2xla"))]
    return (told or lines or ["no message"])[0][:160]


def _progress_fault(progress: Mapping[str, Any]) -> str:
    """What is wrong with a checkpoint's progress as `Trainer.save` writes it, or an empty string."""
    done, notes = progress.get("done"), progress.get("notes")
    if not isinstance(done, dict) or not all(type(steps) is int and steps >= 0 for steps in done.values()):
        return f"done: found {done!r}, expected steps by phase"
    if not isinstance(notes, dict) or isinstance(notes.get("seconds"), bool):
        return f"notes: found {notes!r}, expected a JSON object"
    if not isinstance(notes.get("seconds", 0.0), int | float):
        return f"notes.seconds: found {notes['seconds']!r}, expected a number"
    rounds = notes.get("rounds", [])
    if not isinstance(rounds, list) or not all(isinstance(report, dict) for report in rounds):
        return f"notes.rounds: found {rounds!r}, expected a report a round"
    return ""
