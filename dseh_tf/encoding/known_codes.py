"""Codes of database rows: known codes by id, and those of an encoder for all other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from dseh_tf.data import Split


def with_known_codes(
    split: Split, ids: np.ndarray, codes: np.ndarray, encode: Callable[[Split], np.ndarray]
) -> np.ndarray:
    """The codes of the rows of a split.

    Args:
        split: n rows.
        ids: Ids with a known code, [m].
        codes: Their codes, int8 ±1 [m, K].
        encode: Gives the codes of a split. It is called with the rows whose id is not among `ids`, if there are any.

    Returns:
        int8 ±1 [n, K].
    """
    return with_known_parts(split, [(ids, codes)], codes.shape[1], encode)


def with_known_parts(
    split: Split, parts: Iterable[tuple[np.ndarray, np.ndarray]], bits: int, encode: Callable[[Split], np.ndarray]
) -> np.ndarray:
    """Like `with_known_codes`, where the known ids and their codes come in parts, one held at a time. An id is in one part."""
    known, found = np.zeros(len(split), bool), np.empty((len(split), bits), np.int8)
    for ids, codes in parts:
        here = np.flatnonzero(np.isin(split.ids, ids))
        order = np.argsort(ids, kind="stable")
        found[here] = codes[order[np.searchsorted(ids, split.ids[here], sorter=order)]]
        known[here] = True
    if not known.all():
        found[~known] = encode(split.take(~known))
    return found
