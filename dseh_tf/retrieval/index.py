"""A searchable set of hash codes: what answers a query with a new image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dseh_tf.errors import InputError, positive
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval.codes import as_array, as_packed, naming, shown, words
from dseh_tf.retrieval.counting import BLOCK, block_distances
from dseh_tf.retrieval.kernels import kernel, over_queries


class HammingIndex:
    """Codes and their ids, searched exhaustively.

    Example:
        index = HammingIndex(bits=2)
        index.add([[1, 1], [1, -1], [-1, 1]], ["a", "b", "c"])
        index.search([[-1, 1]], k=2) -> ids [["c", "a"]], distances [[0, 1]]
    """

    def __init__(self, bits: int) -> None:
        self.bits = positive(bits, "bits")
        self._codes: list[np.ndarray] = []
        self._ids: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self._ids))

    def add(self, codes: np.ndarray, ids: np.ndarray) -> None:
        """Adds codes (int8 ±1 [n, bits], or packed uint8 [n, ceil(bits / 8)]) under ids [n] (strings or integers).

        Raises InputError on codes of another width, ids of another number, or of another kind than those there: strings,
        signed or unsigned integers.
        """
        packed, _ = as_packed(codes, self.bits, "codes")
        ids = as_array(ids, "ids")
        if ids.shape != (len(packed),) or ids.dtype.kind not in "Uiu":
            raise InputError(f"ids: found {shown(ids)}, expected strings or integers [{len(packed)}]")
        if self._ids and ids.dtype.kind != self._ids[0].dtype.kind:  # int64 beside uint64 would make floats of both
            raise InputError(f"ids: found {ids.dtype}, expected {self._ids[0].dtype} as before")
        self._codes.append(packed.copy())
        self._ids.append(ids.copy())

    def search(self, codes: np.ndarray, k: int, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each code: (ids [queries, k], Hamming distances int64 [queries, k]).

        Nearest first; at one distance those added first come first. k is cut to the size of the index.
        Raises InputError where the index is empty, k is no positive whole number, or the codes are of another width.
        """
        packed, _ = as_packed(codes, self.bits, "codes")
        if not len(self):
            raise InputError("index: found no code, expected at least one")
        k = positive(k, "k")
        stored, ids = self._merged()
        database = np.array(words(stored).T, order="C")
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
        codes, ids = self._merged()
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

    def _merged(self) -> tuple[np.ndarray, np.ndarray]:
        """All codes and ids as one array each; kept so."""
        if len(self._codes) > 1:
            self._codes, self._ids = [np.concatenate(self._codes)], [np.concatenate(self._ids)]
        return self._codes[0], self._ids[0]


@kernel
def _nearest(codes, database, bits, rows, nearest):
    """rows, nearest <- database rows and distances of the nearest, by counting: no sort.

    One pass counts the distances; the counts say where the items of each distance begin; a second pass puts them there.
    """
    n, k = database.shape[1], rows.shape[1]
    distances = np.empty(n, np.uint32)
    for i in range(len(codes)):
        begins = np.zeros(bits + 2, np.int64)
        for begin in range(0, n, BLOCK):
            block = distances[begin : min(begin + BLOCK, n)]
            block_distances(codes[i], database, begin, block)
            for j in range(len(block)):
                begins[block[j] + 1] += 1
        radius = bits
        for d in range(bits + 1):
            begins[d + 1] += begins[d]
            if begins[d + 1] >= k:
                radius = d
                break
        for j in range(n):
            d = distances[j]
            if d <= radius:
                place = begins[d]
                if place < k:
                    rows[i, place] = j
                    nearest[i, place] = d
                    begins[d] += 1
