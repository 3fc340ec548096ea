"""Hash codes: packing, Hamming distances, and the file `codes.npz` of a run folder.

Bit k of a code is bit k % 8 of byte k // 8, 1 for +1; the bits that fill the last byte are 0. numpy calls this order
"little".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.errors import InputError, positive
from dseh_tf.files import read_npz, write_npz


def sign(x: np.ndarray) -> np.ndarray:
    """int8 ±1 of any real array, +1 where x >= 0 (numpy's sign gives 0 at 0, and distances of a half).

    Raises InputError on NaN.

    Example: sign([-0.3, 0.0, 2.0]) = [-1, 1, 1].
    """
    x = np.asarray(x)
    if np.isnan(x).any():
        raise InputError("codes: found nan, expected numbers")
    return np.where(x >= 0, np.int8(1), np.int8(-1))


def pack(codes: np.ndarray) -> np.ndarray:
    """uint8 [n, ceil(K / 8)] from ±1 codes [n, K].

    Raises InputError on another shape, or a value that is not ±1.

    Example: pack([[1, -1, -1, 1, -1, -1, -1, -1, 1]]) = [[0b00001001, 0b00000001]] = [[9, 1]].
    """
    return as_packed(codes, None, "codes")[0]


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """int8 ±1 [n, bits] from packed codes uint8 [n, ceil(bits / 8)].

    Raises InputError where the width does not fit, or a bit beyond the last one is set.

    Example: unpack([[9, 1]], 9) = [[1, -1, -1, 1, -1, -1, -1, -1, 1]].
    """
    packed, bits = as_packed(as_array(packed, "codes", np.uint8), bits, "codes")
    ones = np.unpackbits(packed, axis=1, count=bits, bitorder="little").view(np.int8)
    return 2 * ones - np.int8(1)


def shown(array: np.ndarray) -> str:
    """Kind and shape of an array, for messages."""
    return f"{array.dtype} {list(array.shape)}"


def as_array(values: Any, field: str, dtype: type | None = None) -> np.ndarray:
    """`np.asarray`. Raises InputError, naming `field`, on lists that make no array: rows of several lengths, or another type."""
    try:
        return np.asarray(values, dtype)
    except (ValueError, OverflowError):
        kind = "" if dtype is None else f" of {np.dtype(dtype)}"
        raise InputError(f"{field}: found lists that make no array, expected rows of one length{kind}") from None


def as_packed(codes: np.ndarray, bits: int | None, field: str) -> tuple[np.ndarray, int]:
    """(packed uint8 [n, ceil(K / 8)], K) from ±1 codes [n, K], or from packed ones with `bits` = K.

    uint8 means packed; every other real type means ±1. Raises InputError, naming `field`.
    """
    codes = as_array(codes, field)
    if codes.ndim != 2 or codes.dtype.kind not in "iuf" or codes.shape[1] == 0:
        raise InputError(
            f"{field}: found {shown(codes)}, expected int8 ±1 [n, bits] or packed uint8 [n, ceil(bits / 8)]"
        )
    if bits is not None:
        bits = positive(bits, "bits")
    if codes.dtype != np.uint8:
        if bits is not None and codes.shape[1] != bits:
            raise InputError(f"{field}: found codes of {codes.shape[1]} bits, expected {bits}")
        wrong = np.abs(codes) != 1
        if wrong.any():
            raise InputError(f"{field}: found the value {codes[wrong][0]}, expected -1 or 1")
        return np.packbits(codes > 0, axis=1, bitorder="little"), codes.shape[1]
    if bits is None:
        raise InputError(f"{field}: found packed codes (uint8) without their number of bits, expected bits=K")
    if codes.shape[1] != -(-bits // 8):
        raise InputError(f"{field}: found {codes.shape[1]} bytes a code, expected {-(-bits // 8)} for {bits} bits")
    if bits % 8 and (codes[:, -1] >> (bits % 8)).any():
        raise InputError(f"{field}: found a bit set beyond the last one, expected zeros after bit {bits - 1}")
    return codes, bits


def hamming(query_packed: np.ndarray, database_packed: np.ndarray) -> np.ndarray:
    """Hamming distances int32 [queries, n] of packed codes of one width; for small sets, all pairs are held.

    Raises InputError where the widths differ.

    Example: hamming([[0b0011]], [[0b0011], [0b0101], [0b1100]]) = [[0, 2, 4]].
    """
    query, database = (as_array(packed, "codes", np.uint8) for packed in (query_packed, database_packed))
    if query.ndim != 2 or database.ndim != 2 or query.shape[1] != database.shape[1]:
        raise InputError(f"codes: found {list(query.shape)} and {list(database.shape)}, expected two matrices as wide")
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


@dataclass(frozen=True)
class CodesFile:
    """What `codes.npz` holds: all that an evaluation needs.

    query_codes, database_codes: packed uint8 [n, ceil(bits / 8)]. query_labels, database_labels: uint8 multi-hot [n,
    c].
    query_ids, database_ids: unicode [n], unique.
    database_trained: bool [n], which database rows are training rows; None in files written before it existed.
    """

    query_codes: np.ndarray
    database_codes: np.ndarray
    query_labels: np.ndarray
    database_labels: np.ndarray
    query_ids: np.ndarray
    database_ids: np.ndarray
    bits: int
    database_trained: np.ndarray | None = None

    def __post_init__(self) -> None:
        for part in ("query", "database"):
            codes, labels, ids = (getattr(self, f"{part}_{what}") for what in ("codes", "labels", "ids"))
            if codes.dtype != np.uint8 or not len(codes):
                raise InputError(f"{part}_codes: found {shown(codes)}, expected uint8 [n, bytes], n > 0")
            as_packed(codes, self.bits, f"{part}_codes")
            n = len(codes)
            if labels.dtype != np.uint8 or labels.ndim != 2 or len(labels) != n or not labels.shape[1]:
                raise InputError(f"{part}_labels: found {shown(labels)}, expected uint8 [{n}, classes]")
            if labels.max() > 1:
                raise InputError(f"{part}_labels: found the value {labels.max()}, expected 0 or 1")
            if ids.dtype.kind != "U" or ids.shape != (n,):
                raise InputError(f"{part}_ids: found {shown(ids)}, expected strings [{n}]")
            names, times = np.unique(ids, return_counts=True)
            if len(names) < n:
                raise InputError(f"{part}_ids: found '{names[times.argmax()]}' {times.max()} times, expected once")
        if self.query_labels.shape[1] != self.database_labels.shape[1]:
            raise InputError(
                f"database_labels: found {self.database_labels.shape[1]} classes, "
                f"expected {self.query_labels.shape[1]} as in query_labels"
            )
        trained, n = self.database_trained, len(self.database_codes)
        if trained is not None and (trained.dtype != bool or trained.shape != (n,)):
            raise InputError(f"database_trained: found {shown(trained)}, expected bool [{n}]")


def save_codes(
    path: Path | str,
    *,
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    query_ids: np.ndarray,
    database_ids: np.ndarray,
    bits: int,
    database_trained: np.ndarray | None = None,
) -> None:
    """Writes `codes.npz`, whole or not at all. Codes: int8 ±1 [n, bits], or packed. The rest as in `CodesFile`.

    Raises InputError where the parts do not fit each other.
    """
    content = CodesFile(
        as_packed(query_codes, bits, "query_codes")[0],
        as_packed(database_codes, bits, "database_codes")[0],
        np.asarray(query_labels),
        np.asarray(database_labels),
        np.asarray(query_ids),
        np.asarray(database_ids),
        int(bits),
        None if database_trained is None else np.asarray(database_trained),
    )
    arrays = {field.name: getattr(content, field.name) for field in fields(content)}
    write_npz(path, {name: np.asarray(value) for name, value in arrays.items() if value is not None})


def load_codes(path: Path | str, bits: int | None = None) -> CodesFile:
    """Reads and checks `codes.npz`; with `bits`, also that it holds codes of that many.

    Raises InputError naming the file, the field, what was found and what was expected.
    """
    needed = [field.name for field in fields(CodesFile) if field.name != "database_trained"]
    arrays = read_npz(path, needed, ["database_trained"])
    with naming(path):
        found = arrays["bits"]
        if found.shape != () or found.dtype.kind not in "iu":
            raise InputError(f"bits: found {shown(found)}, expected one whole number")
        if bits is not None and found != bits:
            raise InputError(f"bits: found codes of {found} bits, expected {bits}")
        return CodesFile(**{**arrays, "bits": int(found)})


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Puts the file's name before the message of an InputError raised inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
