"""The one hot kernel: for each query and each Hamming distance, how many database items, how many of them relevant.

Every number of the evaluation is read off these counts. They add up over shards of the database.

A pair costs an XOR, a popcount and an increment. Which items are relevant to a query is not asked pair by pair: the
labels are held as one bitmap a class over the database, and the relevant items of a query are the union of the
bitmaps of its classes, 64 items an instruction. Blocks of the database stay in the first-level cache while a share of
the queries passes over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval.codes import naming, shown, words
from dseh_tf.retrieval.kernels import kernel, over_queries, popcount, trailing_zeros

BLOCK = 2048  # rows; 16 KB of one-word codes, half a first-level cache; a multiple of 64
ONE = np.uint64(1)


@dataclass(frozen=True)
class Counts:
    """What a ranking by Hamming distance knows.

    relevant, total: int64 [queries, K + 1]; column d counts the database items at distance d.

    Example: codes of 2 bits, one query, database at distances 0, 1, 1 of which the first and the last are relevant:
    total = [[1, 2, 0]], relevant = [[1, 1, 0]].
    """

    relevant: np.ndarray
    total: np.ndarray

    def __post_init__(self) -> None:
        for name in ("relevant", "total"):
            array = getattr(self, name)
            if array.dtype != np.int64 or array.ndim != 2 or array.shape[1] < 2 or not len(array):
                raise InputError(f"{name}: found {shown(array)}, expected int64 [queries, bits + 1]")
        if self.relevant.shape != self.total.shape:
            raise InputError(f"relevant: found {list(self.relevant.shape)}, expected {list(self.total.shape)} as total")
        if len(set(self.total.sum(axis=1).tolist())) > 1:
            raise InputError("total: found rows of different sums, expected the size of the database in each")
        if (self.relevant < 0).any() or (self.relevant > self.total).any():
            raise InputError("relevant: found a count below 0 or above the total, expected between the two")

    def __add__(self, other: Counts) -> Counts:
        """The counts of two shards of a database together, for the same queries."""
        if self.total.shape != other.total.shape:
            raise InputError(f"counts: found {list(other.total.shape)}, expected {list(self.total.shape)} as before")
        return Counts(self.relevant + other.relevant, self.total + other.total)

    @property
    def bits(self) -> int:
        return self.total.shape[1] - 1

    @property
    def queries(self) -> int:
        return self.total.shape[0]


def save_counts(path: Path | str, counts: Counts) -> None:
    """Writes `counts.npz`, whole or not at all."""
    write_npz(path, {"relevant": counts.relevant, "total": counts.total})


def load_counts(path: Path | str) -> Counts:
    """Reads and checks `counts.npz`. Raises InputError naming the file, the field, what was found and expected."""
    arrays = read_npz(path, ["relevant", "total"])
    with naming(path):
        return Counts(**arrays)


@dataclass(frozen=True)
class Queries:
    """Queries laid out for the kernels.

    codes: uint64 [queries, words]. Query i has the classes classes[starts[i]:starts[i + 1]].
    """

    codes: np.ndarray
    starts: np.ndarray
    classes: np.ndarray
    bits: int

    @classmethod
    def of(cls, packed: np.ndarray, labels: np.ndarray, bits: int) -> Queries:
        """packed: uint8 [n, ceil(bits / 8)]; labels: uint8 multi-hot [n, classes]."""
        rows, classes = np.nonzero(labels)
        starts = np.searchsorted(rows, np.arange(len(labels) + 1)).astype(np.int64)
        return cls(words(packed), starts, classes.astype(np.int64), bits)

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Shard:
    """A database, or a part of one, laid out for the kernels.

    codes: uint64 [words, n], a row a word. bitmaps: uint64 [classes, ceil(n / 64)]; item j is bit j % 64 of word j //
    64.
    """

    codes: np.ndarray
    bitmaps: np.ndarray

    @classmethod
    def of(cls, packed: np.ndarray, labels: np.ndarray) -> Shard:
        """packed: uint8 [n, ceil(bits / 8)]; labels: uint8 multi-hot [n, classes]."""
        bitmaps = words(np.packbits(np.ascontiguousarray(labels.T), axis=1, bitorder="little"))
        return cls(np.array(words(packed).T, order="C"), bitmaps)

    def __len__(self) -> int:
        return self.codes.shape[1]


def count(queries: Queries, shard: Shard, threads: int | None = None) -> Counts:
    """Counts of all queries against one shard, exact. threads: default all processors of this process."""
    relevant = np.zeros((len(queries), queries.bits + 1), np.int64)
    total = np.zeros_like(relevant)

    def task(share: slice) -> None:
        codes, starts = queries.codes[share], queries.starts[share.start : share.stop + 1]
        out = relevant[share], total[share]
        if codes.shape[1] == 1:
            _count_one_word(codes[:, 0].copy(), starts, queries.classes, shard.codes[0], shard.bitmaps, *out)
        else:
            _count(codes, starts, queries.classes, shard.codes, shard.bitmaps, *out)

    over_queries(task, len(queries), threads)
    return Counts(relevant, total)


@kernel
def _relevant_items(classes, bitmaps, first_word, items):
    """items <- union of the bitmaps of the classes, from `first_word` on."""
    items[:] = 0
    for c in classes:
        bitmap = bitmaps[c]
        for w in range(len(items)):
            items[w] |= bitmap[first_word + w]


@kernel
def block_distances(code, database, begin, distances):
    """distances <- Hamming distances of a code [words] to the items begin, begin + 1, ... of a database [words, n]."""
    distances[:] = 0
    for w in range(len(code)):
        word = code[w]
        block = database[w, begin : begin + len(distances)]
        for j in range(len(distances)):
            distances[j] += popcount(word ^ block[j])


@kernel
def _count_one_word(codes, starts, classes, database, bitmaps, relevant, total):
    n = len(database)
    buffer = np.empty(BLOCK // 64, np.uint64)
    for begin in range(0, n, BLOCK):
        block = database[begin : min(begin + BLOCK, n)]
        items = buffer[: (len(block) + 63) // 64]
        for i in range(len(codes)):
            code = codes[i]
            histogram = total[i]
            for j in range(len(block)):
                histogram[popcount(code ^ block[j])] += 1
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, begin // 64, items)
            histogram = relevant[i]
            for w in range(len(items)):
                item = items[w]
                while item != 0:
                    histogram[popcount(code ^ block[np.uint64(w * 64) + trailing_zeros(item)])] += 1
                    item &= item - ONE


@kernel
def _count(codes, starts, classes, database, bitmaps, relevant, total):
    n = database.shape[1]
    buffer = np.empty(BLOCK // 64, np.uint64)
    distance_buffer = np.empty(BLOCK, np.uint32)
    for begin in range(0, n, BLOCK):
        size = min(BLOCK, n - begin)
        distances = distance_buffer[:size]
        items = buffer[: (size + 63) // 64]
        for i in range(len(codes)):
            block_distances(codes[i], database, begin, distances)
            histogram = total[i]
            for j in range(size):
                histogram[distances[j]] += 1
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, begin // 64, items)
            histogram = relevant[i]
            for w in range(len(items)):
                item = items[w]
                while item != 0:
                    histogram[distances[np.uint64(w * 64) + trailing_zeros(item)]] += 1
                    item &= item - ONE


class StableOrder:
    """Average precision with tied items in database order: a second pass, shard after shard, without a sort.

    The counts say how many items, and how many relevant ones, lie nearer than distance d; a running number a query and
    distance counts those met so far at d. So every item knows its rank when it is met.
    """

    def __init__(self, counts: Counts) -> None:
        self._rank = np.cumsum(counts.total, axis=1) - counts.total
        self._hits = np.cumsum(counts.relevant, axis=1) - counts.relevant
        self._relevant = counts.relevant.sum(axis=1)
        self._sum = np.zeros(counts.queries)

    def add(self, queries: Queries, shard: Shard, threads: int | None = None) -> None:
        """Meets the next shard, in database order."""

        def task(share: slice) -> None:
            starts = queries.starts[share.start : share.stop + 1]
            state = self._rank[share], self._hits[share], self._sum[share]
            _stable_order(queries.codes[share], starts, queries.classes, shard.codes, shard.bitmaps, *state)

        over_queries(task, len(queries), threads)

    def average_precision(self) -> np.ndarray:
        """float64 [queries]; 0 for a query without a relevant item."""
        return self._sum / np.maximum(self._relevant, 1)


@kernel
def _stable_order(codes, starts, classes, database, bitmaps, rank, hits, precision_sum):
    n = database.shape[1]
    buffer = np.empty(BLOCK // 64, np.uint64)
    distance_buffer = np.empty(BLOCK, np.uint32)
    for begin in range(0, n, BLOCK):
        size = min(BLOCK, n - begin)
        distances = distance_buffer[:size]
        items = buffer[: (size + 63) // 64]
        for i in range(len(codes)):
            block_distances(codes[i], database, begin, distances)
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, begin // 64, items)
            for j in range(size):
                d = distances[j]
                rank[i, d] += 1
                if (items[j // 64] >> np.uint64(j % 64)) & ONE:
                    hits[i, d] += 1
                    precision_sum[i] += hits[i, d] / rank[i, d]
