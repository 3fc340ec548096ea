"""`evaluate` with 1,000 class ids compared with 10: CPU seconds and peak memory, 100 queries and 10 million 64-bit
codes.

    python -m benchmarks.class_ids [--items=10000000] [--queries=100] [--classes=10,1000] [--repeats=3]
                                   [--of=ids] [--call=evaluate]

Codes and labels are random. Each measurement is a separate process with one thread; the numbers of classes take turns,
and the kernels are compiled before the clock starts. Seconds: CPU time of the call including MAP; the second column
includes `map_stable_order`. Memory: the peak of the process, and that peak above the memory that the process had after
making its input. The last lines have the ratio of the medians for the largest and the smallest number of classes.
--of=multi_hot uses a column for each class, one of which is set in each row (this takes items x classes bytes of
memory). --call=evaluate_unseen marks half of the rows as trained on.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from dseh_tf.retrieval import Report, evaluate, evaluate_unseen
from experiments import program

BYTES, MEBIBYTE = 8, 2**20


def peak() -> float:
    """MiB; ru_maxrss is in KiB, on macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MEBIBYTE


def measure(flags: Any, classes: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 256, (n, BYTES), np.uint8) for n in (flags.queries, flags.items)]
    labels = [rng.integers(0, classes, n) for n in (flags.queries, flags.items)]
    if flags.of == "multi_hot":
        ids, labels = labels, [np.zeros((n, classes), np.uint8) for n in (flags.queries, flags.items)]
        for rows, columns in zip(labels, ids, strict=True):
            rows[np.arange(len(rows)), columns] = 1
    trained = np.zeros(flags.items, bool)
    trained[::2] = True

    def call(rows: int) -> Report:
        case = codes[0], codes[1][:rows], labels[0], labels[1][:rows]
        if flags.call == "evaluate_unseen":
            return evaluate_unseen(*case, trained[:rows], bits=8 * BYTES, threads=1)[0]
        return evaluate(*case, bits=8 * BYTES, threads=1)

    small = call(100)
    _ = small.map, small.map_stable_order
    before, start = peak(), time.process_time()
    report = call(flags.items)
    value = report.map
    seconds, most, start = time.process_time() - start, peak(), time.process_time()
    _ = report.map_stable_order
    stable = time.process_time() - start
    memory = {"peak MiB": most, "MiB above input": most - before}
    return {"seconds": seconds, "stable seconds": stable, **memory, "MAP": value}


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--classes", type=lambda text: [int(n) for n in text.split(",")], default=[10, 1000])
    parser.add_argument("--of", choices=["ids", "multi_hot"], default="ids")
    parser.add_argument("--call", choices=["evaluate", "evaluate_unseen"], default="evaluate")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", action="store_true", help="for internal use: one measurement in a separate process")
    flags = parser.parse_args()
    if flags.child:
        print(json.dumps(measure(flags, flags.classes[0])))
        return
    found: dict[int, list[dict[str, float]]] = {classes: [] for classes in flags.classes}
    for _ in range(flags.repeats):
        for classes, results in found.items():
            command = [
                sys.executable, "-m", "benchmarks.class_ids", "--child", f"--items={flags.items}",
                f"--queries={flags.queries}", f"--classes={classes}", f"--of={flags.of}", f"--call={flags.call}",
            ]  # fmt: skip
            results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    names = ["seconds", "stable seconds", "peak MiB", "MiB above input"]
    print(f"{flags.call}, {flags.of}: {flags.queries:,} x {flags.items:,} codes of {8 * BYTES} bits; median (range)")
    print(f"{'classes':>8s}" + "".join(f"{name:>26s}" for name in names) + f"{'MAP':>10s}")
    median = {}
    for classes, results in found.items():
        values = {name: [result[name] for result in results] for name in names}
        median[classes] = {name: statistics.median(values[name]) for name in names}
        cells = [f"{median[classes][name]:.2f} ({min(v):.2f} to {max(v):.2f})" for name, v in values.items()]
        print(f"{classes:8,d}" + "".join(f"{cell:>26s}" for cell in cells) + f"{results[0]['MAP']:10.5f}")
    few, many = min(median), max(median)
    for name in names:
        ratio = median[many][name] / max(median[few][name], 0.01)
        print(f"{name}: {many:,} classes / {few:,} classes = {ratio:.2f}")


if __name__ == "__main__":
    main()
