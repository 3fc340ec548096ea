"""Searches a database that is passed in parts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, positive
from dseh_tf.retrieval.codes import hamming, words
from dseh_tf.retrieval.counting import code_columns
from dseh_tf.retrieval.kernels import over_queries
from dseh_tf.retrieval.nearest import nearest

_BLOCK_PAIRS = 1 << 24


def nearest_rows(
    query_codes: np.ndarray, parts: Iterable[np.ndarray], k: int, bits: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest database rows of each query, nearest first; ties in database order.

    Args:
        query_codes: ±1 [q, K], or packed uint8 [q, ceil(K / 8)] with bits=K.
        parts: Codes of the database in either form, part by part; one is held at a time.
        k: Number of rows per query; limited to the size of the database.
        bits: K, needed for packed codes only.

    Returns:
        Rows, int64 [q, k], and Hamming distances, int64 [q, k].

    Raises:
        InputError: No database row, or codes of a different width.
    """
    packed, bits = as_packed(query_codes, bits, "query_codes")
    k, queries, begin = positive(k, "k"), words(packed), 0
    rows, distances = np.empty((2, len(queries), 0), np.int64)
    for part in parts:
        codes, _ = as_packed(part, bits, "database_codes")
        if not len(codes):
            continue
        columns = code_columns(codes)
        found = np.empty((2, len(queries), min(k, len(codes))), np.int64)

        def task(share: slice, columns: np.ndarray = columns, found: np.ndarray = found, bits: int = bits) -> None:
            own = np.empty((2, share.stop - share.start, found.shape[2]), np.int64)
            nearest(queries[share], columns, bits, own[0], own[1])
            found[:, share] = own

        over_queries(task, len(queries))
        rows, distances = np.append(rows, found[0] + begin, axis=1), np.append(distances, found[1], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
        begin += len(codes)
    if not begin:
        raise InputError("database_codes: found no row, expected at least one")
    return rows, distances


def rows_at(query_codes: np.ndarray, parts: Iterable[np.ndarray], distances: np.ndarray, bits: int) -> np.ndarray:
    """int64 [q]: how many database rows have the given distance int [q] from each query; codes packed."""
    found = np.zeros(len(query_codes), np.int64)
    size = max(_BLOCK_PAIRS // max(len(query_codes), 1), 1)
    for part in parts:
        for begin in range(0, len(part), size):
            near = hamming(query_codes, part[begin : begin + size], bits)
            found += (near == np.asarray(distances)[:, None]).sum(axis=1)
    return found
