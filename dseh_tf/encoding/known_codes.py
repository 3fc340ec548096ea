"""Codes of database rows of two kinds: known ones by id, and those of an encoder for all other rows."""

from __future__ import annotations

from collections.abc import Callable

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
    known = np.isin(split.ids, ids)
    found = np.empty((len(split), codes.shape[1]), np.int8)
    order = np.argsort(ids, kind="stable")
    found[known] = codes[order[np.searchsorted(ids, split.ids[known], sorter=order)]]
    if not known.all():
        found[~known] = encode(split.take(~known))
    return found
