"""LabNet's training step: this project, the formulation of the release, and the bare matrix products.

    python -m benchmarks.labnet_step [--rows=10500] [--classes=21] [--bits=32] [--repeats=15] [--nodeterministic]

Preset release: banks of `rows` x 512 features and `rows` x `bits` codes, batches of 32; 10,500 x 21 is NUS-WIDE. Ours is
timed inside `Trainer.run`, batches and Adam included, a block of 50 steps at a time; after each block the others take
their turn, so that other load on the machine affects all alike. Medians over the blocks; ratios are medians of the
ratios within a turn.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, fields
from itertools import pairwise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.dseh.presets import RELEASE
from dseh_tf.training.optimizers import build_optimizer
from dseh_tf.training.recipe import Phase
from experiments import program

BLOCK, RIVAL_STEPS = 50, 20
PRESET = RELEASE["nus_wide"]


class ReleasesWay:
    """The step as lelan-li/DSEH:DSEH.py:train_label takes it, in TF2: banks and similarities from numpy at every step.

    Kinder than the release in two points: its banks are float64 and are converted at every step, its similarities are
    columns of an n x n matrix (441 MB here).
    """

    def __init__(self, labels: np.ndarray, bits: int) -> None:
        self.labels = labels
        rows, classes = labels.shape
        rng = np.random.default_rng(0)
        self.rng = rng
        self.features = rng.standard_normal((rows, PRESET.feature_dim)).astype(np.float32)
        self.codes = rng.standard_normal((rows, bits)).astype(np.float32)
        widths = [classes, PRESET.labnet_width, PRESET.feature_dim, bits, classes]
        self.variables = []
        for fan_in, fan_out in pairwise(widths):
            for shape in ((fan_in, fan_out), (fan_out,)):
                self.variables.append(tf.Variable(0.01 * rng.standard_normal(shape).astype(np.float32)))
        self.optimizer = build_optimizer("adam", self.variables)
        self.forward = tf.function(lambda x: self.network(x)[:2])
        self.train = tf.function(self._train)

    def network(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        w1, b1, w2, b2, w3, b3, w4, b4 = self.variables
        x = tf.nn.relu(x @ w1 + b1)
        x = tf.nn.local_response_normalization(x[:, None, None, :], 2, 2.0, 1e-4, 0.75)[:, 0, 0, :]
        feature = tf.nn.relu(x @ w2 + b2)
        code = tf.tanh(feature @ w3 + b3)
        return feature, code, tf.sigmoid(code @ w4 + b4)

    def _train(self, x, features, codes, similar) -> tf.Tensor:
        with tf.GradientTape() as tape:
            feature, code, label = self.network(x)
            loss = 0.01 * tf.reduce_mean(tf.abs(1.0 - tf.abs(code))) + 0.5 * tf.reduce_mean(tf.square(x - label))
            for bank, out in ((features, feature), (codes, code)):
                theta = 0.5 * tf.matmul(bank, out, transpose_b=True)
                loss += tf.reduce_mean(tf.math.log(1.0 + tf.exp(theta)) - 0.999 * similar * theta)
        gradients = [tf.clip_by_value(g, -1.0, 1.0) for g in tape.gradient(loss, self.variables)]
        self.optimizer.apply(gradients, self.variables)
        return loss

    def steps(self, count: int) -> None:
        for _ in range(count):
            batch = self.rng.choice(len(self.labels), PRESET.labnet_batch, replace=False)
            x = self.labels[batch]
            feature, code = self.forward(tf.constant(x))
            self.features[batch], self.codes[batch] = feature.numpy(), code.numpy()
            similar = (self.labels @ x.T > 0).astype(np.float32)
            self.train(*map(tf.constant, (x, self.features, self.codes, similar))).numpy()


class BareProducts:
    """The matrix products of the same shapes and nothing else: what no step can be without."""

    def __init__(self, labels: np.ndarray, bits: int) -> None:
        rows, classes = labels.shape
        batch, dim = PRESET.labnet_batch, PRESET.feature_dim
        rng = np.random.default_rng(0)

        def draw(*shape: int) -> tf.Variable:
            return tf.Variable(rng.standard_normal(shape).astype(np.float32))

        bank_pairs = [(tf.Variable(labels), draw(batch, classes))]
        bank_pairs += [(draw(rows, width), draw(batch, width)) for width in (dim, bits)]
        pairs = draw(rows, batch)
        widths = [classes, PRESET.labnet_width, dim, bits, classes]
        layers = [
            (draw(batch, a), draw(a, b), draw(batch, b)) for a, b in pairwise(widths)
        ]  # input, kernel, gradient of the output

        @tf.function
        def run(count: tf.Tensor) -> tf.Tensor:
            total = tf.zeros([])
            for _ in tf.range(count):
                products = [tf.matmul(bank, out, transpose_b=True) for bank, out in bank_pairs]
                products += [tf.matmul(pairs, bank, transpose_a=True) for bank, _ in bank_pairs[1:]]
                for index, (x, kernel, gradient) in enumerate(layers):
                    products += [tf.matmul(x, kernel), tf.matmul(x, gradient, transpose_a=True)]
                    if index:  # the labels need no gradient
                        products.append(tf.matmul(gradient, kernel, transpose_b=True))
                total += tf.add_n([product[0, 0] for product in products])
            return total

        self.run = run

    def steps(self, count: int) -> None:
        self.run(tf.constant(count)).numpy()


@dataclass(frozen=True)
class BlockPhase(Phase):
    """LabNet's phase with an epoch of one block, so that its callbacks enclose what one call of the loop takes."""

    epoch_steps = BLOCK


@dataclass
class Turns:
    """Times every way once a turn: ours from `learning_rate` to `on_epoch` of a block, then the others."""

    rivals: dict[str, ReleasesWay | BareProducts]
    times: dict[str, list[float]] = field(default_factory=dict)
    started: float = 0.0

    def learning_rate(self, epoch: int) -> float:
        self.started = time.perf_counter()
        return PRESET.labnet_learning_rate

    def on_epoch(self, done: int) -> None:
        self.times.setdefault("ours", []).append((time.perf_counter() - self.started) / BLOCK)
        for name, rival in self.rivals.items():
            start = time.perf_counter()
            rival.steps(RIVAL_STEPS)
            self.times.setdefault(name, []).append((time.perf_counter() - start) / RIVAL_STEPS)


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--rows", type=int, default=10500)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--nodeterministic", action="store_true", help="without deterministic operations, which runs use by default"
    )
    parser.add_argument("--jit_compile", action="store_true", help="XLA for our step")
    flags = parser.parse_args()
    if not flags.nodeterministic:
        tf.keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()

    rng = np.random.default_rng(0)
    # Two or three labels per row of 21, and similar pairs as often as in NUS-WIDE (.40).
    labels = (rng.random((flags.rows, flags.classes)) < 0.15).astype(np.float32)
    dataset = RetrievalDataset.from_arrays((None, labels), (None, labels[:100]))
    turns = Turns({
        "the release's way": ReleasesWay(labels, flags.bits),
        "bare matrix products": BareProducts(labels, flags.bits),
    })  # fmt: skip
    for rival in turns.rivals.values():
        rival.steps(2)
    runtime = Runtime(progress=False, jit_compile=flags.jit_compile)
    given = {field.name: getattr(PRESET, field.name) for field in fields(PRESET)}
    training = DSEH(bits=flags.bits, phases="labnet", **given).recipe(dataset, runtime)
    training.memory.fill_normal(0)
    same = ("name", "round", "rows", "forward", "loss", "groups")
    parts = {name: getattr(training.labnet_phase(0), name) for name in same}
    phase = BlockPhase(**parts, epochs=flags.repeats + 1, learning_rate=turns.learning_rate, on_epoch=turns.on_epoch)
    training.trainer.take(phase)

    times = {name: np.array(values[1:]) * 1e3 for name, values in turns.times.items()}  # the first block compiles
    print(f"| way | ms a step (median of {flags.repeats}) | least | time against ours (median of the turns) |")
    print("|---|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {np.median(values):.2f} | {values.min():.2f} | {np.median(values / times['ours']):.2f} |")
    ratio = np.median(times["ours"] / times["bare matrix products"])
    print(f"ours: {np.median(times[next(iter(turns.rivals))] / times['ours']):.2f} x faster than the release's way, "
          f"{ratio:.2f} x the bare products")  # fmt: skip


if __name__ == "__main__":
    main()
