"""Search by hash codes: one protocol (`Index`) and several engines, which give the same answers.

from dseh_tf.retrieval.search import new_index, open_index

index = new_index("exact", bits=64)
index.add(codes, ids, labels)
ids, distances = index.search(query_codes, k=20, label="dog")
index.save("photographs.index")
index = open_index("photographs.index")
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dseh_tf.errors import InputError, brief
from dseh_tf.files import check_regular, read_npz
from dseh_tf.retrieval.search.address import is_address, shown
from dseh_tf.retrieval.search.exact import ExactIndex
from dseh_tf.retrieval.search.protocol import Found, Index

if TYPE_CHECKING:
    from dseh_tf.retrieval.search.duckdb_engine import DuckDBIndex
    from dseh_tf.retrieval.search.memory import MemoryIndex
    from dseh_tf.retrieval.search.pgvector_engine import PgvectorIndex

__all__ = ["ENGINES", "ExactIndex", "Found", "Index", "is_index", "new_index", "open_index", "replacing_index"]

# The extra of this package that an engine needs, and the package that the extra installs.
ENGINES: dict[str, tuple[str, str] | None] = {
    "exact": None,
    "faiss": ("search", "faiss"),
    "duckdb": ("duckdb", "duckdb"),
    "pgvector": ("pgvector", "psycopg"),
}
_DUCKDB = (8, b"DUCK")  # where a DuckDB file has its mark


def new_index(
    engine: str = "exact", *, bits: int, about: Mapping[str, Any] | None = None, path: Path | str | None = None
) -> Index:
    """Makes an empty index.

    Args:
        engine: One of `ENGINES`.
        bits: The length of the codes, 8 to 1,024.
        about: What the codes were made with, as JSON values; stored in the file.
        path: For `duckdb`, the file of the index; for `pgvector`, the address of a database,
            `postgresql://user@host:port/database?index=name`. The other engines write a file with `save`.

    Raises:
        InputError: An unknown engine, or one whose package is not installed.
    """
    if engine == "duckdb":
        return _duckdb()(bits, about, path)
    if engine == "pgvector":
        return _pgvector()(bits, about, path)
    if path is not None:
        raise InputError(f"path: found one for the engine {brief(engine)}, expected none: it is written by `save`")
    return _in_memory(engine)(bits, about)


def replacing_index(
    path: str, *, bits: int, about: Mapping[str, Any] | None = None
) -> AbstractContextManager[PgvectorIndex]:
    """A context manager with an empty `pgvector` index, which replaces the index at an address at the end of the block.

    Other processes see the old index until then. If the block raises an exception, the old index stays.

    Raises:
        InputError: No database responds at the address, pgvector is missing, or the schema has tables that are not an
            index.
    """
    return _pgvector().replacing(bits, about, path)


def open_index(path: Path | str, engine: str | None = None, read_only: bool = False) -> Index:
    """Opens a saved index.

    Args:
        path: The file, or the address of a database: `postgresql://user@host:port/database?index=name`.
        engine: The engine; None for the one that wrote the file. `exact` and `faiss` read each other's files.
        read_only: For `duckdb`, several processes can open a file that none may change. For `pgvector`, changes are
            refused.

    Raises:
        InputError: Names the file, the field, what was found and what was expected.
    """
    if is_address(path):
        if engine not in (None, "pgvector"):
            raise InputError(
                f"{shown(path)}: found the address of a database, expected a file of the engine {brief(engine)}"
            )
        return _pgvector().open(path, read_only)
    if engine == "pgvector":
        raise InputError(f"{path}: found a file, expected postgresql://user@host:port/database?index=name")
    path = Path(path)
    check_regular(path, "an index")
    with path.open("rb") as file:
        start = file.read(16)
    if start[_DUCKDB[0] :].startswith(_DUCKDB[1]):
        if engine not in (None, "duckdb"):
            raise InputError(f"{path}: found an index of the engine duckdb, expected one of {engine}")
        return _duckdb().open(path, read_only)
    if engine == "duckdb":
        raise InputError(f"{path}: found no DuckDB file, expected one")
    if engine is None:
        engine = str(read_npz(path, ["engine"])["engine"])
        if engine not in ("exact", "faiss"):
            raise InputError(f"{path}: engine: found {brief(engine)}, expected exact or faiss")
    return _in_memory(engine).open(path)


def is_index(path: Path) -> bool:
    """Whether a file is a saved index, by the names of its arrays or tables. No array is read."""
    from dseh_tf.retrieval.search.items import FIELDS

    try:
        check_regular(path, "an index")
        with path.open("rb") as file:
            start = file.read(16)
        if start[_DUCKDB[0] :].startswith(_DUCKDB[1]):
            _duckdb().open(path, read_only=True).close()
            return True
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in FIELDS} <= set(archive.namelist())
    except (InputError, zipfile.BadZipFile):
        return False


def _in_memory(engine: str) -> type[MemoryIndex]:
    if engine == "exact":
        return ExactIndex
    if engine == "faiss":
        try:
            from dseh_tf.retrieval.search.faiss_engine import FaissIndex
        except ModuleNotFoundError as error:
            raise _missing(engine, error) from None
        return FaissIndex
    raise InputError(f"engine: found {brief(engine)}, expected one of {', '.join(ENGINES)}")


def _duckdb() -> type[DuckDBIndex]:
    try:
        from dseh_tf.retrieval.search.duckdb_engine import DuckDBIndex
    except ModuleNotFoundError as error:
        raise _missing("duckdb", error) from None
    return DuckDBIndex


def _pgvector() -> type[PgvectorIndex]:
    try:
        from dseh_tf.retrieval.search.pgvector_engine import PgvectorIndex
    except ModuleNotFoundError as error:
        raise _missing("pgvector", error) from None
    return PgvectorIndex


def _missing(engine: str, error: ModuleNotFoundError) -> Exception:
    """The line on an engine whose package is not installed; another missing module is an error of its own."""
    extra, package = ENGINES[engine] or ("", "")
    if error.name != package:
        return error
    return InputError(f"engine: found no package {package}, which {engine} needs: pip install 'dseh_tf[{extra}]'")
