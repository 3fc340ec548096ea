"""The search engines compared with faiss's IndexBinaryFlat over all rows, one thread each, and the start-up time of a
search.

    python -m benchmarks.index [--queries=600] [--repeats=7] [--uniform=1000000] [--database=postgresql://...]

Needs the extra `search`. k = 100, codes of 64 bits. "learned": 100,000 rows with 2,000 distinct codes whose frequencies fall
as 1 / rank; queries are rows with 2 % of their bits flipped. "uniform": random codes, nearly all distinct. Both engines are
warmed up and search in turns; times are CPU time, the median of the repeats with the least and the most. All distances are
compared. The next part times whole processes: `experiments.search` with a code as its query, and `import tensorflow`.

With --database, an index of the engine `pgvector` is made there and searched: wall-clock time of single queries, over
the learned codes and over the same rows with 2 % of their bits flipped (about 53,000 distinct codes), exact and with HNSW.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from dseh_tf.retrieval.search import new_index, open_index, replacing_index
from experiments import program

K = 100


def learned(rng: np.random.Generator, rows: int = 100_000, distinct: int = 2000) -> np.ndarray:
    """Packed codes uint8 [rows, 8] as trained networks give them: few codes, some of them very often."""
    chance = 1 / np.arange(1, distinct + 1)
    return rng.integers(0, 256, (distinct, 8), np.uint8)[rng.choice(distinct, rows, p=chance / chance.sum())]


def flipped(rng: np.random.Generator, codes: np.ndarray, share: float) -> np.ndarray:
    return codes ^ np.packbits(rng.random((len(codes), 64)) < share, axis=1)


def each(index: Any, queries: list[np.ndarray]) -> None:
    """One search per query; the answers are not kept, so that no memory is asked for."""
    for query in queries:
        index.search(query, K)


def compare(name: str, codes: np.ndarray, queries: np.ndarray, singles: int, repeats: int) -> None:
    """One table: single queries, then all of them as a batch."""
    ours, flat = new_index(bits=64), faiss.IndexBinaryFlat(64)
    ours.add(codes, [f"images/{i}.jpg" for i in range(len(codes))])
    flat.add(codes)
    one = [queries[i : i + 1].copy() for i in range(singles)]
    ways: dict[str, tuple[Callable[[], object], Callable[[], object], int]] = {
        "single query": (lambda: each(ours, one), lambda: each(flat, one), singles),
        f"batch of {len(queries):,}": (lambda: ours.search(queries, K), lambda: flat.search(queries, K), len(queries)),
    }
    if not np.array_equal(ours.search(queries, K)[1], flat.search(queries, K)[0]):
        raise SystemExit(f"distances differ: {name}")
    for what, (mine, theirs, count) in ways.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for way, spent in zip((mine, theirs), times, strict=True):
                start = time.process_time()
                way()
                spent.append(1e6 * (time.process_time() - start) / count)
        cells = "".join(f"{statistics.median(t):10.1f} ({min(t):7.1f} to {max(t):7.1f})" for t in times)
        ratio = statistics.median(times[1]) / statistics.median(times[0])
        print(f"{name:10s}{what:16s}{cells}{ratio:12.1f}", flush=True)


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def starts(codes: np.ndarray, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index = new_index(bits=64)
        index.add(codes, [f"images/{i}.jpg" for i in range(len(codes))])
        index.save(path)
        code = codes[0].tobytes().hex()
        search = [sys.executable, "-m", "experiments.search", f"--index={path}", f"--code={code}"]
        commands = {"experiments.search": search, "import tensorflow": [sys.executable, "-c", "import tensorflow"]}
        seconds(search)
        for name, command in commands.items():
            times = [seconds(command) for _ in range(repeats)]
            wall, cpu = (statistics.median(kind) for kind in zip(*times, strict=True))
            print(f"{name:20s}{wall:8.2f} s{cpu:8.2f} s CPU", flush=True)


def database(name: str, codes: np.ndarray, queries: np.ndarray, address: str, repeats: int) -> None:
    """One line: the engine `pgvector`, exact and with HNSW, compared with the answers of `exact`."""
    ids = [f"images/{i}.jpg" for i in range(len(codes))]
    reference, one = new_index(bits=64), [queries[i : i + 1] for i in range(len(queries))]
    reference.add(codes, ids)
    with replacing_index(address, bits=64) as new:
        start = time.perf_counter()
        new.add(codes, ids)
        added = time.perf_counter() - start
    index: Any = open_index(address)
    if not np.array_equal(index.search(queries, K)[0], reference.search(queries, K)[0]):
        raise SystemExit(f"answers differ: {name}")
    exact = milliseconds(index, one, repeats)
    start = time.perf_counter()
    recall = index.build_hnsw()
    built = time.perf_counter() - start
    graph = milliseconds(index, one, repeats)
    index.close()
    print(
        f"{name:10s} add {added:.1f} s   exact {exact}   HNSW {built:.1f} s, {graph}, recall {recall:.4f}", flush=True
    )


def milliseconds(index: Any, queries: list[np.ndarray], repeats: int) -> str:
    """Median, least and most of the repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        each(index, queries)
        times.append(1e3 * (time.perf_counter() - start) / len(queries))
    return f"{statistics.median(times):.2f} ms ({min(times):.2f} to {max(times):.2f})"


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--queries", type=int, default=600, help="single queries over the learned codes")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--uniform", type=int, default=1_000_000, help="random codes")
    parser.add_argument("--database", help="address of an index, which is replaced: postgresql://...?index=name")
    flags = parser.parse_args()
    faiss.omp_set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # one thread of ours, too
    rng = np.random.default_rng(0)
    codes = learned(rng)
    print(f"{'':26s}{'exact, us a query':>30s}{'faiss, us a query':>30s}   faiss / ours")
    queries = flipped(rng, codes[rng.choice(len(codes), 1000)], 0.02)
    compare("learned", codes, queries, min(flags.queries, 1000), flags.repeats)
    uniform, wanted = (rng.integers(0, 256, (n, 8), np.uint8) for n in (flags.uniform, 1000))
    compare("uniform", uniform, wanted, 20, flags.repeats)
    starts(codes, min(flags.repeats, 3))
    if flags.database:
        database("learned", codes, queries[:100], flags.database, flags.repeats)
        many = flipped(rng, codes, 0.02)
        database("flipped", many, flipped(rng, many[:100], 0.02), flags.database, flags.repeats)


if __name__ == "__main__":
    main()
