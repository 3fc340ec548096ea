"""Writes the folder `codes/` of a run folder, shard by shard; `load_codes` reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, positive
from dseh_tf.files import ShardWriter
from dseh_tf.files.shards import digest
from dseh_tf.retrieval.codes_file import check_rows, check_unique

_HASHED = 1 << 20  # ids at a time


class CodesWriter:
    """Writes the codes of a database that is encoded shard by shard.

    The mark of the folder is computed from the codes, labels and ids of the queries, so that shards of a stopped
    program are kept only if the same encoder made them.

    Args:
        path: The folder, `codes` in a run folder.
        bits: K.
        query: The arrays of the queries: "codes" (±1 [q, K] or packed), "labels" (multi-hot uint8 [q, c]), "ids"
            (strings [q]), and for a method with texts "codes_text".
        database_ids: Strings [n], unique.
        shard_rows: Database rows of a shard.

    Raises:
        InputError: The queries do not fit each other, or an id occurs twice.
    """

    def __init__(
        self, path: Path, bits: int, query: dict[str, np.ndarray], database_ids: np.ndarray, shard_rows: int
    ) -> None:
        self.bits, self.shard_rows = positive(bits, "bits"), positive(shard_rows, "shard_rows")
        query = {name: self._packed(name, array, "query") for name, array in query.items()}
        check_rows("query", self.bits, query)
        check_unique("query_ids", query["ids"])
        _check_many_unique(database_ids)
        self._query, self._ids = query, database_ids
        n, width, classes = len(database_ids), -(-self.bits // 8), query["labels"].shape[1]
        kinds = {"codes": (np.dtype(np.uint8), (n, width)), "labels": (np.dtype(np.uint8), (n, classes)),
                 "ids": (database_ids.dtype, (n,)), "trained": (np.dtype(bool), (n,))}  # fmt: skip
        if "codes_text" in query:
            kinds["codes_text"] = kinds["codes"]
        self._names = tuple(kinds)
        arrays = {f"database_{name}": kind for name, kind in kinds.items()}
        self._writer = ShardWriter(path, arrays, self.shard_rows, self.mark)

    @property
    def mark(self) -> str:
        """A digest of the queries' codes, labels and ids."""
        found = hashlib.sha256(str(self.bits).encode())
        for name in sorted(self._query):
            found.update(f"{name} {self._query[name].shape} {digest(self._query[name])}".encode())
        return found.hexdigest()[:16]

    def left(self) -> Iterator[slice]:
        """The rows of each shard that is still to be written, in order."""
        n = len(self._ids)
        for begin in range(self._writer.done, n, self.shard_rows):
            yield slice(begin, min(begin + self.shard_rows, n))

    def write(self, rows: slice, **arrays: np.ndarray) -> None:
        """Writes the shard of these rows: "codes" (±1 or packed), "labels", "trained" and "codes_text" as in the queries."""
        given = {name: self._packed(name, array, "database") for name, array in arrays.items()}
        given["ids"] = self._ids[rows]
        check_rows("database", self.bits, given)
        self._writer.write({f"database_{name}": given[name] for name in self._names})

    def finish(self) -> None:
        """Writes the queries and the manifest; this renames the folder to its final name."""
        whole = {f"query_{name}": array for name, array in self._query.items()}
        self._writer.finish(whole, {"bits": self.bits})

    def _packed(self, name: str, array: np.ndarray, part: str) -> np.ndarray:
        return as_packed(array, self.bits, f"{part}_{name}")[0] if name.startswith("codes") else array


def _check_many_unique(ids: np.ndarray) -> None:
    """Like `check_unique`, with 8 bytes an id: by hash, and exactly only among ids whose hashes are equal."""
    if ids.ndim != 1 or ids.dtype.kind != "U" or not len(ids):
        raise InputError(f"database_ids: found {ids.dtype} {list(ids.shape)}, expected strings [n], n > 0")
    hashes = np.empty(len(ids), np.int64)
    for begin in range(0, len(ids), _HASHED):
        some = ids[begin : begin + _HASHED]
        hashes[begin : begin + len(some)] = np.fromiter(map(hash, some.tolist()), np.int64, len(some))
    ordered = np.sort(hashes)
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if len(shared):
        check_unique("database_ids", ids[np.isin(hashes, shared)])
