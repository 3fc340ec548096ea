"""Label codes of DSEH's presets on many kinds of labels, without images: whether they collapse, and how far apart they
are.

    python -m benchmarks.label_structures [--presets=release,modern] [--rows=2000] [--structures=...]

Every structure is drawn here: `rows` training rows, a tenth of them as queries and half as database. For each preset, as
it is on data without published settings, the table has n_h (distinct codes of the distinct training label vectors), the
minimum Hamming distance between codes of different label vectors, and map_l (label queries, label database, expected
over tied orders).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.dseh.dseh import DSEH
from experiments import program

Draw = Callable[[np.random.Generator, int], np.ndarray]  # multi-hot labels of that many rows


def one_label(classes: int, tail: float = 1.0) -> Draw:
    """One label per row; class j is `tail` ** (j / (classes - 1)) times as frequent as class 0."""
    shares = tail ** (np.arange(classes) / max(classes - 1, 1))

    def draw(rng: np.random.Generator, rows: int) -> np.ndarray:
        drawn = rng.choice(classes, rows, p=shares / shares.sum())
        drawn[: min(rows, classes)] = np.arange(min(rows, classes))  # each class at least once
        return np.eye(classes, dtype=np.uint8)[drawn]

    return draw


def several_labels(classes: int, mean: float) -> Draw:
    """At least one label per row, `mean` on average, of classes with frequencies that fall as 1 / rank."""
    shares = 1.0 / np.arange(1, classes + 1)
    shares = np.minimum(shares / shares.sum() * mean, 0.9)

    def draw(rng: np.random.Generator, rows: int) -> np.ndarray:
        labels = (rng.random((rows, classes)) < shares).astype(np.uint8)
        labels[np.arange(rows), rng.integers(classes, size=rows)] |= ~labels.any(axis=1)
        return labels

    return draw


STRUCTURES = {
    "2 classes, 32 bits": (one_label(2), 32),
    "10 classes, 12 bits": (one_label(10), 12),
    "20 classes, 32 bits": (one_label(20), 32),
    "100 classes, 16 bits": (one_label(100), 16),
    "100 classes, 32 bits": (one_label(100), 32),
    "100 classes, long tail (1:100), 32 bits": (one_label(100, 0.01), 32),
    "100 classes, 128 bits": (one_label(100), 128),
    "1,000 classes, 64 bits": (one_label(1000), 64),
    "40 classes, 2 labels a row, 32 bits": (several_labels(40, 2.0), 32),
    "80 classes, 4 labels a row, 64 bits": (several_labels(80, 4.0), 64),
}


def measure(draw: Draw, bits: int, preset: str, rows: int) -> dict[str, object]:
    """Fits the label side of DSEH and returns what the table shows."""
    rng = np.random.default_rng(0)
    train, query, database = ((None, draw(rng, count)) for count in (rows, rows // 10, rows // 2))
    method = DSEH(bits, preset=preset, phases="labnet")
    started = time.perf_counter()
    fitted = method.fit(RetrievalDataset.from_arrays(train, query, database), Runtime(progress=False))
    seconds = time.perf_counter() - started
    health = fitted.health["labnet"]
    return {
        "n_h": f"{fitted.results['distinct_label_codes']} of {fitted.results['distinct_label_vectors']}",
        "least": health.least_distance,
        "map_l": f"{fitted.results['map_labels']:.3f}",
        "s": f"{seconds:.0f}",
    }


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--presets", default="release,modern")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--structures", default=";".join(STRUCTURES), help="separated by semicolons")
    given = parser.parse_args()
    presets = given.presets.split(",")
    print("| labels | " + " | ".join(f"{p}: n_h | least distance | map_l | s" for p in presets) + " |")
    print("|---" * (1 + 4 * len(presets)) + "|")
    for name in given.structures.split(";"):
        draw, bits = STRUCTURES[name]
        found = [measure(draw, bits, preset, given.rows) for preset in presets]
        print(f"| {name} | " + " | ".join(str(value) for row in found for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
