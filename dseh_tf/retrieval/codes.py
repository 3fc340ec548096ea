"""Hash codes: packing and Hamming distances.

Bit k of a code is bit k % 8 of byte k // 8, and 1 for +1; padding bits in the last byte are 0. numpy calls this order
"little".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array, as_packed, as_real, shown
from dseh_tf.errors import InputError, positive


def sign(x: np.ndarray) -> np.ndarray:
    """The signs of a real array as int8 ±1, +1 where x >= 0 (numpy's sign gives 0 at 0, and thus half distances).

    Raises InputError on NaN, and on types without negative numbers: their signs would all be +1.

    Example: sign([-0.3, 0.0, 2.0]) = [-1, 1, 1].
    """
    x = as_real(x, "codes")
    if x.dtype.kind == "u":
        raise InputError(f"codes: found {shown(x)}, expected a signed or floating type")
    if np.isnan(x).any():
        raise InputError("codes: found nan, expected numbers")
    return np.where(x >= 0, np.int8(1), np.int8(-1))


def pack(codes: np.ndarray) -> np.ndarray:
    """Packs ±1 codes [n, K] to uint8 [n, ceil(K / 8)].

    Raises InputError on a different shape, or a value that is not ±1.

    Example: pack([[1, -1, -1, 1, -1, -1, -1, -1, 1]]) = [[0b00001001, 0b00000001]] = [[9, 1]].
    """
    codes = as_array(codes, "codes")
    if codes.dtype == np.uint8:
        raise InputError(f"codes: found {shown(codes)}, which means packed codes, expected ±1 of a signed type")
    return as_packed(codes, None, "codes")[0]


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Unpacks uint8 [n, ceil(bits / 8)] to int8 ±1 [n, bits]; ±1 codes [n, bits] are returned unchanged.

    A list is read as bytes. Raises InputError if the width does not fit, or a padding bit is set.

    Example: unpack([[9, 1]], 9) = [[1, -1, -1, 1, -1, -1, -1, -1, 1]].
    """
    if isinstance(packed, (list, tuple)):
        packed = _bytes(packed)
    packed, bits = as_packed(packed, positive(bits, "bits"), "codes")
    ones = np.unpackbits(packed, axis=1, count=bits, bitorder="little").view(np.int8)
    return 2 * ones - np.int8(1)


def _bytes(values: list[Any] | tuple[Any, ...]) -> np.ndarray:
    """uint8 of lists of whole numbers 0 to 255; numpy alone would cut fractions."""
    try:
        array = as_array(values, "codes")
    except InputError as error:
        raise InputError(f"{error} of uint8") from None
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() > 255)):
        raise InputError(f"codes: found a list of {shown(array)}, expected rows of whole numbers 0 to 255")
    return array.astype(np.uint8)


def hamming(query_codes: np.ndarray, database_codes: np.ndarray, bits: int | None = None) -> np.ndarray:
    """All Hamming distances, int32 [queries, n]; for small sets, because all pairs are held in memory.

    Args:
        query_codes: ±1 [n, K], or packed uint8 [n, ceil(K / 8)].
        database_codes: in either form too.
        bits: K; without it, packed codes on both sides are compared byte by byte.

    Raises:
        InputError: the codes differ in width, or a value is not ±1.

    Example: hamming([[1, 1, -1]], [[1, 1, -1], [1, -1, 1], [-1, -1, 1]]) = [[0, 2, 3]].
    """
    query, database = as_array(query_codes, "query_codes"), as_array(database_codes, "database_codes")
    if bits is None:
        widths = [codes.shape[1] for codes in (query, database) if codes.ndim == 2 and codes.dtype != np.uint8]
        bits = widths[0] if widths else 8 * query.shape[1] if query.ndim == 2 else None
    query, bits = as_packed(query, bits, "query_codes")
    database, _ = as_packed(database, bits, "database_codes")
    query, database = words(query), words(database)
    distances = np.empty((len(query), len(database)), np.int32)
    for i, code in enumerate(query):
        distances[i] = np.bitwise_count(code ^ database).sum(axis=1, dtype=np.int32)
    return distances


def words(packed: np.ndarray) -> np.ndarray:
    """uint64 [n, ceil(bytes / 8)] from uint8 [n, bytes], filled up with zeros: always a new array."""
    n, width = packed.shape
    padded = np.zeros((n, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Puts the file's name before the message of an InputError raised inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error.__cause__
