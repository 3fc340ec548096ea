"""`codes.npz` of a run folder, and the folder `codes/` that replaces it for a large database: one type for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array, as_packed, as_texts, shown
from dseh_tf.errors import InputError, positive
from dseh_tf.files import MANIFEST, ShardFolder, open_shards, read_npz, write_npz
from dseh_tf.retrieval.codes import naming

FILE, FOLDER = "codes.npz", "codes"  # in a run folder; the second if the database was written in shards
PARTS = ("codes", "labels", "ids", "trained", "codes_text")  # what there is of each row
_OPTIONAL = ("database_trained", "query_codes_text", "database_codes_text")


@dataclass(frozen=True)
class CodesFile:
    """The content of `codes.npz`: everything that an evaluation needs.

    query_codes, database_codes: packed uint8 [n, ceil(bits / 8)]. query_labels, database_labels: uint8 multi-hot [n,
    c].
    query_ids, database_ids: unicode [n], unique.
    database_trained: bool [n], which database rows are training rows; None in files written before it existed.
    query_codes_text, database_codes_text: as the codes, of the rows' texts; None if the method has no text encoder.

    For a large database, `load_codes` returns a `MappedCodes`: the same arrays, as memory maps.
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
            named = {name: getattr(self, f"{part}_{name}", None) for name in PARTS}
            check_rows(part, self.bits, named)
            check_unique(f"{part}_ids", named["ids"])
        check_together(self)

    def rows(self, name: str, begin: int, end: int) -> np.ndarray:
        """Rows of a database array, by its name ("database_codes")."""
        array: np.ndarray = getattr(self, name)[begin:end]
        return array

    def pieces(self, *names: str, rows: int | None = None) -> Pieces:
        """The database in pieces of `rows` rows, each a tuple with the arrays of these names; can be iterated again.

        By default, arrays in memory come in one piece, and those of a `MappedCodes` in the shards that were written.
        `evaluate_shards` takes `pieces("database_codes", "database_labels")`.
        """
        return Pieces(self, names, len(self.database_ids) if rows is None else positive(rows, "rows"))


@dataclass(frozen=True)
class Pieces:
    """Tuples of arrays, piece by piece of a database, of which the caller holds one at a time."""

    codes: CodesFile
    names: tuple[str, ...]
    size: int

    def __iter__(self) -> Iterator[Any]:  # tuples with one array per name
        n = len(self.codes.database_ids)
        for begin in range(0, n, self.size):
            yield tuple(self.codes.rows(name, begin, min(begin + self.size, n)) for name in self.names)


@dataclass(frozen=True)
class MappedCodes(CodesFile):
    """The codes of a database that was written in shards: its arrays are memory maps, and `pieces` maps one at a time.

    They are checked shard by shard as they are read. Ids are unique: the writer has checked it.
    """

    folder: ShardFolder | None = None

    def __post_init__(self) -> None:
        check_together(self)

    def rows(self, name: str, begin: int, end: int) -> np.ndarray:
        assert self.folder is not None
        return self.folder.rows(name, begin, end)

    def pieces(self, *names: str, rows: int | None = None) -> Pieces:
        assert self.folder is not None
        return super().pieces(*names, rows=self.folder.shard_rows if rows is None else rows)


def check_rows(part: str, bits: int, arrays: Mapping[str, np.ndarray | None]) -> None:
    """Raises InputError if the arrays of some rows of query or database do not fit each other. Names as in `PARTS`."""
    codes, labels, ids, trained = (arrays.get(name) for name in PARTS[:4])
    assert codes is not None and labels is not None and ids is not None
    if codes.dtype != np.uint8 or not len(codes):
        raise InputError(f"{part}_codes: found {shown(codes)}, expected uint8 [n, bytes], n > 0")
    as_packed(codes, bits, f"{part}_codes")
    n = len(codes)
    if labels.dtype != np.uint8 or labels.ndim != 2 or len(labels) != n or not labels.shape[1]:
        raise InputError(f"{part}_labels: found {shown(labels)}, expected uint8 [{n}, classes]")
    if labels.max() > 1:
        raise InputError(f"{part}_labels: found the value {labels.max()}, expected 0 or 1")
    if ids.dtype.kind != "U" or ids.shape != (n,):
        raise InputError(f"{part}_ids: found {shown(ids)}, expected strings [{n}]")
    texts = arrays.get("codes_text")
    if texts is not None:
        if texts.dtype != np.uint8 or texts.ndim != 2 or len(texts) != n:
            raise InputError(f"{part}_codes_text: found {shown(texts)}, expected uint8 [{n}, bytes]")
        as_packed(texts, bits, f"{part}_codes_text")
    if trained is not None and (trained.dtype != bool or trained.shape != (n,)):
        raise InputError(f"{part}_trained: found {shown(trained)}, expected bool [{n}]")


def check_unique(field: str, ids: np.ndarray | None) -> None:
    assert ids is not None
    names, times = np.unique(ids, return_counts=True)
    if len(names) < len(ids):
        raise InputError(f"{field}: found '{names[times.argmax()]}' {times.max()} times, expected once")


def check_together(codes: CodesFile) -> None:
    """Raises InputError if query and database do not fit each other."""
    if (codes.query_codes_text is None) != (codes.database_codes_text is None):
        missing = "query" if codes.query_codes_text is None else "database"
        raise InputError(f"{missing}_codes_text: found none, expected them beside those of the other part")
    if codes.query_labels.shape[1] != codes.database_labels.shape[1]:
        raise InputError(
            f"database_labels: found {codes.database_labels.shape[1]} classes, "
            f"expected {codes.query_labels.shape[1]} as in query_labels"
        )


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

    Raises InputError if the parts do not fit each other.
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


def codes_path(folder: Path | str) -> Path:
    """`codes.npz` of a run folder, or the folder `codes/` if it exists instead."""
    file, large = Path(folder) / FILE, Path(folder) / FOLDER
    return large if (large / MANIFEST).exists() and not file.exists() else file


def has_codes(folder: Path | str) -> bool:
    """Whether a run folder has codes in either form."""
    path = codes_path(folder)
    return path.is_file() or path.is_dir()


def load_codes(path: Path | str, bits: int | None = None) -> CodesFile:
    """Reads and checks `codes.npz` or the folder `codes/`; with `bits`, also checks the number of bits.

    The arrays of a folder are read once to verify their digests, one shard at a time, and are then memory-mapped.

    Raises InputError naming the file, the field, what was found and what was expected.
    """
    if bits is not None:
        bits = positive(bits, "bits")
    if Path(path).is_dir():
        return _load_folder(Path(path), bits)
    needed = [field.name for field in fields(CodesFile) if field.name not in _OPTIONAL]
    arrays = read_npz(path, needed, _OPTIONAL)
    with naming(path):
        found = arrays["bits"]
        if found.shape != () or found.dtype.kind not in "iu":
            raise InputError(f"bits: found {shown(found)}, expected one whole number")
        if bits is not None and found != bits:
            raise InputError(f"bits: found codes of {found} bits, expected {bits}")
        return CodesFile(**{name: array for name, array in arrays.items() if name != "bits"}, bits=int(found))


def open_codes_folder(path: Path) -> ShardFolder:
    """The folder `codes/` with the types and shapes of its arrays; the arrays are not looked at.

    Raises InputError if it lacks one of the arrays of `CodesFile`, or the number of bits.
    """
    folder = open_shards(path)
    needed = [field.name for field in fields(CodesFile) if field.name not in (*_OPTIONAL, "bits")]
    missing = [name for name in needed if name not in folder.headers]
    if missing:
        raise InputError(f"{path / MANIFEST}: arrays: found no {missing[0]}, expected {', '.join(needed)}")
    positive(folder.manifest.get("bits"), f"{path / MANIFEST}: bits")
    n = folder.headers["database_codes"].shape[0]
    for name, header in folder.headers.items():
        if (name in folder.manifest["sharded"]) != name.startswith("database_") or (
            name.startswith("database_") and header.shape[0] != n
        ):
            raise InputError(
                f"{path / MANIFEST}: sharded: found {name} otherwise, expected the arrays of {n} database rows"
            )
    return folder


def _load_folder(path: Path, bits: int | None) -> CodesFile:
    folder = open_codes_folder(path)
    found = int(folder.manifest["bits"])
    if bits is not None and found != bits:
        raise InputError(f"{path / MANIFEST}: bits: found codes of {found} bits, expected {bits}")
    with naming(path):
        for part in ("query", "database"):
            names = [name for name in PARTS if f"{part}_{name}" in folder.headers]
            for shard in zip(*(folder.checked(f"{part}_{name}") for name in names), strict=True):
                check_rows(part, found, dict(zip(names, shard, strict=True)))
        held = {field.name for field in fields(CodesFile)}
        arrays = {name: folder.array(name) for name in folder.headers if name in held}
        check_unique("query_ids", arrays["query_ids"])
        return MappedCodes(**arrays, bits=found, folder=folder)
