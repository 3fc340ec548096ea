"""Evaluation of 100 million 64-bit codes with 100 queries, in memory and in shards on disk, compared with a plain C
loop.

    python -m benchmarks.large_database [--items=100000000] [--queries=100] [--folder=FOLDER] [--repeats=3]

Random codes, each row of one of 1,000 classes, given as class ids. At a tenth, three tenths and all of the items, each way
is a separate process, in turns:

- in memory: `evaluate` of arrays that are there;
- sharded: `evaluate_shards` of a folder of memory maps in shards of 2^20 rows, made beforehand;
- plain C loop: XOR, popcount and two histograms (counting.c), of the arrays of the first way.

Seconds: CPU time of the call with its MAP, of all threads; the kernels are compiled before. Memory: the peak of the process;
of the first way also above its codes and class ids. All counts are compared. At the end, a process measures every number of a
run on the sharded form: `map_stable_order`, `map_unseen`, code health, and the ten nearest items of a dozen queries.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.class_ids import peak
from benchmarks.evaluation import BITS, c_loop
from dseh_tf.files import ShardFolder, ShardWriter, open_shards
from dseh_tf.retrieval import (
    Counts,
    Report,
    code_health_shards,
    evaluate,
    evaluate_shards,
    evaluate_unseen_shards,
    nearest_rows,
)
from dseh_tf.retrieval.codes import words
from dseh_tf.retrieval.kernels import default_threads
from experiments import program

CLASSES, SHARD_ROWS, MEBIBYTE = 1000, 1 << 20, 2**20
IN_MEMORY, SHARDED, C_LOOP, EVERY = "in memory", "sharded", "plain C loop", "sharded, every number"
MOST_ABOVE, MOST_SHARDED, LEAST_SPEED, MOST_SPREAD = 2048, 1024, 0.5, 0.15


def rows_of(begin: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes uint8 [n, 8] and class ids uint32 [n] of the shard that begins at a row."""
    rng = np.random.default_rng((0, begin))
    return rng.integers(0, 256, (n, BITS // 8), np.uint8), rng.integers(0, CLASSES, n, np.uint32)


def write(path: Path, items: int) -> None:
    arrays: dict[str, Any] = {"codes": (np.dtype(np.uint8), (items, BITS // 8)), "ids": (np.dtype(np.uint32), (items,))}
    writer = ShardWriter(path, arrays, SHARD_ROWS, "benchmark")
    for begin in range(writer.done, items, SHARD_ROWS):
        codes, ids = rows_of(begin, min(SHARD_ROWS, items - begin))
        writer.write({"codes": codes, "ids": ids})
    writer.finish({}, {})


class Shards:
    """The shards of a folder, as (codes, class ids), with `trained` as a third: of every other row that it is so."""

    def __init__(self, folder: ShardFolder, trained: bool = False) -> None:
        self.folder, self.trained = folder, trained

    def __iter__(self) -> Iterator[Any]:
        n = self.folder.headers["ids"].shape[0]
        for begin in range(0, n, SHARD_ROWS):
            end = min(begin + SHARD_ROWS, n)
            part = self.folder.rows("codes", begin, end), self.folder.rows("ids", begin, end)
            yield (*part, np.arange(begin, end) % 2 == 0) if self.trained else part


def measure(flags: Any) -> dict[str, Any]:
    """One way on `flags.items` items. The data of a way is there before its clock starts."""
    queries, query_ids = rows_of(-1 % 2**32, flags.queries)
    warm = rows_of(0, 100)
    _ = evaluate(queries, warm[0], query_ids, warm[1], BITS).map_stable_order
    path, threads = Path(flags.folder) / str(flags.items), flags.threads
    if flags.way in (IN_MEMORY, C_LOOP):
        codes, ids = np.empty((flags.items, BITS // 8), np.uint8), np.empty(flags.items, np.uint32)
        for begin in range(0, flags.items, SHARD_ROWS):
            part = slice(begin, min(begin + SHARD_ROWS, flags.items))
            codes[part], ids[part] = rows_of(begin, part.stop - part.start)
    if flags.way == C_LOOP:
        plain_c = c_loop(Path(flags.folder), "count_ids")
        database = codes.view("<u8")
    begun, start = time.perf_counter(), time.process_time()
    if flags.way == C_LOOP:
        report = Report(plain_c(words(queries), query_ids, database, ids, threads))
    elif flags.way == IN_MEMORY:
        report = evaluate(queries, codes, query_ids, ids, BITS, threads)
    else:
        report = evaluate_shards(queries, query_ids, Shards(open_shards(path)), BITS, threads)
    value = report.map
    seconds, wall = time.process_time() - start, time.perf_counter() - begun
    own = flags.items * (BITS // 8 + 4) / MEBIBYTE
    found = {
        "seconds": seconds,
        "wall": wall,
        "peak": peak(),
        "own": own,
        "map": value,
        "counts": digest(report.counts),
    }
    if flags.way == EVERY:
        folder = open_shards(path)
        every, unseen = evaluate_unseen_shards(queries, query_ids, Shards(folder, trained=True), BITS, threads)
        assert digest(every.counts) == found["counts"]
        found["every"] = {"map_stable_order": every.map_stable_order, "map_unseen": unseen.map}
        found["every"] |= {"distinct_codes": code_health_shards(Shards(folder), BITS).distinct_codes}
        parts = (codes for codes, _ in Shards(folder))
        found["every"] |= {"least_distance": int(nearest_rows(queries[:12], parts, 10, BITS)[1].min())}
        found |= {"peak": peak(), "wall": time.perf_counter() - begun}
    return found


def digest(counts: Counts) -> str:
    return hashlib.sha256(counts.total.tobytes() + counts.relevant.tobytes()).hexdigest()


def child(way: str, items: int, folder: str, flags: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_database", f"--way={way}", f"--items={items}", f"--folder={folder}",
               f"--queries={flags.queries}", f"--threads={flags.threads}"]  # fmt: skip
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--items", type=int, default=100_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument(
        "--folder",
        default=None,
        help="folder for the sharded form, which takes 12 bytes per item; by default a temporary folder",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--way", default=None, help="for internal use: one measurement in a separate process")
    flags = parser.parse_args()
    if flags.way is not None:
        print(json.dumps(measure(flags)))
        return
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        compare(flags, folder)


def compare(flags: Any, folder: str) -> None:
    sizes = [flags.items // 10, 3 * flags.items // 10, flags.items]
    print(
        f"{flags.queries:,} queries, codes of {BITS} bits, {CLASSES:,} classes, {flags.threads} threads; median (range)"
    )
    print(
        f"{'items':>12s}  {'way':14s}{'ns a pair, CPU':>24s}{'billion pairs/s':>17s}{'peak MiB':>10s}{'above its input':>17s}"
    )
    per_pair: dict[str, list[float]] = {IN_MEMORY: [], SHARDED: [], C_LOOP: []}
    for items in sizes:
        write(Path(folder) / str(items), items)
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in per_pair}
        for _ in range(flags.repeats):
            for way, found in results.items():
                found.append(child(way, items, folder, flags))
        if len({found["counts"] for way in results.values() for found in way}) != 1:
            raise SystemExit(f"counts differ at {items:,} items")
        for way, found in results.items():
            each = [1e9 * one["seconds"] / items / flags.queries for one in found]
            fastest = max(items * flags.queries / one["wall"] for one in found) / 1e9
            most = max(one["peak"] for one in found)
            per_pair[way].append(statistics.median(each))
            told = f"{per_pair[way][-1]:.3f} ({min(each):.3f} to {max(each):.3f})"
            above = "" if way == SHARDED else f"{most - found[0]['own']:.0f}"
            print(f"{items:12,d}  {way:14s}{told:>24s}{fastest:17.2f}{most:10.0f}{above:>17s}")
            if way == IN_MEMORY:
                check("MiB above codes and ids", most - found[0]["own"], MOST_ABOVE)
            elif way == SHARDED:
                check("MiB in all", most, MOST_SHARDED)
    for way in (IN_MEMORY, SHARDED):
        ratios = [c / ours for c, ours in zip(per_pair[C_LOOP], per_pair[way], strict=True)]
        spread = max(per_pair[way]) / min(per_pair[way]) - 1
        print(f"{way}: speed / plain C loop {', '.join(f'{ratio:.2f}' for ratio in ratios)} (target: at least {LEAST_SPEED}); "
              f"time a code over the sizes within {100 * spread:.0f} % (target: {100 * MOST_SPREAD:.0f} %)")  # fmt: skip
    every = child(EVERY, sizes[-1], folder, flags)
    told = ", ".join(f"{name} {value:,.5g}" for name, value in every["every"].items())
    print(f"{EVERY}: peak {every['peak']:.0f} MiB, {every['wall']:.0f} s; map {every['map']:.5g}, {told}")
    check("MiB in all", every["peak"], MOST_SHARDED)


def check(what: str, found: float, most: float) -> None:
    if found > most:
        print(f"  missed: {what}: {found:.0f}, target at most {most}")


if __name__ == "__main__":
    main()
