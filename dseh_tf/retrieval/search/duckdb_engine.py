"""The engine `duckdb` (extra `duckdb`): an index in one database file; each change is a transaction.

Tables: `codes` has the distinct codes as columns of 64 bits (word w holds the bits 64 w to 64 w + 63 of a code, the lowest
first), `items` the items with their place in the order of insertion, `labels` their labels. They can be read with any
DuckDB client.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, brief, positive
from dseh_tf.files import check_regular, json_text, replacing
from dseh_tf.files.read import reason
from dseh_tf.retrieval.codes import words
from dseh_tf.retrieval.search.items import parse_about
from dseh_tf.retrieval.search.protocol import (
    FORMAT,
    Found,
    Ids,
    check_about,
    check_bits,
    check_ids,
    check_label,
    check_labels,
    check_radius,
)

# A database file can hold views: none of them may read other files or load code.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
}

Self = TypeVar("Self", bound="DuckDBIndex")


class DuckDBIndex:
    """Implements `dseh_tf.retrieval.search.Index` in a DuckDB file.

    If a process is killed during `add` or `remove`, the index stays as it was before. Either one process can open a
    file for changes, or several with read_only=True.

    Args:
        bits: The length of the codes, 8 to 1,024.
        about: What the codes were made with, as JSON values; kept in the file.
        path: The new file. None keeps the index in a temporary file until `save`.

    Raises:
        InputError: There is a file of this name already, or it cannot be made.
    """

    engine = "duckdb"
    recall: float | None = None

    def __init__(self, bits: int, about: Mapping[str, Any] | None = None, path: Path | str | None = None) -> None:
        self.bits, self.about = check_bits(bits), check_about(about)
        self._temporary = None if path is not None else tempfile.TemporaryDirectory(prefix="index-")
        self.path = Path(path) if path is not None else Path(str(self._temporary and self._temporary.name), "index")
        _check_free(self.path)
        _check_free(Path(f"{self.path}.wal"))
        self._connection = _connect(self.path)
        known = {"format": str(FORMAT), "bits": str(self.bits), "about": json_text(self.about, indent=None)}
        with self._transaction() as run:
            for table, columns in _tables(self.bits).items():
                run(f"create table {table}({', '.join(f'{name} {kind} not null' for name, kind in columns.items())})")
            for name, value in known.items():
                run("insert into meta values (?, ?)", [name, value])

    @classmethod
    def open(cls: type[Self], path: Path | str, read_only: bool = False) -> Self:
        check_regular(Path(path), "a DuckDB file of an index")
        index = cls.__new__(cls)
        index.path, index._temporary = Path(path), None
        index._connection = _connect(index.path, read_only)
        try:
            index._check()
        except InputError:
            index.close()
            raise
        return index

    def close(self) -> None:
        self._connection.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __len__(self) -> int:
        return int(self._rows("select count(*) from items")[0][0])

    def add(self, codes: np.ndarray, ids: Ids, labels: Sequence[str | Iterable[str]] | None = None) -> None:
        packed, _ = as_packed(codes, self.bits, "codes")
        names, lists = check_ids(ids, len(packed)), check_labels(labels, len(packed))
        if not len(packed):
            return
        columns = words(packed).T
        word = [f"w{w}" for w in range(len(columns))]
        given = {
            "n": np.arange(len(packed)),
            "id": names.astype(object),
            **dict(zip(word, columns.copy(), strict=True)),
        }
        owners = np.repeat(np.arange(len(packed)), [len(found) for found in lists])
        flat = np.array([name for found in lists for name in found], object)
        given_labels = {"n": owners, "m": np.arange(len(flat)), "label": flat}
        same, distinct = " and ".join(f"codes.{w} = given.{w}" for w in word), ", ".join(f"given.{w}" for w in word)
        with self._transaction(given=given, given_labels=given_labels if len(owners) else None) as run:
            known = run("select id from given semi join items using (id) order by n limit 1").fetchall()
            if known:
                raise InputError(f"ids: found {brief(known[0][0])}, which is in the index already, expected new ids")
            first = run("select coalesce(max(place) + 1, 0) from items").fetchall()[0][0]
            run(
                f"insert into codes select (select coalesce(max(code), -1) from codes) + row_number() over (), {distinct}"
                f" from given anti join codes on {same} group by {distinct}"
            )
            run(f"insert into items select ? + n, id, code from given join codes on {same} order by n", [first])
            if len(owners):
                run("insert into labels select ? + n, label from given_labels order by m", [first])

    def remove(self, ids: Ids) -> None:
        names = check_ids(ids)
        if not len(names):
            return
        with self._transaction(given={"n": np.arange(len(names)), "id": names.astype(object)}) as run:
            unknown = run("select id from given anti join items using (id) order by n limit 1").fetchall()
            if unknown:
                raise InputError(f"ids: found {brief(unknown[0][0])}, expected ids of the index")
            run("delete from items where id in (select id from given)")
            run("delete from labels where place not in (select place from items)")
            run("delete from codes where code not in (select code from items)")

    def search(self, codes: np.ndarray, k: int, label: str | None = None) -> Found:
        packed, _ = as_packed(codes, self.bits, "codes")
        k = positive(k, "k")
        if check_label(label) is None:
            n = len(self)
            # The k nearest distinct codes have at least k items: no item beyond their last distance is needed.
            edge = "where d <= (select max(d) from (select d from near order by d limit ?))"
        else:
            n = int(self._rows("select count(*) from labels where label = ?", [label])[0][0])
            edge = "where place in (select place from labels where label = ?)"
        k = min(k, n)
        answers = [self._find(code, edge, [k if label is None else label], k) for code in words(packed)]
        if not answers or not k:
            return np.empty((len(packed), k), str), np.empty((len(packed), k), np.int64)
        return np.stack([ids for ids, _ in answers]), np.stack([distances for _, distances in answers])

    def range(self, codes: np.ndarray, radius: int, inclusive: bool = True, label: str | None = None) -> list[Found]:
        packed, _ = as_packed(codes, self.bits, "codes")
        values: list[Any]
        where, values = "where d <= ?", [min(check_radius(radius, inclusive), self.bits)]
        if check_label(label) is not None:
            where, values = f"{where} and place in (select place from labels where label = ?)", [*values, label]
        return [self._find(code, where, values) for code in words(packed)]

    def _find(self, code: np.ndarray, where: str, values: list[Any], k: int | None = None) -> Found:
        """ids and distances of the items of `near` that fit `where`, nearest first."""
        distance = " + ".join(f"bit_count(xor(w{w}, ?::ubigint))::integer" for w in range(len(code)))
        rows = self._rows(
            f"with near as materialized (select code, {distance} as d from codes) "
            f"select id, d from near join items using (code) {where} order by d, place{'' if k is None else ' limit ?'}",
            [*code.tolist(), *values, *([] if k is None else [k])],
        )
        return np.array([name for name, _ in rows], str), np.array([d for _, d in rows], np.int64)

    def labels_of(self, ids: Ids) -> list[list[str]]:
        names = np.asarray(ids, str).reshape(-1).tolist()
        asked = list(dict.fromkeys(names))
        rows = self._rows(
            "select id, list(label order by labels.rowid) from items left join labels using (place) "
            "where id in (select unnest(?::varchar[])) group by id",
            [asked],
        )
        found = {name: [label for label in held if label is not None] for name, held in rows}
        for name in asked:
            if name not in found:
                raise InputError(f"ids: found {brief(name)}, expected ids of the index")
        return [list(found[name]) for name in names]

    def codes_of(self, ids: Ids) -> np.ndarray:
        names = np.asarray(ids, str).reshape(-1).tolist()
        width = -(-self.bits // 8)
        columns = ", ".join(f"w{w}" for w in range(-(-width // 8)))
        rows = self._rows(
            f"select id, {columns} from items join codes using (code) where id in (select unnest(?::varchar[]))",
            [list(dict.fromkeys(names))],
        )
        found = {name: np.array(code, "<u8").view(np.uint8)[:width] for name, *code in rows}
        for name in names:
            if name not in found:
                raise InputError(f"ids: found {brief(name)}, expected ids of the index")
        return np.stack([found[name] for name in names]) if names else np.empty((0, width), np.uint8)

    def label_names(self) -> list[str]:
        return sorted(name for (name,) in self._rows("select distinct label from labels"))

    def save(self, path: Path | str) -> None:
        """Writes a copy to another file atomically; the index's own file needs no saving."""
        with _naming(self.path):
            self._connection.execute("checkpoint")
        if Path(path).resolve() != self.path.resolve():
            _check_free(Path(f"{path}.wal"))
            with replacing(path) as temporary:
                shutil.copyfile(self.path, temporary)

    def _check(self) -> None:
        """Reads what the file says about itself. Raises InputError if it is not an index of this format."""
        held = "select table_name, column_name, data_type from duckdb_columns() where not internal"
        kinds: dict[str, dict[str, str]] = {}
        for table, column, kind in self._rows(f"{held} and table_name in (select table_name from duckdb_tables())"):
            kinds.setdefault(table, {})[column] = kind.lower()
        if kinds.get("meta") != _tables(64)["meta"]:
            raise InputError(f"{self.path}: found no table meta of names and values, expected an index")
        known = dict(self._rows("select name, value from meta"))
        for name in ("format", "bits", "about"):
            if name not in known:
                raise InputError(f"{self.path}: meta: found no {name}, expected one")
        if known["format"] != str(FORMAT):
            raise InputError(f"{self.path}: format: found {brief(known['format'])}, expected {FORMAT}")
        try:
            self.bits = check_bits(int(known["bits"]) if known["bits"].isdecimal() else known["bits"])
            self.about = parse_about(known["about"])
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        for table, columns in _tables(self.bits).items():
            if kinds.get(table) != columns:
                raise InputError(
                    f"{self.path}: table {table}: found the columns {brief(kinds.get(table))}, expected {columns}"
                )
        lost = "select id from items anti join codes using (code) limit 1"
        for (name,) in self._rows(lost):
            raise InputError(f"{self.path}: items: found {brief(name)} without a code, expected one for each item")

    @contextmanager
    def _transaction(self, **tables: Mapping[str, np.ndarray] | None) -> Iterator[Any]:
        """Makes all changes of the block or none. tables: arrays by column, which the statements can read by name."""
        registered = {name: columns for name, columns in tables.items() if columns is not None}
        with _naming(self.path):
            for name, columns in registered.items():
                self._connection.register(name, columns)
            self._connection.execute("begin")
            try:
                yield self._connection.execute
                self._connection.execute("commit")
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has ended the transaction
                    self._connection.execute("rollback")
                raise
            finally:
                for name in registered:
                    self._connection.unregister(name)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with _naming(self.path):
            return list(self._connection.execute(statement, list(values)).fetchall())


def _tables(bits: int) -> dict[str, dict[str, str]]:
    """The columns of each table and their types."""
    code_words = {f"w{w}": "ubigint" for w in range(-(-bits // 64))}
    return {
        "meta": {"name": "varchar", "value": "varchar"},
        "codes": {"code": "bigint", **code_words},
        "items": {"place": "bigint", "id": "varchar", "code": "bigint"},
        "labels": {"place": "bigint", "label": "varchar"},
    }


def _connect(path: Path, read_only: bool = False) -> Any:
    with _naming(path):
        return duckdb.connect(str(path), read_only=read_only, config=_CONFIG)


def _check_free(file: Path) -> None:
    """Raises InputError if there is a file.

    The log (`.wal`) of another database may not stay either: DuckDB before 2.0 replays it, later versions refuse to open.
    """
    if file.exists():
        raise InputError(f"{file}: found a file, expected none there")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns DuckDB's errors into one line with the file's name."""
    try:
        yield
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be used ({reason(error)}), expected a DuckDB file of an index") from None
