"""Groups equal rows of a database in parts: its label vectors, and its codes. Exact, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from dseh_tf.retrieval.codes import words

BLOCK_ROWS = 1 << 20  # rows that are looked at together
PARTITION_BYTES = 1 << 25  # of distinct codes that are sorted together
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: multiplication spreads the low bits over the high ones


def blocks(shards: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same rows in parts of at most BLOCK_ROWS."""
    for codes, labels in shards:
        for begin in range(0, len(codes), BLOCK_ROWS):
            part = slice(begin, begin + BLOCK_ROWS)
            yield codes[part], labels[part]


def equal_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of equal rows of uint64 [n, words]: the first row of each, the group of each row, the size of each."""
    order, starts = _sorted_groups(keys)
    sizes = np.diff(np.append(starts, len(keys)))
    group = np.empty(len(keys), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), sizes)
    return order[starts], group, sizes


def _sorted_groups(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows uint64 [n, words] in order, and where in this order each group of equal rows begins."""
    order = np.lexsort(keys.T)  # stable: the first row of a group comes first
    new = np.zeros(len(keys), bool)
    new[0] = True
    for column in keys.T:
        ranked = column[order]
        new[1:] |= ranked[1:] != ranked[:-1]
    return order, np.flatnonzero(new)


class LabelGroups:
    """What is known of the rows of each label vector, added up part by part.

    Attributes:
        keys: uint64 [vectors, words], the label vectors packed, or their class ids.
        sizes: int64 [vectors], how many rows have each.
        ones: int64 [vectors, bits], how many of these rows have each bit set.
        first: uint8 [vectors, bytes], the code of the first of these rows.
    """

    def __init__(self, bits: int) -> None:
        self.bits, self.classes = bits, 0
        self.keys: np.ndarray = np.empty((0, 0), np.uint64)
        self.sizes = self.ones = self.first = self.keys

    def add(self, packed: np.ndarray, labels: np.ndarray) -> None:
        """packed: uint8 [n, bytes], n > 0. labels: multi-hot [n, c], or class ids [n], of one kind and width in all parts."""
        self.by_id = labels.ndim == 1
        if self.by_id:
            keys = labels.astype(np.uint64)[:, None]
        else:
            self.classes, keys = labels.shape[1], words(np.packbits(labels != 0, axis=1))
        first, group, sizes = equal_rows(keys)
        ones = np.empty((len(first), self.bits), np.int64)
        # A bit at a time: a million codes of 64 bits, unpacked as numbers, take half a gigabyte.
        for k in range(self.bits):
            column = (packed[:, k // 8] >> (k % 8)) & 1
            ones[:, k] = np.bincount(group, weights=column, minlength=len(first))
        found = keys[first], sizes, ones, packed[first]
        if not len(self.keys):
            self.keys, self.sizes, self.ones, self.first = found
            return
        before = self.keys, self.sizes, self.ones, self.first
        keys, sizes, ones, codes = map(np.concatenate, zip(before, found, strict=True))
        first, group, counts = equal_rows(keys)  # a group has one row or two here, that of earlier parts first
        self.keys, self.first = keys[first], codes[first]
        last = np.empty_like(first)
        last[group] = np.arange(len(group))
        twice = counts == 2
        self.sizes = sizes[first] + np.where(twice, sizes[last], 0)
        self.ones = ones[first] + np.where(twice[:, None], ones[last], 0)

    def finish(self) -> None:
        """Puts class ids in the order that their one-hot vectors have among packed vectors."""
        if self.by_id:
            column = np.arange(len(self.keys))
            order = np.argsort(column - 2 * (column % 8))
            self.keys, self.sizes = self.keys[order], self.sizes[order]
            self.ones, self.first = self.ones[order], self.first[order]

    def vectors(self) -> np.ndarray:
        """bool [vectors, c]; not of class ids."""
        packed = self.keys.astype("<u8").view(np.uint8)
        return np.unpackbits(packed, axis=1, count=self.classes).astype(bool)

    def majority(self) -> np.ndarray:
        """uint8 [vectors, bytes], packed: each bit by a vote of the rows of a vector; the first row decides a tie."""
        first = np.unpackbits(self.first, axis=1, count=self.bits, bitorder="little").astype(bool)
        twice, sizes = 2 * self.ones, self.sizes[:, None]
        return np.packbits(np.where(twice == sizes, first, twice > sizes), axis=1, bitorder="little")


def distinct_codes(parts: Callable[[], Iterable[np.ndarray]], rows: int, width: int) -> tuple[int, int]:
    """How many distinct codes there are, and how many rows have the most frequent one.

    Codes are divided by a hash, so that those of one division can be sorted together, and the parts are read once for each
    division.

    Args:
        parts: Gives the packed codes uint8 [n, width], part by part, each time that it is called.
        rows: How many there are in all.
        width: Bytes of a code.
    """
    divisions = max(-(-rows * (-(-width // 8) * 8) // PARTITION_BYTES), 1)
    distinct, largest = 0, 0
    for division in range(divisions):
        held, counts = [], []
        for packed in parts():
            keys = words(packed)
            if divisions > 1:
                keys = keys[_division(keys, divisions) == division]
            if len(keys):
                order, starts = _sorted_groups(keys)
                held.append(keys[order[starts]])
                counts.append(np.diff(np.append(starts, len(keys))))
        if held:
            order, starts = _sorted_groups(np.concatenate(held))
            sums = np.add.reduceat(np.concatenate(counts)[order], starts)
            distinct, largest = distinct + len(starts), max(largest, int(sums.max()))
    return distinct, largest


def _division(keys: np.ndarray, divisions: int) -> np.ndarray:
    """uint64 [n]: which division a code uint64 [n, words] belongs to."""
    mixed = np.zeros(len(keys), np.uint64)
    for column in keys.T:
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> np.uint64(32)
    return mixed % np.uint64(divisions)
