"""Evaluation of 5,000 queries against 117,218 items: this project, a plain C loop, the usual argsort loop, numpy counting.

    python -m benchmarks.evaluation [--full] [--threads=2] [--queries=5000] [--items=117218]

Random 64-bit codes and 80 labels, 2.9 labels per row as in MS-COCO. Each variant gets its data in its preferred layout,
and its counts are compared with ours. The argsort loop is timed on a sample of the queries and scaled, unless --full is
given.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.retrieval import Counts, evaluate, unpack
from dseh_tf.retrieval.codes import words
from dseh_tf.retrieval.counting import Queries, Shard, count
from dseh_tf.retrieval.kernels import default_threads, over_queries
from experiments import program

BITS, CLASSES, LABELS_A_ROW, REPEATS = 64, 80, 2.9, 5


def label_words(labels: np.ndarray) -> np.ndarray:
    """uint64 [n, 2] from multi-hot [n, 80]."""
    return words(np.packbits(labels, axis=1, bitorder="little"))


def c_loop(folder: Path, name: str = "count") -> Callable[..., Counts]:
    """A loop of counting.c, compiled for this machine."""
    source, library = Path(__file__).with_name("counting.c"), folder / "counting.so"
    command = ["cc", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    function = getattr(ctypes.CDLL(str(library)), name)

    def run(
        query_codes: np.ndarray,
        query_labels: np.ndarray,
        database_codes: np.ndarray,
        database_labels: np.ndarray,
        threads: int,
    ) -> Counts:
        total = np.empty((len(query_codes), BITS + 1), np.int64)
        relevant = np.empty_like(total)

        def pointer(array: np.ndarray) -> Any:
            return array.ctypes.data_as(ctypes.c_void_p)

        function(
            *(pointer(query_codes), pointer(query_labels), ctypes.c_int64(len(query_codes))),
            *(pointer(database_codes), pointer(database_labels), ctypes.c_int64(len(database_codes))),
            *(pointer(relevant), pointer(total), ctypes.c_int(threads)),
        )
        return Counts(relevant, total)

    return run


def numpy_counts(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    database_codes: np.ndarray,
    database_labels: np.ndarray,
    threads: int,
) -> Counts:
    """XOR, numpy's popcount and bincount, a query at a time."""
    code, columns = database_codes[:, 0].copy(), [np.ascontiguousarray(column) for column in database_labels.T]
    both = np.empty((len(query_codes), BITS + 1, 2), np.int64)

    def task(share: slice) -> None:
        for i in range(share.start, share.stop):
            shared = (query_labels[i, 0] & columns[0] | query_labels[i, 1] & columns[1]) != 0
            index = 2 * np.bitwise_count(query_codes[i, 0] ^ code) + shared
            both[i] = np.bincount(index, minlength=2 * (BITS + 1)).reshape(-1, 2)

    over_queries(task, len(query_codes), threads)
    return Counts(both[..., 1].copy(), both.sum(axis=2))


def argsort_map(
    query_codes: np.ndarray, query_labels: np.ndarray, database_codes: np.ndarray, database_labels: np.ndarray
) -> float:
    """The loop of most published code (as lelan-li/DSEH:evaluate.py): float products, argsort, precision at each hit."""
    total = 0.0
    for code, label in zip(query_codes, query_labels, strict=True):
        hits = (label @ database_labels.T > 0).astype(np.float32)
        distance = 0.5 * (BITS - code @ database_codes.T)
        hits = hits[np.argsort(distance)]
        found = int(hits.sum())
        if found:
            total += float(np.mean(np.arange(1, found + 1) / (np.flatnonzero(hits) + 1.0)))
    return total / len(query_codes)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--full", action="store_true", help="time the argsort loop on all queries (about a minute)")
    parser.add_argument("--sample", type=int, default=100, help="number of queries for the argsort loop otherwise")
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--items", type=int, default=117218)
    parser.add_argument("--threads", type=int, default=default_threads())
    flags = parser.parse_args()
    threads = flags.threads

    rng = np.random.default_rng(0)
    packed = [rng.integers(0, 256, (n, BITS // 8), np.uint8) for n in (flags.queries, flags.items)]
    labels = [
        (rng.random((n, CLASSES)) < LABELS_A_ROW / CLASSES).astype(np.uint8) for n in (flags.queries, flags.items)
    ]
    in_words = (words(packed[0]), label_words(labels[0]), words(packed[1]), label_words(labels[1]))
    in_bytes = (packed[0], packed[1], labels[0], labels[1])
    queries, shard = Queries.of(packed[0], labels[0], BITS), Shard.of(packed[1], labels[1])

    sample = flags.queries if flags.full else min(flags.sample, flags.queries)
    float_codes, float_labels = unpack(packed[0], BITS).astype(np.float32), labels[0].astype(np.float32)
    float_database = unpack(packed[1], BITS).astype(np.float32), labels[1].astype(np.float32)

    with tempfile.TemporaryDirectory() as folder:
        plain_c = c_loop(Path(folder))
        counting: dict[str, Callable[[], Counts]] = {
            "counting kernel": lambda: count(queries, shard, threads),
            "plain C loop": lambda: plain_c(*in_words, threads),
            "numpy popcount + bincount": lambda: numpy_counts(*in_words, threads),
        }
        counts = {name: way() for name, way in counting.items()}  # also the warm-up
        ways: dict[str, Callable[[], object]] = {
            **counting,
            "evaluate(), bytes in, MAP out": lambda: evaluate(*in_bytes, bits=BITS, threads=threads).map,
        }
        ways["evaluate(), bytes in, MAP out"]()
        argsort_map(float_codes[:2], float_labels[:2], *float_database)
        times: dict[str, list[float]] = {name: [] for name in ways}
        argsort = 0.0
        for part in np.array_split(np.arange(sample), REPEATS):  # in turns, so that other work on the machine meets all
            for name, way in ways.items():
                times[name].append(seconds(way))
            argsort += seconds(partial(argsort_map, float_codes[part], float_labels[part], *float_database))
    argsort *= flags.queries / sample
    ours = counts["counting kernel"]
    for name, other in counts.items():
        if not (np.array_equal(ours.relevant, other.relevant) and np.array_equal(ours.total, other.total)):
            raise SystemExit(f"counts differ: {name}")

    print(
        f"{flags.queries:,} x {flags.items:,} codes of {BITS} bits, {CLASSES} labels, {threads} threads; all counts are equal"
    )
    print(f"median of {REPEATS} after a warm-up, in turns; seconds (least to most)")
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, value in median.items():
        print(f"  {name:32s} {value:8.3f}  ({min(times[name]):.3f} to {max(times[name]):.3f})")
    how = "all queries, once" if flags.full else f"{sample} queries, once, times {flags.queries / sample:g}"
    print(f"  {'float products and argsort':32s} {argsort:8.1f}  ({how})")
    kernel, whole = median["counting kernel"], median["evaluate(), bytes in, MAP out"]
    print(f"counting kernel / plain C loop           {kernel / median['plain C loop']:8.2f}")
    print(f"numpy popcount + bincount / kernel       {median['numpy popcount + bincount'] / kernel:8.1f}")
    print(f"float products and argsort / kernel      {argsort / kernel:8.1f}")
    print(f"float products and argsort / evaluate()  {argsort / whole:8.1f}")


if __name__ == "__main__":
    main()
