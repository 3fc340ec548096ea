"""How the engine `pgvector` adds and removes items: rows are streamed into temporary tables, and then take effect at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dseh_tf.errors import InputError, brief
from dseh_tf.retrieval.search.pgvector_queries import texts
from dseh_tf.retrieval.search.pgvector_tables import Names, columns

BLOCK = 10_000  # codes that are made into text at once


def send(run: Any, table: str, kinds: str, rows: Iterable[Sequence[Any]]) -> None:
    """Makes a temporary table of rows."""
    run.execute(f"drop table if exists pg_temp.{table}")
    run.execute(f"create temp table {table} ({kinds}) on commit drop")
    with run.copy(f"copy pg_temp.{table} from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    run.execute(f"analyze pg_temp.{table}")


def send_items(run: Any, packed: np.ndarray, ids: np.ndarray, labels: Sequence[Sequence[str]], bits: int) -> None:
    send(run, "given", f"n bigint, id text, code bit({bits})", _rows(packed, ids, bits))
    flat = ((n, m, label) for n, held in enumerate(labels) for m, label in enumerate(held))
    send(run, "given_labels", "n bigint, position bigint, label text", flat)


def _rows(packed: np.ndarray, ids: np.ndarray, bits: int) -> Iterator[tuple[int, str, str]]:
    """number, id and code as text."""
    for start in range(0, len(packed), BLOCK):
        part = packed[start : start + BLOCK]
        names, codes = ids[start : start + BLOCK].tolist(), texts(part, bits)
        yield from zip(range(start, start + len(part)), names, codes, strict=True)


def add_sent(run: Any, names: Names) -> None:
    """Adds what `send_items` sent. Raises InputError if an id is in the index."""
    statement = "select id from pg_temp.given join {items} using (id) order by n limit 1"
    for (known,) in run.execute(names.statement(statement)).fetchall():
        raise InputError(f"ids: found {brief(known)}, which is in the index already, expected new ids")
    run.execute(
        names.statement(
            "insert into {codes} (number, code) "
            "select (select coalesce(max(number), -1) from {codes}) + row_number() over (), code "
            "from (select distinct code from pg_temp.given) wanted "
            "where not exists (select from {codes} held where held.code = wanted.code)"
        )
    )
    first = run.execute(names.statement("select coalesce(max(place) + 1, 0) from {items}")).fetchall()[0][0]
    for statement in (
        "insert into {items} (place, id, code) "
        "select %s + n, id, number from pg_temp.given join {codes} held on held.code = given.code",
        "insert into {labels} (place, position, label) select %s + n, position, label from pg_temp.given_labels",
    ):
        run.execute(names.statement(statement), [first])


def remove_sent(run: Any, names: Names) -> None:
    """Removes the items whose ids are in `given`. Raises InputError if one is not in the index."""
    missing = "select from {items} held where held.id = given.id"
    statement = f"select id from pg_temp.given where not exists ({missing}) order by n limit 1"
    for (unknown,) in run.execute(names.statement(statement)).fetchall():
        raise InputError(f"ids: found {brief(unknown)}, expected ids of the index")
    run.execute("drop table if exists pg_temp.gone")
    for statement in (
        "create temp table gone on commit drop as select place, code from {items} join pg_temp.given using (id)",
        "analyze pg_temp.gone",
        "delete from {labels} where place in (select place from pg_temp.gone)",
        "delete from {items} where place in (select place from pg_temp.gone)",
        "delete from {codes} where number in (select code from pg_temp.gone) "
        "and not exists (select from {items} held where held.code = number)",
    ):
        run.execute(names.statement(statement))


def copy_tables(source: Any, names: Names, target: Any, own: Names, bits: int) -> None:
    """Streams the rows of an index into the empty tables of another one, which may be on another server."""
    for table, kinds in columns(bits).items():
        if table == "meta":
            continue
        listed = ", ".join(kinds)
        out = names.statement(f"copy (select {listed} from {{{table}}}) to stdout (format binary)")
        into = own.statement(f"copy {{{table}}} ({listed}) from stdin (format binary)")
        with source.copy(out) as blocks, target.copy(into) as copy:
            for block in blocks:
                copy.write(block)
    target.execute(own.statement("analyze {codes}, {items}, {labels}"))
