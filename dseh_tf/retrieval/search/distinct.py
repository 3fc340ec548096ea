"""Distinct codes and their items, the data that a search of learned codes reads.

Many items share the same learned code, sometimes thousands. A search therefore compares the query with each distinct
code once, and reads the items of the nearest codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseh_tf.retrieval.counting import code_columns, read_only
from dseh_tf.retrieval.kernels import kernel


@dataclass(frozen=True)
class Postings:
    """Distinct codes, in the order of their first items, and the items of each.

    codes: uint64 [words, distinct], read-only. Code c has the items items[starts[c]:starts[c + 1]], ascending.
    packed: uint8 [distinct, bytes], the same codes.
    """

    codes: np.ndarray
    packed: np.ndarray
    starts: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, packed: np.ndarray, rows: np.ndarray | None = None) -> Postings:
        """Groups packed codes, uint8 [n, bytes]. rows: the ascending numbers of the items; by default 0 to n - 1.

        Example: the codes [[7], [5], [7]] give the distinct codes [[7], [5]], starts [0, 2, 3] and items [0, 2, 1].
        """
        columns = code_columns(packed)
        order = np.argsort(columns[0], kind="stable") if len(columns) == 1 else np.lexsort(columns)
        first = np.ones(len(order), bool)  # of its code in this order; both sorts keep equal codes in item order
        first[1:] = (columns[:, order[1:]] != columns[:, order[:-1]]).any(axis=0)
        begins = np.flatnonzero(first)
        lengths = np.diff(np.append(begins, len(order)))
        by_item = np.argsort(order[begins])
        begins, lengths = begins[by_item], lengths[by_item]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        items = order[np.repeat(begins - starts[:-1], lengths) + np.arange(len(order))]
        distinct = packed[items[starts[:-1]]]
        items = items if rows is None else rows[items]
        codes = code_columns(distinct)
        codes = read_only(codes.copy()) if np.may_share_memory(codes, packed) else codes
        return cls(codes, distinct, read_only(starts.astype(np.int64)), read_only(items.astype(np.int64)))

    def __len__(self) -> int:
        """The number of items."""
        return len(self.items)


@kernel
def merge(
    rows: np.ndarray,
    distances: np.ndarray,
    starts: np.ndarray,
    items: np.ndarray,
    found: np.ndarray,
    found_distances: np.ndarray,
) -> None:
    """found, found_distances <- the first items of distinct codes by distance; at one distance ascending.

    An item is given by its place in `items`: the items of a code are side by side there, and what is read of them is near.

    Args:
        rows: int64 [m], distinct codes in the order of their distance, at one distance ascending.
        distances: int64 [m], their distances.
        starts: as in `Postings`.
        items: as in `Postings`.
        found: int64 [k], at most as many as these codes have items.
        found_distances: int64 [k].
    """
    at, stop = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    filled, begin = 0, 0
    while filled < len(found) and begin < len(rows):
        d, size = distances[begin], 0
        while begin + size < len(rows) and distances[begin + size] == d:
            row = rows[begin + size]
            at[size], stop[size] = starts[row], starts[row + 1]
            size += 1
        begin += size
        if size == 1:
            for place in range(at[0], min(stop[0], at[0] + len(found) - filled)):
                found[filled], found_distances[filled] = place, d
                filled += 1
            continue
        # A heap of the codes by their next item. It starts sorted: distinct codes are in the order of their first items.
        while size > 0 and filled < len(found):
            found[filled], found_distances[filled] = at[0], d
            filled += 1
            at[0] += 1
            if at[0] == stop[0]:
                size -= 1
                at[0], stop[0] = at[size], stop[size]
            parent = 0
            while 2 * parent + 1 < size:
                child = 2 * parent + 1
                if child + 1 < size and items[at[child + 1]] < items[at[child]]:
                    child += 1
                if items[at[parent]] < items[at[child]]:
                    break
                at[parent], at[child] = at[child], at[parent]
                stop[parent], stop[child] = stop[child], stop[parent]
                parent = child
