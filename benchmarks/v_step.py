"""The V-step of ADSH compared with the plain matrix form, in time and memory.

    python -m benchmarks.v_step [--rows=50000] [--sampled=2000] [--bits=48] [--classes=10] [--repeats=3] [--lists=FOLDER]

The plain form holds the similarity of sampled x database rows as a matrix, as in jiangqy/ADSH-AAAI2018:ADSH_pytorch, here
in numpy with the release's types: similarities in float32, outputs and codes in float64. Both ways start from labels,
outputs and the same codes, and must give the same codes. Times are taken in turns in this process, the minimum of the repeats;
memory is the peak of each way's own arrays, by tracemalloc. With `--lists`, a folder of image lists, our way also runs on
the labels of database.txt in a separate process, whose peak memory is that of the whole process.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dseh_tf.data.label_vectors import DistinctRows, distinct_rows
from dseh_tf.methods.asymmetric.database_codes import solve_codes
from dseh_tf.methods.asymmetric.sample import Sample
from experiments import program

GAMMA = 200.0


def plain(labels: np.ndarray, rows: np.ndarray, outputs: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The V-step with S [m, n] in memory."""
    labels, codes, bits = labels.astype(np.float32), codes.astype(np.float64), codes.shape[1]
    soft = (labels[rows] @ labels.T > 0).astype(np.float32)
    ratio = soft.sum(dtype=np.float64) / (1 - soft).sum(dtype=np.float64)
    soft = soft * np.float32(1 + ratio) - np.float32(ratio)
    sampled = np.zeros(codes.shape)
    sampled[rows] = outputs
    linear = -2 * bits * soft.T.dot(outputs) - 2 * GAMMA * sampled
    for bit in range(bits):
        others = np.setdiff1d(np.arange(bits), bit)
        value = linear[:, bit] + 2 * codes[:, others].dot(outputs[:, others].T.dot(outputs[:, bit]))
        codes[:, bit] = np.where(value > 0, -1.0, 1.0)
    return codes.astype(np.int8)


def ours(distinct: DistinctRows, rows: np.ndarray, outputs: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return solve_codes(codes, Sample(distinct, rows), outputs, GAMMA)


def peak(way: Callable[[], np.ndarray]) -> float:
    """MiB of the arrays that `way` makes, at most at a time."""
    tracemalloc.start()
    way()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / 2**20


def drawn(rows: int, sampled: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled rows, outputs float32 of a network that has learned something, codes ±1."""
    rng = np.random.default_rng(0)
    outputs = np.tanh(1.5 * rng.standard_normal((sampled, bits))).astype(np.float32)
    codes = np.where(rng.random((rows, bits)) < 0.5, 1, -1).astype(np.int8)
    return rng.choice(rows, sampled, replace=False), outputs, codes


def of_lists(folder: str, sampled: int, bits: int) -> None:
    """Our way on image lists, with the peak memory of this process."""
    with (Path(folder) / "database.txt").open(encoding="utf-8") as lines:
        labels = np.array([np.fromstring(line.split(" ", 1)[1], np.uint8, sep=" ") for line in lines])
    start = time.perf_counter()
    distinct = distinct_rows(labels)
    found = time.perf_counter()
    solved = ours(distinct, *drawn(len(labels), sampled, bits))
    done = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{folder}: {len(labels):,} rows, {len(distinct.vectors):,} label vectors ({found - start:.2f} s to find them once), "
        f"step {done - found:.2f} s, peak of the process {memory:.2f} GiB, {(solved == 1).mean():.3f} of the bits +1"
    )


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    for name, value in (("rows", 50_000), ("sampled", 2000), ("bits", 48), ("classes", 10), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lists", help="folder with database.txt")
    flags = parser.parse_args()
    if flags.lists:  # first: a new process begins with its parent's peak
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=of_lists, args=(flags.lists, flags.sampled, flags.bits))
        process.start()
        process.join()

    labels = np.eye(flags.classes, dtype=np.uint8)[np.random.default_rng(1).integers(flags.classes, size=flags.rows)]
    distinct = distinct_rows(labels)
    rows, outputs, codes = drawn(flags.rows, flags.sampled, flags.bits)
    ways = {
        "plain matrix form": lambda: plain(labels, rows, outputs.astype(np.float64), codes),
        "ours": lambda: ours(distinct, rows, outputs, codes),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(flags.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = way()
            times[name].append(time.perf_counter() - start)
    memory = {name: peak(way) for name, way in ways.items()}
    print(f"{flags.rows:,} rows, {flags.sampled:,} sampled, {flags.bits} bits, {flags.classes} classes")
    print("| way | s (least) | peak of arrays, MiB |\n|---|---|---|")
    for name in ways:
        print(f"| {name} | {min(times[name]):.3f} | {memory[name]:.1f} |")
    of_plain, of_ours = (min(times[name]) for name in ways)
    print(f"ours: {of_plain / of_ours:.1f} x faster, {memory['ours'] / memory['plain matrix form']:.3f} of the memory, "
          f"{int((found['ours'] != found['plain matrix form']).sum())} of {codes.size:,} bits differ")  # fmt: skip


if __name__ == "__main__":
    main()
