"""Ranking by the cosine of real-valued outputs, to measure what is lost when outputs are replaced by their signs."""

from __future__ import annotations

import numpy as np

from dseh_tf.arrays import as_real, unit_rows
from dseh_tf.errors import InputError
from dseh_tf.retrieval.shared_labels import Labels

_SCORES = 1 << 24  # cosines held at a time


def cosine_average_precision(
    query: np.ndarray, database: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> np.ndarray:
    """Average precision of each query over the whole database, ranked by decreasing cosine; float64 [queries].

    query, database: float [n, K], of any length; a row of zeros has cosine 0 with every other. Labels are as in
    `evaluate`. Items of equal cosine are in database order, and a query without a relevant item has 0. Sorting takes n
    log n per query, so this is meant for studies, not for search. Raises InputError if shapes do not fit or a number is
    not finite.

    Example: query [[1, 0]], database [[0, 1], [2, 0], [1, 1]], relevant the first and the second: ranks 3 and 1, 5/6.
    """
    query, database = _unit_rows(query, "query"), _unit_rows(database, "database")
    if query.shape[1] != database.shape[1]:
        raise InputError(f"database: found {database.shape[1]} columns, expected {query.shape[1]} as in query")
    labels = Labels(query_labels)
    held = labels.database(database_labels)
    for name, rows, expected in (("query_labels", labels.queries, query), ("database_labels", held, database)):
        if len(rows) != len(expected):
            raise InputError(f"{name}: found {len(rows)} rows, expected {len(expected)}")
    ranks = np.arange(1, len(database) + 1)
    block = max(1, _SCORES // len(database))
    found = np.zeros(len(query))
    for first in range(0, len(query), block):
        part = slice(first, first + block)
        order = np.argsort(-(query[part] @ database.T), axis=1, kind="stable")
        relevant = np.take_along_axis(labels.shared(part, held), order, axis=1)
        precision = np.cumsum(relevant, axis=1) / ranks
        found[part] = (precision * relevant).sum(axis=1) / np.maximum(relevant.sum(axis=1), 1)
    return found


def _unit_rows(rows: np.ndarray, name: str) -> np.ndarray:
    """float32 [n, K], checked. The length is taken in the given precision: float64 numbers may be beyond float32's range."""
    rows = as_real(rows, name)
    if rows.ndim != 2 or not rows.size:
        raise InputError(f"{name}: found {rows.shape}, expected [n, K], n > 0")
    if not np.isfinite(rows).all():
        raise InputError(f"{name}: found a number that is not finite")
    if rows.dtype != np.float32:
        rows = rows.astype(np.promote_types(rows.dtype, np.float32), copy=False)
    return unit_rows(rows).astype(np.float32, copy=False)
