"""Exact search of one query among 10 million codes: HammingIndex compared with faiss's IndexBinaryFlat, one thread
each.

    python -m benchmarks.search [--items=10000000] [--bits=32,64,128] [--k=1,10,100,1000] [--queries=1] [--repeats=9]

Needs the extra `search`. Random codes. Both have the codes laid out before the clock starts, both are warmed up, and they
search in turns. Times are CPU milliseconds, the median of the repeats with the least and the most. faiss is timed with
its default, a heap for each query, and with `use_heap = False`, which counts by distance. All answers are compared: rows
and distances must be equal to the default's, distances to the other's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import faiss
import numpy as np

from dseh_tf.retrieval import HammingIndex
from experiments import program


def cpu_milliseconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def compare(bits: int, ks: list[int], items: int, queries: int, repeats: int, rng: np.random.Generator) -> None:
    codes, wanted = (rng.integers(0, 256, (n, bits // 8), np.uint8) for n in (items, queries))
    ours = HammingIndex(bits)
    laid_out = cpu_milliseconds(lambda: ours.add(codes, np.arange(items)))
    heap, counters = faiss.IndexBinaryFlat(bits), faiss.IndexBinaryFlat(bits)
    counters.use_heap = False  # type: ignore[attr-defined]  # faiss types no C++ members
    for index in (heap, counters):
        index.add(codes)
    kept = 8 * -(-bits // 64)
    print(f"\n{items:,} codes of {bits} bits, queries at a time: {queries}")
    print(f"layout: {kept} bytes a code, made in {laid_out:.0f} ms by `add`")
    print(f"{'k':>6s}{'HammingIndex':>26s}{'faiss, heap':>26s}{'faiss, counters':>26s}   ours / heap   ours / counters")
    for k in ks:
        ways = {
            "ours": lambda k=k: ours.search(wanted, k, threads=1),
            "heap": lambda k=k: heap.search(wanted, k)[::-1],
            "counters": lambda k=k: counters.search(wanted, k)[::-1],
        }
        answers = {name: way() for name, way in ways.items()}  # also the warm-up
        if not all(np.array_equal(a, b) for a, b in zip(answers["ours"], answers["heap"], strict=True)):
            raise SystemExit(f"answers differ: {bits} bits, k = {k}")
        if not np.array_equal(answers["ours"][1], answers["counters"][1]):  # among equal distances it takes other rows
            raise SystemExit(f"distances differ: {bits} bits, k = {k}")
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                times[name].append(cpu_milliseconds(way))
        median = {name: statistics.median(values) for name, values in times.items()}
        cells = "".join(f"{median[name]:10.1f} ({min(t):5.1f} to {max(t):5.1f})" for name, t in times.items())
        ratios = [median["ours"] / median[name] for name in ("heap", "counters")]
        print(f"{k:6d}{cells}{ratios[0]:14.2f}{ratios[1]:18.2f}", flush=True)


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--bits", type=numbers, default=[32, 64, 128], help="multiples of 8, as faiss needs them")
    parser.add_argument("--k", type=numbers, default=[1, 10, 100, 1000])
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    flags = parser.parse_args()
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    for bits in flags.bits:
        compare(bits, flags.k, flags.items, flags.queries, flags.repeats, rng)


if __name__ == "__main__":
    main()
