"""The engine `faiss` (extra `search`): IndexBinaryFlat over the distinct codes, with ties and order made exact."""

from __future__ import annotations

import faiss
import numpy as np

from dseh_tf.retrieval.search.distinct import Postings, merge
from dseh_tf.retrieval.search.memory import MemoryIndex
from dseh_tf.retrieval.search.protocol import Found


class FaissScan:
    def __init__(self, postings: Postings, bits: int) -> None:
        self._postings = postings
        self._lengths = np.diff(postings.starts)
        self._flat = faiss.IndexBinaryFlat(8 * postings.packed.shape[1])  # faiss has no other number of bits
        self._flat.add(np.ascontiguousarray(postings.packed))

    def nearest(self, packed: np.ndarray, k: int) -> Found:
        """faiss does not promise which of several codes at the last distance it returns, so all of them are asked for."""
        packed = np.ascontiguousarray(packed)
        distances, rows = self._flat.search(packed, min(k, self._flat.ntotal))
        last = distances[:, -1]
        nearer = np.where(distances < last[:, None], self._lengths[rows], 0).sum(axis=1)  # items nearer than the last
        complete = nearer >= k
        found, found_distances = np.empty((len(packed), k), np.int64), np.empty((len(packed), k), np.int64)
        for i in np.flatnonzero(complete):
            keep = distances[i] < last[i]
            self._merge(rows[i, keep], distances[i, keep], found[i], found_distances[i])
        for radius in np.unique(last[~complete]):
            asked = np.flatnonzero(~complete & (last == radius))
            for i, (near, far) in zip(asked, self._codes_within(packed[asked], int(radius)), strict=True):
                self._merge(near, far, found[i], found_distances[i])
        return found, found_distances

    def within(self, packed: np.ndarray, radius: int) -> list[Found]:
        answers = []
        for rows, distances in self._codes_within(np.ascontiguousarray(packed), radius):
            total = int(self._lengths[rows].sum())
            found, found_distances = np.empty(total, np.int64), np.empty(total, np.int64)
            self._merge(rows, distances, found, found_distances)
            answers.append((found, found_distances))
        return answers

    def _codes_within(self, packed: np.ndarray, radius: int) -> list[Found]:
        """For each query the distinct codes within the radius, in any order, and their distances."""
        limits, distances, rows = self._flat.range_search(packed, radius + 1)  # faiss finds distances below its radius
        return [(rows[a:b], distances[a:b]) for a, b in zip(limits[:-1].tolist(), limits[1:].tolist(), strict=True)]

    def _merge(self, rows: np.ndarray, distances: np.ndarray, found: np.ndarray, found_distances: np.ndarray) -> None:
        order = np.lexsort((rows, distances))
        near = rows[order].astype(np.int64), distances[order].astype(np.int64)
        merge(*near, self._postings.starts, self._postings.items, found, found_distances)


class FaissIndex(MemoryIndex):
    """Exact search with faiss. Its file is that of `ExactIndex`."""

    engine = "faiss"
    _scan = FaissScan
