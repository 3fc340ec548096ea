"""A training step of each deep method compared with a bare pass of the same network, on CNN-F and on frozen features.

    python -m benchmarks.deep_methods [--methods=cnnh,...] [--trunks=cnn_f,features] [--batch=32] [--rows=4000] [--repeats=5]

CNN-F has random weights and reads 224 x 224 pixels; features are 1,280 wide, followed by a ReLU layer of 2,048 units.
Ours is timed inside `Trainer.run`: drawing the batch, loss, bank, optimiser, traces. After each block of steps, the
bare pass of the same network is timed on a batch in memory: forward, and backward from a plain sum of the outputs, once
alone and once with the update of the same optimiser. The cost of loss, bank and bookkeeping is the difference to the
latter, as a fraction of the bare pass. For DSEH it is ImgNet's step (benchmarks/labnet_step.py has LabNet's), with
banks of random features and codes.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods import METHODS
from dseh_tf.methods.deep.base import DeepMethod
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.image_encoder import Trunk
from dseh_tf.models.layers import DropoutStream, dropout_stream
from dseh_tf.training.optimizers import VariableGroup, apply_gradients
from dseh_tf.training.recipe import Phase
from dseh_tf.training.trainer import Trainer
from experiments import program

NAMES = (*(name for name, kind in METHODS.items() if issubclass(kind, DeepMethod)), "dseh")
# Batches that the trainer has drawn ahead while the others had their turn must not be most of a block.
BLOCK = {"cnn_f": 8, "features": 40}
_RATE = 1e-9  # the bare passes' updates, on a loss of no meaning, must not blow the weights up


@dataclass
class Subject:
    """What is timed for a method: its network, variable groups, trainer, phase and inputs."""

    network: keras.Model
    groups: list[VariableGroup]
    trainer: Trainer
    phase: Phase
    inputs: np.ndarray


def subject(name: str, trunk: Trunk, batch: int, dataset: RetrievalDataset) -> Subject:
    runtime = Runtime(progress=False)
    if name == "dseh":
        dseh = DSEH(32, trunk=trunk, imgnet_batch=batch).recipe(dataset, runtime)
        rng = np.random.default_rng(0)
        vectors, dim = len(dseh.distinct.vectors), dseh.settings.feature_dim
        dseh.targets.fill(rng.standard_normal((vectors, dim)), np.sign(rng.standard_normal((vectors, 32))))
        imgnet = dseh.imgnet
        assert imgnet
        return Subject(imgnet.network, imgnet.groups, dseh.trainer, dseh.imgnet_phase(0), imgnet.inputs.plain)
    method = METHODS[name](32, trunk=trunk, batch=batch)
    assert isinstance(method, DeepMethod)
    recipe = method.recipe(dataset, runtime)
    return Subject(recipe.network, recipe.groups, recipe.trainer, recipe.phase(), recipe.inputs.plain)


class Bare:
    """Forward and backward of a method's network, with or without the update by its optimisers."""

    def __init__(self, of: Subject, batch: int, update: bool) -> None:
        images = tf.constant(of.inputs[:batch])
        variables = [v for group in of.groups for v in group.variables]

        @tf.function
        def run(count: tf.Tensor) -> tf.Tensor:
            total = tf.zeros([])
            for index in tf.range(count):
                stream = DropoutStream(tf.stack([tf.constant(1, tf.int64), tf.cast(index, tf.int64)]), 0, batch)
                with dropout_stream(stream), tf.GradientTape() as tape:
                    outputs = of.network(images, training=True)
                    loss = self.loss(outputs)
                gradients = tape.gradient(loss, [v.value for v in variables])
                if update:
                    apply_gradients(of.groups, gradients)
                total += tf.add_n([gradient[(0,) * len(gradient.shape)] for gradient in gradients])
            return total

        self.run = run

    def loss(self, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.add_n([tf.reduce_sum(value) for value in outputs.values()])

    def steps(self, count: int) -> None:
        self.run(tf.constant(count)).numpy()


@dataclass
class Turns:
    """Times ours from `learning_rate` to `on_epoch` of a block, and then each alternative."""

    rivals: dict[str, Bare]
    block: int
    times: dict[str, list[float]] = field(default_factory=dict)
    started: float = 0.0

    def learning_rate(self, epoch: int) -> float:
        self.started = time.perf_counter()
        return _RATE

    def on_epoch(self, done: int) -> None:
        self.times.setdefault("ours", []).append((time.perf_counter() - self.started) / self.block)
        for name, rival in self.rivals.items():
            start = time.perf_counter()
            rival.steps(self.block)
            self.times.setdefault(name, []).append((time.perf_counter() - start) / self.block)


def synthetic(trunk: str, rows: int) -> RetrievalDataset:
    """Noise of the trunk's input shape, two or three labels per row of 21."""
    rng = np.random.default_rng(0)
    labels = (rng.random((rows, 21)) < 0.12).astype(np.uint8)
    labels[np.arange(rows), rng.integers(21, size=rows)] = 1
    if trunk == "features":
        inputs = rng.random((rows, 1280), np.float32)
    else:
        inputs = rng.integers(0, 256, (rows, 224, 224, 3), np.uint8)
    return RetrievalDataset.from_arrays((inputs, labels), (inputs[:1], labels[:1]))


def measure(name: str, trunk: str, dataset: RetrievalDataset, batch: int, repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds per step by variant, one number per turn."""
    where = Trunk("cnn_f", 224, train=True, weights="random") if trunk == "cnn_f" else Trunk("features.keras")
    of = subject(name, where, batch, dataset)
    block = BLOCK[trunk]

    @dataclass(frozen=True)
    class BlockPhase(Phase):
        """The method's phase with an epoch of one block."""

        epoch_steps = block

    turns = Turns({"pass": Bare(of, batch, False), "pass and update": Bare(of, batch, True)}, block)
    for group in of.groups:
        group.optimizer.learning_rate.assign(_RATE)
    for rival in turns.rivals.values():
        rival.steps(1)
    fields = {key: getattr(of.phase, key) for key in ("name", "round", "rows", "forward", "loss", "groups")}
    of.trainer.take(
        BlockPhase(**fields, epochs=repeats + 1, learning_rate=turns.learning_rate, on_epoch=turns.on_epoch)
    )
    return {way: 1e3 * np.array(values[1:]) for way, values in turns.times.items()}  # the first block compiles


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--methods", default=",".join(NAMES))
    parser.add_argument("--trunks", default="cnn_f,features")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    print("| trunk | method | step, ms | steps a second | bare pass, ms | bare passes a second | with update, ms "
          "| loss, bank, bookkeeping: share of the bare pass |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for trunk in flags.trunks.split(","):
        dataset = synthetic(trunk, flags.rows)
        for name in flags.methods.split(","):
            times = measure(name, trunk, dataset, flags.batch, flags.repeats)
            share = np.median((times["ours"] - times["pass and update"]) / times["pass"])
            ours, bare, update = (np.median(times[way]) for way in ("ours", "pass", "pass and update"))
            print(f"| {trunk} | {name} | {ours:.1f} | {1e3 / ours:.2f} | {bare:.1f} | {1e3 / bare:.2f} | {update:.1f} "
                  f"| {share:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
