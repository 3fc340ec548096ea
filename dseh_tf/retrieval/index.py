"""A searchable set of hash codes: what answers a query with a new image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dseh_tf.arrays import as_packed, as_texts, shown
from dseh_tf.errors import InputError, positive
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval.codes import naming, words
from dseh_tf.retrieval.counting import block_distances, code_columns, read_only
from dseh_tf.retrieval.kernels import kernel, over_queries

BLOCK = 256  # rows whose distances are looked at together


class HammingIndex:
    """Codes and their ids, searched exhaustively.

    The codes are kept in the layout that a search reads, and in no other: 8 bytes for each 64 bits of a code or part of
    64. They are copied when they are added, so a later change of the caller's arrays has no effect.

    Example:
        index = HammingIndex(bits=2)
        index.add([[1, 1], [1, -1], [-1, 1]], ["a", "b", "c"])
        index.search([[-1, 1]], k=2) -> ids [["c", "a"]], distances [[0, 1]]
    """

    def __init__(self, bits: int) -> None:
        self.bits = positive(bits, "bits")
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # (codes uint64 [words, n], ids [n]) of each `add`

    def __len__(self) -> int:
        return sum(len(ids) for _, ids in self._parts)

    def add(self, codes: np.ndarray, ids: np.ndarray) -> None:
        """Adds codes (±1 [n, bits], or packed uint8 [n, ceil(bits / 8)]) under ids [n] (strings or integers).

        Raises InputError on codes of another width, ids of another number, or of another kind than those there: strings,
        signed or unsigned integers.
        """
        packed, _ = as_packed(codes, self.bits, "codes")
        ids = as_texts(ids, "ids")
        if ids.shape != (len(packed),) or ids.dtype.kind not in "Uiu":
            raise InputError(f"ids: found {shown(ids)}, expected strings or integers [{len(packed)}]")
        if self._parts:
            before = self._parts[0][1].dtype
            if ids.dtype.kind != before.kind:  # int64 beside uint64 would make floats of both
                raise InputError(f"ids: found {ids.dtype}, expected {before} as before")
        columns = code_columns(packed)
        if np.may_share_memory(columns, packed):
            columns = read_only(columns.copy())
        self._parts.append((columns, ids.copy()))

    def search(self, codes: np.ndarray, k: int, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each code: (ids [queries, k], Hamming distances int64 [queries, k]).

        Nearest first; at one distance those added first come first. k is cut to the size of the index. Nothing of the
        index is copied, except once by the first search after a second `add`, which joins the parts. Besides the
        result, a thread needs at most 16 bytes for each of 2 k + 256 codes.
        Raises InputError where the index is empty, k is no positive whole number, or the codes are of another width.
        """
        packed, _ = as_packed(codes, self.bits, "codes")
        if not len(self):
            raise InputError("index: found no code, expected at least one")
        k = positive(k, "k")
        threads = None if threads is None else positive(threads, "threads")
        database, ids = self._joined()
        queries = words(packed)
        rows = np.empty((len(queries), min(k, len(ids))), np.int64)
        distances = np.empty_like(rows)

        def task(share: slice) -> None:
            _nearest(queries[share], database, self.bits, rows[share], distances[share])

        over_queries(task, len(queries), threads)
        return ids[rows], distances

    def save(self, path: Path | str) -> None:
        """Writes the index to an npz file (`bits`, `codes` packed, `ids`), whole or not at all."""
        if not len(self):
            raise InputError("index: found no code, expected at least one")
        columns, ids = self._joined()
        codes = np.ascontiguousarray(columns.T).astype("<u8", copy=False).view(np.uint8)[:, : -(-self.bits // 8)]
        write_npz(path, {"bits": np.asarray(self.bits), "codes": codes, "ids": ids})

    @classmethod
    def load(cls, path: Path | str) -> HammingIndex:
        """Reads and checks a saved index. Raises InputError naming the file, the field, what was found and expected."""
        arrays = read_npz(path, ["bits", "codes", "ids"])
        with naming(path):
            bits, codes = arrays["bits"], arrays["codes"]
            if bits.shape != () or bits.dtype.kind not in "iu":
                raise InputError(f"bits: found {shown(bits)}, expected one whole number")
            if codes.dtype != np.uint8:
                raise InputError(f"codes: found {codes.dtype}, expected packed uint8")
            index = cls(int(bits))
            index.add(codes, arrays["ids"])
        return index

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        """All codes and ids as one array each; kept so."""
        parts = self._parts
        if len(parts) > 1:
            codes, ids = zip(*parts, strict=True)
            parts = [(read_only(np.concatenate(codes, axis=1)), np.concatenate(ids))]
            self._parts = parts
        return parts[0]


@kernel
def _nearest(codes: np.ndarray, database: np.ndarray, bits: int, rows: np.ndarray, nearest: np.ndarray) -> None:
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
                _first_by_distance(candidates[:size], distances[:size], bits, rows[i], nearest[i])
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
        _first_by_distance(candidates[:size], distances[:size], bits, rows[i], nearest[i])


@kernel
def _first_by_distance(
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
