"""Prepares the labels of queries and databases for the kernels."""

from __future__ import annotations

import numpy as np

from dseh_tf.arrays import as_labels
from dseh_tf.errors import InputError
from dseh_tf.retrieval.counting import NO_CLASS


class Labels:
    """Labels of the queries, and of any database next to them, as the kernels take them.

    Nothing here grows with classes that no query has: no other class can be shared.

    Attributes:
        queries: class ids uint32 [n], or multi-hot [n, columns] of the classes that some query has.
        classes: which columns of multi-hot labels these are; None for class ids.
    """

    def __init__(self, query_labels: np.ndarray) -> None:
        labels = as_labels(query_labels, "query_labels")
        self.classes = self._width = self._large_ids = None
        if labels.ndim == 2:
            self._width = labels.shape[1]
            self.classes = np.flatnonzero(labels.any(axis=0))
            self.queries = labels[:, self.classes]
        else:
            if len(labels) and labels.max() >= NO_CLASS:
                self._large_ids = np.unique(labels.astype(np.uint64))
            self.queries = self._as_uint32(labels)

    def database(self, database_labels: np.ndarray) -> np.ndarray:
        """Class ids as uint32 [n], or multi-hot labels [n, c] as they are, all classes.

        Raises InputError if these are not of the queries' kind and width.
        """
        labels = as_labels(database_labels, "database_labels")
        if (labels.ndim == 1) != (self._width is None):
            kinds = {1: "class ids [n]", 2: "multi-hot [n, classes]"}
            raise InputError(f"database_labels: found {kinds[labels.ndim]}, expected {kinds[3 - labels.ndim]}")
        if labels.ndim == 2 and labels.shape[1] != self._width:
            raise InputError(f"database_labels: found {labels.shape[1]} classes, expected {self._width} as the queries")
        return labels if labels.ndim == 2 else self._as_uint32(labels)

    def shared(self, rows: slice, database: np.ndarray) -> np.ndarray:
        """bool [rows, n]: whether these queries share a label with each row of what `database` returned; all pairs."""
        if self.classes is None:
            same: np.ndarray = self.queries[rows, None] == database
            return same
        common: np.ndarray = self.queries[rows].astype(np.float32) @ database[:, self.classes].astype(np.float32).T
        return common > 0

    def _as_uint32(self, ids: np.ndarray) -> np.ndarray:
        """Class ids as uint32 [n], equal where the ids are; NO_CLASS where no query can have it."""
        if self._large_ids is not None:  # numbered, as uint32 does not hold them
            ids = ids.astype(np.uint64, copy=False)  # compared with int64, numpy would convert them to floats
            numbers = np.minimum(np.searchsorted(self._large_ids, ids), len(self._large_ids) - 1)
            return np.where(self._large_ids[numbers] == ids, numbers, NO_CLASS).astype(np.uint32)
        if ids.dtype.itemsize > NO_CLASS.itemsize:
            cut = np.empty(len(ids), np.uint32)
            np.minimum(ids, NO_CLASS, out=cut, casting="unsafe")
            return cut
        return ids.astype(np.uint32, copy=False)
