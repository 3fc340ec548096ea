"""The kernel of the evaluation: counts database items and relevant items per query and Hamming distance.

Every number of the evaluation is computed from these counts. The counts of shards of a database add up.

Each pair costs an XOR, a popcount and an increment. For each block, a bitmap says which items are relevant to a query.
With class ids, it comes from comparing the items' ids with the query's; with multi-hot labels, it is the union of the
bitmaps of the query's classes, which are prepared for all classes that any query has. A block of the database stays in
the first-level cache while many queries are compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseh_tf.retrieval.codes import words
from dseh_tf.retrieval.counts import Counts
from dseh_tf.retrieval.kernels import kernel, over_queries, popcount, trailing_zeros

BLOCK = 2048  # rows; 16 KB of one-word codes, half a first-level cache; a multiple of 64
LAYOUT_VALUES = 2**22  # label values laid out at a time, which bounds the temporary memory of a layout
ONE = np.uint64(1)
NO_CLASS = np.uint32(2**32 - 1)  # the class id of an item that shares its class with no query


@dataclass(frozen=True)
class Queries:
    """Queries laid out for the kernels.

    codes: uint64 [queries, words]. Query i has the classes classes[starts[i]:starts[i + 1]]: columns of the bitmaps, or
    its class id.
    """

    codes: np.ndarray
    starts: np.ndarray
    classes: np.ndarray
    bits: int

    @classmethod
    def of(cls, packed: np.ndarray, labels: np.ndarray, bits: int) -> Queries:
        """packed: uint8 [n, ceil(bits / 8)]; labels: multi-hot [n, classes], or class ids uint32 [n]."""
        rows, classes = np.nonzero(labels) if labels.ndim == 2 else (np.arange(len(labels)), labels)
        starts = np.searchsorted(rows, np.arange(len(labels) + 1)).astype(np.int64)
        return cls(words(packed), starts, classes.astype(np.int64), bits)

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Shard:
    """A database, or a part of one, laid out for the kernels.

    codes: uint64 [words, n], a row a word. Relevance is read from one of two, the other is empty:

    - bitmaps: uint64 [classes, ceil(n / 64)]; item j is bit j % 64 of word j // 64.
    - ids: uint32 [n], the class of each item.
    """

    codes: np.ndarray
    bitmaps: np.ndarray
    ids: np.ndarray

    @classmethod
    def of(cls, packed: np.ndarray, labels: np.ndarray, classes: np.ndarray | None = None) -> Shard:
        """Lays out codes and labels; codes of 64 bits and class ids are not copied.

        Args:
            packed: uint8 [n, ceil(bits / 8)].
            labels: multi-hot [n, classes], or class ids uint32 [n].
            classes: the columns of multi-hot labels to lay out, in the order in which the queries number them; all by
                default.
        """
        if labels.ndim == 1:
            bitmaps, ids = np.empty((0, 0), np.uint64), np.require(labels, np.uint32, ["C", "A"])
        else:
            classes = np.arange(labels.shape[1]) if classes is None else classes
            bitmaps, ids = class_bitmaps(labels, classes), np.empty(0, np.uint32)
        return cls(code_columns(packed), bitmaps, read_only(ids))

    def __len__(self) -> int:
        return int(self.codes.shape[1])


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to. numba compiles a kernel again for arrays that can; the layouts never are."""
    view = array.view()
    view.flags.writeable = False
    return view


def code_columns(packed: np.ndarray) -> np.ndarray:
    """uint64 [words, n] from packed codes uint8 [n, bytes], filled up with zeros, read-only.

    Codes of 8 bytes are not copied: the result is a view of them.

    Example: code_columns([[9, 1], [0, 2]]) = [[9 + 256 * 1, 256 * 2]].
    """
    rows = words(packed) if packed.shape[1] % 8 else np.ascontiguousarray(packed).view("<u8")
    return read_only(np.require(rows.T, np.uint64, ["C", "A"]))


def class_bitmaps(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """uint64 [len(classes), ceil(n / 64)] from the columns `classes` of multi-hot labels [n, c].

    Example: class_bitmaps([[0, 1], [1, 0], [1, 1]], [1]) = [[0b101]].
    """
    n = len(labels)
    bitmaps = np.zeros((len(classes), -(-n // 64) * 8), np.uint8)
    rows = max(LAYOUT_VALUES // max(len(classes), 1) // 64, 1) * 64
    for begin in range(0, n, rows):
        part = labels[begin : begin + rows, classes].T != 0
        packed = np.packbits(np.ascontiguousarray(part), axis=1, bitorder="little")
        bitmaps[:, begin // 8 : begin // 8 + packed.shape[1]] = packed
    return bitmaps.view("<u8").astype(np.uint64, copy=False)


def count(queries: Queries, shard: Shard, threads: int | None = None) -> Counts:
    """Counts of all queries against one shard, exact. threads: default all processors of this process."""
    relevant = np.zeros((len(queries), queries.bits + 1), np.int64)
    total = np.zeros_like(relevant)

    def task(share: slice) -> None:
        codes, starts = queries.codes[share], queries.starts[share.start : share.stop + 1]
        out = relevant[share], total[share]
        if codes.shape[1] == 1:
            _count_one_word(codes[:, 0].copy(), starts, queries.classes, shard.codes[0], shard.bitmaps, shard.ids, *out)
        else:
            _count(codes, starts, queries.classes, shard.codes, shard.bitmaps, shard.ids, *out)

    over_queries(task, len(queries), threads)
    return Counts(relevant, total)


@kernel
def _relevant_items(classes: np.ndarray, bitmaps: np.ndarray, ids: np.ndarray, begin: int, items: np.ndarray) -> None:
    """items <- bitmap of the items begin, begin + 1, ... that have one of the classes; begin: a multiple of 64."""
    items[:] = 0
    for c in classes:
        if len(ids):
            for w in range(len(items)):
                block = ids[begin + 64 * w : begin + 64 * (w + 1)]
                item = np.uint64(0)
                for j in range(len(block)):
                    item |= np.uint64(block[j] == np.uint32(c)) << np.uint64(j)
                items[w] |= item
        else:
            bitmap = bitmaps[c, begin // 64 :]
            for w in range(len(items)):
                items[w] |= bitmap[w]


@kernel
def block_distances(code: np.ndarray, database: np.ndarray, begin: int, distances: np.ndarray) -> None:
    """distances <- Hamming distances of a code [words] to the items begin, begin + 1, ... of a database [words, n]."""
    distances[:] = 0
    for w in range(len(code)):
        word = code[w]
        block = database[w, begin : begin + len(distances)]
        for j in range(len(distances)):
            distances[j] += popcount(word ^ block[j])


@kernel
def _count_one_word(
    codes: np.ndarray,
    starts: np.ndarray,
    classes: np.ndarray,
    database: np.ndarray,
    bitmaps: np.ndarray,
    ids: np.ndarray,
    relevant: np.ndarray,
    total: np.ndarray,
) -> None:
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
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, ids, begin, items)
            histogram = relevant[i]
            for w in range(len(items)):
                item = items[w]
                while item != 0:
                    histogram[popcount(code ^ block[np.uint64(w * 64) + trailing_zeros(item)])] += 1
                    item &= item - ONE


@kernel
def _count(
    codes: np.ndarray,
    starts: np.ndarray,
    classes: np.ndarray,
    database: np.ndarray,
    bitmaps: np.ndarray,
    ids: np.ndarray,
    relevant: np.ndarray,
    total: np.ndarray,
) -> None:
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
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, ids, begin, items)
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
            _stable_order(queries.codes[share], starts, queries.classes, shard.codes, shard.bitmaps, shard.ids, *state)

        over_queries(task, len(queries), threads)

    def average_precision(self) -> np.ndarray:
        """float64 [queries]; 0 for a query without a relevant item."""
        precision: np.ndarray = self._sum / np.maximum(self._relevant, 1)
        return precision


@kernel
def _stable_order(
    codes: np.ndarray,
    starts: np.ndarray,
    classes: np.ndarray,
    database: np.ndarray,
    bitmaps: np.ndarray,
    ids: np.ndarray,
    rank: np.ndarray,
    hits: np.ndarray,
    precision_sum: np.ndarray,
) -> None:
    n = database.shape[1]
    buffer = np.empty(BLOCK // 64, np.uint64)
    distance_buffer = np.empty(BLOCK, np.uint32)
    for begin in range(0, n, BLOCK):
        size = min(BLOCK, n - begin)
        distances = distance_buffer[:size]
        items = buffer[: (size + 63) // 64]
        for i in range(len(codes)):
            block_distances(codes[i], database, begin, distances)
            _relevant_items(classes[starts[i] : starts[i + 1]], bitmaps, ids, begin, items)
            for j in range(size):
                d = distances[j]
                rank[i, d] += 1
                if (items[j // 64] >> np.uint64(j % 64)) & ONE:
                    hits[i, d] += 1
                    precision_sum[i] += hits[i, d] / rank[i, d]
