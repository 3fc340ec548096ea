"""The kernels of an exhaustive search: the nearest database rows of a code, in a reproducible order."""

from __future__ import annotations

import numpy as np

from dseh_tf.retrieval.counting import block_distances
from dseh_tf.retrieval.kernels import kernel

BLOCK = 256  # rows whose distances are looked at together


@kernel
def nearest(codes: np.ndarray, database: np.ndarray, bits: int, rows: np.ndarray, nearest: np.ndarray) -> None:
    """rows, nearest <- database rows and distances of the nearest of each code, in one pass over the database.

    An item is a candidate if fewer than k items before it are as near as it. After the first few blocks hardly any item
    is, so a block costs its distances and their minimum.
    """
    n, k = database.shape[1], rows.shape[1]
    capacity = min(n, 2 * k + BLOCK)
    candidates, distances = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    buffer = np.empty(BLOCK, np.uint32)
    for i in range(len(codes)):
        counts = np.zeros(bits + 1, np.int64)  # candidates at each distance
        radius, within, size = bits + 1, 0, 0  # a candidate is nearer than `radius`; `within`: how many were, below k
        for begin in range(0, n, BLOCK):
            block = buffer[: min(BLOCK, n - begin)]
            block_distances(codes[i], database, begin, block)
            least = block[0]
            for j in range(len(block)):
                least = min(least, block[j])
            if least >= radius:
                continue
            if size + len(block) > capacity:  # then size > 2 k: all but the nearest k go
                first_by_distance(candidates[:size], distances[:size], bits, rows[i], nearest[i])
                for j in range(k):  # numba compiles the assignment of a slice for seconds
                    candidates[j], distances[j] = rows[i, j], nearest[i, j]
                size = k
            for j in range(len(block)):
                d = block[j]
                if d < radius:
                    candidates[size], distances[size] = begin + j, d
                    size += 1
                    counts[d] += 1
                    within += 1
                    while within >= k:
                        radius -= 1
                        within -= counts[radius]
        first_by_distance(candidates[:size], distances[:size], bits, rows[i], nearest[i])


@kernel
def first_by_distance(
    candidates: np.ndarray, distances: np.ndarray, bits: int, rows: np.ndarray, nearest: np.ndarray
) -> None:
    """rows, nearest <- the first candidates by distance; at one distance in the order given. A counting sort."""
    places = np.zeros(bits + 2, np.int64)
    for d in distances:
        places[d + 1] += 1
    for d in range(bits):
        places[d + 1] += places[d]
    for j in range(len(candidates)):
        d = distances[j]
        if places[d] < len(rows):
            rows[places[d]], nearest[places[d]] = candidates[j], d
            places[d] += 1
