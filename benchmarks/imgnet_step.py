"""ImgNet's training step on frozen features compared with the bare network.

    python -m benchmarks.imgnet_step [--lists=FOLDER] [--rows=10000] [--distinct=3845] [--classes=80] [--labnet_epochs=3]
        [--repeats=15]

Features are 1,280 wide, with a ReLU layer of 2,048 units, dropout of .3, semantic features of 512, 32 bits, batches of 128.
Labels are those of `train.txt` in FOLDER or, without it, random ones with `distinct` different label vectors, of 1 to 4
labels each; then those of 100 classes, one label per row. Targets are random features without a zero ("dense"), or LabNet's
after `labnet_epochs` epochs ("LabNet"), of whose units ImgNet's step leaves out those that are 0 for every vector.

Ours is timed inside `Trainer.run`: batches, loss, Adam and traces, a block of 40 steps at a time. After each block the others
take their turn on a batch in memory: "bare" is forward, backward and Adam of the same network on a sum of its outputs, "rows"
the same with J1 over all training rows in place of the distinct label vectors. Medians over the blocks; ratios are
medians of the ratios within a turn. Times are wall-clock times; on a shared machine read the ratios.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.deep_methods import Bare, Subject, Turns
from dseh_tf import losses
from dseh_tf.data import RetrievalDataset
from dseh_tf.data.readers.image_lists import read_image_list
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.image_encoder import Trunk
from dseh_tf.training.recipe import Phase
from experiments import program

BLOCK, BITS, BATCH = 40, 32, 128


class AllRows(Bare):
    """The bare step with J1 over every training row."""

    def __init__(self, of: Subject, targets: np.ndarray, labels: np.ndarray) -> None:
        self.bank = tf.Variable(targets, trainable=False)
        self.labels = tf.constant(labels, tf.float32)
        super().__init__(of, BATCH, True)

    def loss(self, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        similar = losses.similarity(self.labels, self.labels[:BATCH])
        pairs = losses.bank_likelihood(self.bank, outputs["feature"], similar, 0.5, 0.999)
        return pairs + tf.reduce_sum(outputs["logits"])


@dataclass(frozen=True)
class BlockPhase(Phase):
    """ImgNet's phase with an epoch of one block."""

    epoch_steps = BLOCK


def random_labels(rows: int, distinct: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [rows, classes] with `distinct` different rows; one label each if there are as many classes."""
    if distinct == classes:
        vectors = np.eye(classes, dtype=np.uint8)
    else:
        found: set[tuple[int, ...]] = set()
        while len(found) < distinct:
            found.add(tuple(sorted(set(rng.integers(classes, size=rng.integers(1, 5)).tolist()))))
        vectors = np.zeros((distinct, classes), np.uint8)
        for row, present in enumerate(sorted(found)):
            vectors[row, list(present)] = 1
    return vectors[np.concatenate([np.arange(distinct), rng.integers(distinct, size=rows - distinct)])]


def measure(name: str, labels: np.ndarray, labnet_epochs: int, repeats: int) -> None:
    """Prints a line for dense targets, and one for LabNet's."""
    rng = np.random.default_rng(0)
    inputs = rng.random((len(labels), 1280), np.float32)
    dataset = RetrievalDataset.from_arrays((inputs, labels), (inputs[:1], labels[:1]))
    method = DSEH(BITS, trunk=Trunk("features.keras"), labnet_epochs=(labnet_epochs,), imgnet_epochs=(1,))
    training = method.recipe(dataset, Runtime(progress=False))
    imgnet = training.imgnet
    assert imgnet
    vectors, dim = len(training.distinct.vectors), training.settings.feature_dim

    def random_targets() -> tuple[np.ndarray, np.ndarray]:
        codes = np.where(rng.random((vectors, BITS)) < 0.5, -1.0, 1.0)
        return 0.1 + 0.1 * rng.random((vectors, dim)).astype(np.float32), codes

    training.targets.fill(*random_targets())
    phase = training.imgnet_phase(0)
    of = Subject(imgnet.network, imgnet.groups, training.trainer, phase, inputs)
    dense = random_targets()[0][training.distinct.index]
    turns = Turns({"bare": Bare(of, BATCH, True), "rows": AllRows(of, dense, labels)}, BLOCK)
    for rival in turns.rivals.values():
        rival.steps(1)
    fields = {key: getattr(phase, key) for key in ("name", "rows", "forward", "loss", "groups")}

    def line(round_: int, targets: str, units: int) -> None:
        turns.times.clear()
        training.trainer.take(
            BlockPhase(
                **fields, round=round_, epochs=repeats + 1, learning_rate=turns.learning_rate, on_epoch=turns.on_epoch
            )
        )
        times = {way: 1e3 * np.array(values[1:]) for way, values in turns.times.items()}  # the first block compiles
        ours, bare, rows = (np.median(times[way]) for way in ("ours", "bare", "rows"))
        ratios = [np.median(times[way] / times["bare"]) for way in ("ours", "rows")]
        print(f"| {name} | {len(labels):,} | {vectors:,} | {targets}, {units} units | {ours:.1f} | {bare:.1f} | {rows:.1f} "
              f"| {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)  # fmt: skip

    line(0, "dense", dim)
    if labnet_epochs:
        training.memory.fill_normal(0)
        training.trainer.take(training.labnet_phase(0))
        training.teach()
        learnt = training.reports.label_outputs()
        line(1, "LabNet", int((learnt.features != 0).any(axis=0).sum()))


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--lists", type=program.path, help="folder with train.txt, one line `path 0 1 0 ...` per image")
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--distinct", type=int, default=3845)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--labnet_epochs", type=int, default=3, help="0 for dense targets only")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--nodeterministic", action="store_true", help="without deterministic operations, which runs use by default"
    )
    flags = parser.parse_args()
    tf.keras.utils.set_random_seed(0)
    if not flags.nodeterministic:
        tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(0)
    if flags.lists:
        name, labels = flags.lists.name, read_image_list(flags.lists / "train.txt").labels
    else:
        name, labels = "random", random_labels(flags.rows, flags.distinct, flags.classes, rng)
    print("| labels | rows | label vectors | targets | step, ms | bare, ms | rows, ms | ours / bare | rows / bare |")
    print("|---|---|---|---|---|---|---|---|---|")
    measure(name, labels, flags.labnet_epochs, flags.repeats)
    measure("100 classes", random_labels(flags.rows, 100, 100, rng), 0, flags.repeats)


if __name__ == "__main__":
    main()
