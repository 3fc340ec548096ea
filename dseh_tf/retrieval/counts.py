"""Counts per query and Hamming distance, from which every number of the evaluation is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseh_tf.arrays import as_array, shown
from dseh_tf.errors import InputError
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval.codes import naming


@dataclass(frozen=True)
class Counts:
    """Counts of all and of relevant database items per query and Hamming distance.

    relevant, total: int64 [queries, K + 1]; column d counts the database items at distance d.

    Example: codes of 2 bits, one query, database at distances 0, 1, 1 of which the first and the last are relevant:
    total = [[1, 2, 0]], relevant = [[1, 1, 0]].
    """

    relevant: np.ndarray
    total: np.ndarray

    def __post_init__(self) -> None:
        for name in ("relevant", "total"):
            array = as_array(getattr(self, name), name)
            object.__setattr__(self, name, array)
            if array.dtype != np.int64 or array.ndim != 2 or array.shape[1] < 2 or not len(array):
                raise InputError(f"{name}: found {shown(array)}, expected int64 [queries, bits + 1]")
        if self.relevant.shape != self.total.shape:
            raise InputError(f"relevant: found {list(self.relevant.shape)}, expected {list(self.total.shape)} as total")
        if len(set(self.total.sum(axis=1).tolist())) > 1:
            raise InputError("total: found rows with different sums, expected the size of the database in each")
        if (self.relevant < 0).any() or (self.relevant > self.total).any():
            raise InputError("relevant: found a count below 0 or above the total, expected a count between them")

    def __add__(self, other: Counts) -> Counts:
        """Adds the counts of two shards of a database, for the same queries."""
        if self.total.shape != other.total.shape:
            raise InputError(f"counts: found {list(other.total.shape)}, expected {list(self.total.shape)} as before")
        return Counts(self.relevant + other.relevant, self.total + other.total)

    @property
    def bits(self) -> int:
        return int(self.total.shape[1]) - 1

    @property
    def queries(self) -> int:
        return len(self.total)


def save_counts(path: Path | str, counts: Counts) -> None:
    """Writes `counts.npz`, whole or not at all."""
    write_npz(path, {"relevant": counts.relevant, "total": counts.total})


def load_counts(path: Path | str) -> Counts:
    """Reads and checks `counts.npz`. Raises InputError naming the file, the field, what was found and expected."""
    arrays = read_npz(path, ["relevant", "total"])
    with naming(path):
        return Counts(**arrays)
