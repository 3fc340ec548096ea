"""The default engine: this package's kernel over the distinct codes. It needs no extra."""

from __future__ import annotations

import numpy as np

from dseh_tf.retrieval.codes import words
from dseh_tf.retrieval.counting import block_distances
from dseh_tf.retrieval.kernels import kernel, over_queries
from dseh_tf.retrieval.nearest import BLOCK, first_by_distance
from dseh_tf.retrieval.search.distinct import Postings, merge
from dseh_tf.retrieval.search.memory import MemoryIndex
from dseh_tf.retrieval.search.protocol import Found


class ExactScan:
    def __init__(self, postings: Postings, bits: int) -> None:
        self._postings, self._bits = postings, bits

    def nearest(self, packed: np.ndarray, k: int) -> Found:
        # A view takes a third of the time of `words`, which matters because a search takes microseconds.
        whole = np.little_endian and packed.shape[1] % 8 == 0 and packed.flags.carray
        queries, postings = packed.view(np.uint64) if whole else words(packed), self._postings
        out = np.empty((2, len(queries), k), np.int64)
        if len(queries) == 1:
            _search(queries, postings.codes, self._bits, postings.starts, postings.items, out)
            return out[0], out[1]

        def task(share: slice) -> None:
            part = np.empty((2, share.stop - share.start, k), np.int64)
            _search(queries[share], postings.codes, self._bits, postings.starts, postings.items, part)
            out[:, share] = part

        over_queries(task, len(queries))
        return out[0], out[1]

    def within(self, packed: np.ndarray, radius: int) -> list[Found]:
        postings = self._postings
        return [
            _range(query, postings.codes, self._bits, radius, postings.starts, postings.items)
            for query in words(packed)
        ]


class ExactIndex(MemoryIndex):
    """Exact search by exhaustive comparison with the distinct codes.

    Example:
        index = ExactIndex(bits=8)
        index.add(codes, ["a.jpg", "b.jpg"], labels=["dog", ["dog", "sea"]])
        ids, distances = index.search(query_codes, k=10, label="sea")
    """

    engine = "exact"
    _scan = ExactScan


@kernel
def _search(
    codes: np.ndarray, database: np.ndarray, bits: int, starts: np.ndarray, items: np.ndarray, out: np.ndarray
) -> None:
    """out [2, queries, k] <- the places of the nearest items of each code [words], and their distances.

    A distinct code is a candidate unless k codes before it are as near, each of which has an item before its first one,
    or k items are nearer. After the first blocks hardly any code is, so a block costs its distances and their minimum.
    """
    n, k = database.shape[1], out.shape[2]
    most = min(n, k)  # codes that can be needed
    capacity = min(n, 2 * most + BLOCK)
    candidates, distances = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    rows, sorted_distances = np.empty(most, np.int64), np.empty(most, np.int64)
    buffer = np.empty(BLOCK, np.uint32)
    counts, item_counts = np.empty(bits + 2, np.int64), np.empty(bits + 2, np.int64)  # candidates and items by distance
    for i in range(codes.shape[0]):
        counts[:], item_counts[:] = 0, 0
        # A candidate is nearer than `radius` and `item_radius`, below which there are fewer than k codes, and k items or
        # more only with those of the last distance.
        radius, within, item_radius, items_within, size = bits + 1, 0, bits + 1, 0, 0
        for begin in range(0, n, BLOCK):
            block = buffer[: min(BLOCK, n - begin)]
            block_distances(codes[i], database, begin, block)
            least = block[0]
            for j in range(len(block)):
                least = min(least, block[j])
            if least >= min(radius, item_radius):
                continue
            if size + len(block) > capacity:
                kept = min(size, most)
                first_by_distance(candidates[:size], distances[:size], bits, rows[:kept], sorted_distances[:kept])
                for j in range(kept):
                    candidates[j], distances[j] = rows[j], sorted_distances[j]
                size = kept
            for j in range(len(block)):
                d = block[j]
                if d < radius and d < item_radius:
                    candidates[size], distances[size] = begin + j, d
                    size += 1
                    counts[d] += 1
                    within += 1
                    while within >= k:
                        radius -= 1
                        within -= counts[radius]
                    item_counts[d] += starts[begin + j + 1] - starts[begin + j]
                    items_within += starts[begin + j + 1] - starts[begin + j]
                    while items_within - item_counts[item_radius - 1] >= k:
                        item_radius -= 1
                        items_within -= item_counts[item_radius]
        kept = min(size, most)
        first_by_distance(candidates[:size], distances[:size], bits, rows[:kept], sorted_distances[:kept])
        merge(rows[:kept], sorted_distances[:kept], starts, items, out[0, i], out[1, i])


@kernel
def _range(
    code: np.ndarray, database: np.ndarray, bits: int, radius: int, starts: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Items and distances int64 [m] within the radius of one code [words]."""
    n = database.shape[1]
    candidates, distances = np.empty(n, np.int64), np.empty(n, np.int64)
    buffer = np.empty(BLOCK, np.uint32)
    size, total = 0, 0
    for begin in range(0, n, BLOCK):
        block = buffer[: min(BLOCK, n - begin)]
        block_distances(code, database, begin, block)
        for j in range(len(block)):
            if block[j] <= radius:
                candidates[size], distances[size] = begin + j, block[j]
                size += 1
                total += starts[begin + j + 1] - starts[begin + j]
    rows, sorted_distances = np.empty(size, np.int64), np.empty(size, np.int64)
    first_by_distance(candidates[:size], distances[:size], bits, rows, sorted_distances)
    found, found_distances = np.empty(total, np.int64), np.empty(total, np.int64)
    merge(rows, sorted_distances, starts, items, found, found_distances)
    return found, found_distances
