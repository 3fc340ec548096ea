"""The tables of an index in PostgreSQL: their columns, how they are made, and the checks before they are used."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from dseh_tf.errors import InputError, brief
from dseh_tf.files import json_text
from dseh_tf.retrieval.search.items import parse_about
from dseh_tf.retrieval.search.protocol import FORMAT, check_bits

TABLES = ("meta", "codes", "items", "labels")
OLDEST = (0, 8)  # the first pgvector whose graphs are searched until there are enough answers


def columns(bits: int) -> dict[str, dict[str, str]]:
    """The columns of each table and their types. Character k of a code is its bit k."""
    return {
        "meta": {"name": "text", "value": "text"},
        "codes": {"number": "bigint", "code": f"bit({bits})"},
        "items": {"place": "bigint", "id": "text", "code": "bigint"},
        "labels": {"place": "bigint", "position": "bigint", "label": "text"},
    }


# No statement relies on these: partitioned tables of the same columns may have others.
_KEYS = {
    "meta": ["alter table {meta} add primary key (name)"],
    "codes": ["alter table {codes} add primary key (number)", "create unique index on {codes} (code)"],
    "items": [
        "alter table {items} add primary key (id)",
        "create unique index on {items} (place)",
        "create index on {items} (code, place)",
    ],
    "labels": ["alter table {labels} add primary key (place, position)", "create index on {labels} (label, place)"],
}


@dataclass(frozen=True)
class Names:
    """Quoted names for statements. index: the schema; prefix: of its tables, while new ones are made next to old
    ones."""

    index: str
    extension: str = "public"  # the schema of pgvector
    prefix: str = ""

    def statement(self, text: Any, **more: Any) -> Any:
        """The statement with {meta}, {codes}, {items}, {labels} and {hamming}, the operator, filled in."""
        tables = {name: sql.Identifier(self.index, self.prefix + name) for name in TABLES}
        own = {"schema": sql.Identifier(self.index), "vector": sql.Identifier(self.extension), **tables}
        hamming = sql.SQL("operator({}.<~>)").format(own["vector"])
        return sql.SQL(text).format(**own, hamming=hamming, **more)

    def of_schema(self, name: str) -> Any:
        return sql.Identifier(self.index, name)


def extension(run: Any, shown: str) -> str:
    """The schema of the extension `vector`. Raises InputError if it is missing or too old."""
    run.execute(
        "select nspname, extversion from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = extnamespace "
        "where extname = 'vector'"
    )
    found = run.fetchone()
    expected = f"pgvector {'.'.join(map(str, OLDEST))} or later: CREATE EXTENSION vector, as a superuser"
    if found is None:
        raise InputError(f"{shown}: extension vector: found none in this database, expected {expected}")
    numbers = [int(part) for part in found[1].split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < OLDEST:
        raise InputError(f"{shown}: extension vector: found version {found[1]}, expected {expected}")
    return str(found[0])


def present(run: Any, index: str) -> dict[str, dict[str, str]]:
    """Which tables of these names there are, each with its columns; anything that is not a table has none."""
    run.execute(
        "select relname, relkind, attname, pg_catalog.format_type(atttypid, atttypmod) "
        "from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace "
        "join pg_catalog.pg_attribute a on attrelid = c.oid where nspname = %s and relname = any(%s) and attnum > 0 "
        "and not attisdropped",
        [index, list(TABLES)],
    )
    found: dict[str, dict[str, str]] = {}
    for table, kind, column, of in run.fetchall():
        known = found.setdefault(table, {})
        if kind in ("r", "p"):  # tables, whole or partitioned
            known[column] = of
    return found


def is_index(found: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether tables say themselves what they are."""
    return found.get("meta") == columns(8)["meta"]


def create(run: Any, names: Names, bits: int, about: Mapping[str, Any]) -> str:
    """Creates empty tables, and their schema if it is missing. Returns a token that identifies the index."""
    run.execute("select from pg_catalog.pg_namespace where nspname = %s", [names.index])
    if run.fetchone() is None:
        run.execute(names.statement("create schema {schema}"))
    for table, kinds in columns(bits).items():
        listed = ", ".join(f"{name} {kind} not null" for name, kind in kinds.items())
        run.execute(names.statement(f"create table {{{table}}} ({listed})"))
        for statement in _KEYS[table]:
            run.execute(names.statement(statement))
    known = {"format": str(FORMAT), "bits": str(bits), "about": json_text(about, indent=None), "made": uuid.uuid4().hex}
    run.executemany(names.statement("insert into {meta} values (%s, %s)"), list(known.items()))
    return known["made"]


def meta(run: Any, names: Names) -> dict[str, str]:
    return dict(run.execute(names.statement("select name, value from {meta}")).fetchall())


def check(run: Any, names: Names, shown: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(bits, about, meta) of an index. Raises InputError if there is none, or one of a different format."""
    found = present(run, names.index)
    if not is_index(found):
        raise InputError(f"{shown}: found no table meta of names and values, expected an index")
    known = meta(run, names)
    for name in ("format", "bits", "about", "made"):
        if name not in known:
            raise InputError(f"{shown}: meta: found no {name}, expected one")
    if known["format"] != str(FORMAT):
        raise InputError(f"{shown}: format: found {brief(known['format'])}, expected {FORMAT}")
    try:
        bits = check_bits(int(known["bits"]) if known["bits"].isdecimal() else known["bits"])
        about = parse_about(known["about"])
    except InputError as error:
        raise InputError(f"{shown}: {error}") from None
    for table, kinds in columns(bits).items():
        if table not in found:
            raise InputError(f"{shown}: found no table {table}, expected one")
        if found[table] != kinds:
            raise InputError(f"{shown}: table {table}: found the columns {brief(found[table])}, expected {kinds}")
    return bits, about, known
