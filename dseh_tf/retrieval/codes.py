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

from dseh_tf.arrays import as_array, as_packed, as_real, as_texts, shown
from dseh_tf.errors import InputError, positive
from dseh_tf.files import read_npz, write_npz


def sign(x: np.ndarray) -> np.ndarray:
    """int8 ±1 of any real array, +1 where x >= 0 (numpy's sign gives 0 at 0, and distances of a half).

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
    """uint8 [n, ceil(K / 8)] from ±1 codes [n, K].

    Raises InputError on another shape, or a value that is not ±1.

    Example: pack([[1, -1, -1, 1, -1, -1, -1, -1, 1]]) = [[0b00001001, 0b00000001]] = [[9, 1]].
    """
    codes = as_array(codes, "codes")
    if codes.dtype == np.uint8:
        raise InputError(f"codes: found {shown(codes)}, which means packed codes, expected ±1 of a signed type")
    return as_packed(codes, None, "codes")[0]


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """int8 ±1 [n, bits] from packed codes uint8 [n, ceil(bits / 8)]; ±1 codes [n, bits] stay what they are.

    A list is read as bytes here. Raises InputError where the width does not fit, or a bit beyond the last one is set.

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
    """Hamming distances int32 [queries, n]; for small sets, since all pairs are held.

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


@dataclass(frozen=True)
class CodesFile:
    """What `codes.npz` holds: all that an evaluation needs.

    query_codes, database_codes: packed uint8 [n, ceil(bits / 8)]. query_labels, database_labels: uint8 multi-hot [n,
    c].
    query_ids, database_ids: unicode [n], unique.
    database_trained: bool [n], which database rows are training rows; None in files written before it existed.
    query_codes_text, database_codes_text: as the codes, of the rows' texts; None where the method has no text encoder.
    """

    query_codes: np.ndarray
    database_codes: np.ndarray
    query_labels: np.ndarray
    database_labels: np.ndarray
    query_ids: np.ndarray
    database_ids: np.ndarray
    bits: int
    database_trained: np.ndarray | None = None
    query_codes_text: np.ndarray | None = None
    database_codes_text: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "bits":
                value = positive(value, "bits")
            elif value is not None:
                value = (as_texts if field.name.endswith("_ids") else as_array)(value, field.name)
            object.__setattr__(self, field.name, value)
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
            texts = getattr(self, f"{part}_codes_text")
            if texts is None:
                continue
            if texts.dtype != np.uint8 or texts.ndim != 2 or len(texts) != n:
                raise InputError(f"{part}_codes_text: found {shown(texts)}, expected uint8 [{n}, bytes]")
            as_packed(texts, self.bits, f"{part}_codes_text")
        if (self.query_codes_text is None) != (self.database_codes_text is None):
            missing = "query" if self.query_codes_text is None else "database"
            raise InputError(f"{missing}_codes_text: found none, expected them beside those of the other part")
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
    query_codes_text: np.ndarray | None = None,
    database_codes_text: np.ndarray | None = None,
) -> None:
    """Writes `codes.npz`, whole or not at all. Codes: ±1 [n, bits], or packed. The rest as in `CodesFile`.

    Raises InputError where the parts do not fit each other.
    """
    bits = positive(bits, "bits")
    content = CodesFile(
        as_packed(query_codes, bits, "query_codes")[0],
        as_packed(database_codes, bits, "database_codes")[0],
        query_labels,
        database_labels,
        query_ids,
        database_ids,
        bits,
        database_trained,
        None if query_codes_text is None else as_packed(query_codes_text, bits, "query_codes_text")[0],
        None if database_codes_text is None else as_packed(database_codes_text, bits, "database_codes_text")[0],
    )
    arrays = {field.name: getattr(content, field.name) for field in fields(content)}
    write_npz(path, {name: np.asarray(value) for name, value in arrays.items() if value is not None})


def load_codes(path: Path | str, bits: int | None = None) -> CodesFile:
    """Reads and checks `codes.npz`; with `bits`, also that it holds codes of that many.

    Raises InputError naming the file, the field, what was found and what was expected.
    """
    if bits is not None:
        bits = positive(bits, "bits")
    optional = ("database_trained", "query_codes_text", "database_codes_text")
    needed = [field.name for field in fields(CodesFile) if field.name not in optional]
    arrays = read_npz(path, needed, optional)
    with naming(path):
        found = arrays["bits"]
        if found.shape != () or found.dtype.kind not in "iu":
            raise InputError(f"bits: found {shown(found)}, expected one whole number")
        if bits is not None and found != bits:
            raise InputError(f"bits: found codes of {found} bits, expected {bits}")
        return CodesFile(**{name: array for name, array in arrays.items() if name != "bits"}, bits=int(found))


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Puts the file's name before the message of an InputError raised inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error.__cause__
