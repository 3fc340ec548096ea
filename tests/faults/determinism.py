"""Does a run depend on the numbers of threads? Runs the same small DSEH with several and compares what it leaves.

    python -m tests.faults.determinism [--run=DPSH]

Every run is a process of its own. Prints a table: arrays that differ from the first run's, the largest relative difference of
a loss, the share of database bits that differ, and MAP. `benchmarks.recorded_numbers` compares versions.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from experiments import program
from tests.faults import forked, small_runs


def threads(intra: int = 0, inter: int = 0, data: int = 0) -> None:
    """Sets the threads within an operation, between operations and of tf.data; 0 leaves the default."""
    import tensorflow as tf

    from dseh_tf.training import batches

    tf.config.threading.set_intra_op_parallelism_threads(intra)
    tf.config.threading.set_inter_op_parallelism_threads(inter)
    batches._THREADS = data or batches._THREADS


SETTINGS: dict[str, Callable[[], None]] = {
    "defaults": threads,
    "defaults, another process": threads,
    "1 thread of tf.data": partial(threads, data=1),
    "8 threads of tf.data": partial(threads, data=8),
    "1 thread between operations": partial(threads, inter=1),
    "1 thread within an operation": partial(threads, intra=1),
    "4 threads within an operation": partial(threads, intra=4),
}


def compared(found: Path, expected: Path) -> str:
    """A row of the table."""
    differing = small_runs.differences(found, expected)
    losses, worst = {}, 0.0
    for folder in (found, expected):
        with np.load(folder / "losses.npz") as file:
            losses[folder] = {name: file[name].astype(np.float64) for name in file.files}
    for name, values in losses[expected].items():
        gap = np.abs(losses[found][name] - values) / np.maximum(np.abs(values), 1e-12)
        worst = max(worst, float(gap.max()))
    bits = []
    for folder in (found, expected):
        with np.load(folder / "codes.npz") as file:
            bits.append(np.unpackbits(file["database_codes"], axis=1))
    score = json.loads((found / "result.json").read_text())["map"]
    share = float((bits[0] != bits[1]).mean())
    return f"{len(differing) or 'none'} | {worst:.1e} | {100 * share:.2f} % | {score:.4f}"


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--run", choices=list(small_runs.RUNS), default="DSEH, two rounds")
    name = parser.parse_args().run
    import tensorflow as tf  # noqa: F401

    import dseh_tf.methods  # noqa: F401

    print(f"{name}, {os.cpu_count()} processors")
    print("| threads | arrays and numbers that differ | loss | bits | MAP |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        lists = small_runs.write_lists(root / "lists")
        for number, (setting, prepare) in enumerate(SETTINGS.items()):
            workdir = root / str(number)
            act = forked.program("experiments.run", small_runs.arguments(name, lists, workdir))
            ended = forked.watched(act, workdir, root / "log", prepare=prepare)
            row = (
                compared(workdir, root / "0")
                if not ended.status
                else f"exit code {ended.status}: {ended.output[-300:]}"
            )
            print(f"| {setting} | {row} |", flush=True)


if __name__ == "__main__":
    main()
