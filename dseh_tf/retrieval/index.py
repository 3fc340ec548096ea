"""A searchable set of hash codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dseh_tf.arrays import as_packed, as_texts, shown
from dseh_tf.errors import InputError, positive
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval.codes import naming, words
from dseh_tf.retrieval.counting import code_columns, read_only
from dseh_tf.retrieval.kernels import over_queries
from dseh_tf.retrieval.nearest import nearest as _nearest


class HammingIndex:
    """Codes and their ids, searched exhaustively.

    Codes are stored only in the layout that a search reads: 8 bytes for every 64 bits, rounded up. They are copied when
    they are added, so later changes to the caller's arrays have no effect.

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

        Raises InputError on codes of a different width, ids of another number, or of a different kind than those there: strings,
        signed or unsigned integers.
        """
        packed, _ = as_packed(codes, self.bits, "codes")
        ids = as_texts(ids, "ids")
        if ids.shape != (len(packed),) or ids.dtype.kind not in "Uiu":
            raise InputError(f"ids: found {shown(ids)}, expected strings or integers [{len(packed)}]")
        if self._parts:
            before = self._parts[0][1].dtype
            if ids.dtype.kind != before.kind:  # joining int64 and uint64 would convert both to floats
                raise InputError(f"ids: found {ids.dtype}, expected {before} as before")
        columns = code_columns(packed)
        if np.may_share_memory(columns, packed):
            columns = read_only(columns.copy())
        self._parts.append((columns, ids.copy()))

    def search(self, codes: np.ndarray, k: int, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each code: (ids [queries, k], Hamming distances int64 [queries, k]).

        Nearest first; at the same distance, in the order in which they were added. k is limited to the size of the
        index. The index is not copied, except by the first search after a second `add`, which joins the parts. In
        addition to the result, a thread needs at most 16 bytes for each of 2 k + 256 codes.
        Raises InputError if the index is empty, k is no positive whole number, or the codes are of a different width.
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
