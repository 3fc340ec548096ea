"""What the engine `pgvector` asks the database: the statements of a search, and HNSW over the distinct codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dseh_tf.retrieval.search.pgvector_tables import Names
from dseh_tf.retrieval.search.protocol import Found
from dseh_tf.seeding import default_generator

# The k nearest distinct codes, with all others at the last distance, have the k nearest items among them. The distance is
# computed before it is ordered by: a graph of HNSW is not used.
_ALL = "(select number, code {hamming} {query} as d from {codes} offset 0) near"
_FIRST = (
    "cross join lateral (select id, place from {items} item where item.code = near.number order by place limit %(k)s) found "
    "order by d, place limit %(k)s"
)
NEAREST = f"select id, d from (select number, d from {_ALL} order by d fetch first %(k)s rows with ties) near {_FIRST}"
# A graph does not say which codes it leaves out at the last distance.
GRAPH = f"select id, d from (select number, code {{hamming}} {{query}} as d from {{codes}} order by d limit %(k)s) near {_FIRST}"
# `offset 0` keeps the index of (code, place) in use where few codes are near.
WITHIN = (
    f"select id, d from (select number, d from {_ALL} where d <= %(radius)s) near cross join lateral "
    "(select id, place from {items} item where item.code = near.number offset 0) found order by d, place"
)
_LABELLED = (
    "select id, d from (select id, place, held.code {hamming} {query} as d from {labels} join {items} using (place) "
    "join {codes} held on number = items.code where label = %(label)s) found"
)
LABELLED = f"{_LABELLED} order by d, place limit %(k)s"
LABELLED_WITHIN = f"{_LABELLED} where d <= %(radius)s order by d, place"

MOST = 1000  # candidates that a search in a graph of pgvector can have
_LEAST = 64
_QUERIES, _K = 200, 100  # of the measured recall


def texts(packed: np.ndarray, bits: int) -> list[str]:
    """Packed codes as PostgreSQL writes bits: character k is bit k of the code.

    Example: texts([[9, 1]], 9) = ["100100001"].
    """
    digits = np.unpackbits(packed, axis=1, count=bits, bitorder="little") + np.uint8(ord("0"))
    return [row.tobytes().decode() for row in digits]


def found(
    run: Any, names: Names, statement: str, codes: list[str], values: Mapping[str, Any], bits: int
) -> list[Found]:
    """ids and distances for each code, nearest first. All codes are sent before the first answer is read."""
    if not codes:
        return []
    query = names.statement(f"%(code)s::bit({bits})")
    run.executemany(
        names.statement(statement, query=query), [{**values, "code": code} for code in codes], returning=True
    )
    answers = []
    while True:
        rows = run.fetchall()
        answers.append((np.array([name for name, _ in rows], str), np.array([d for _, d in rows], np.int64)))
        if not run.nextset():
            return answers


def use_graph(run: Any, k: int) -> None:
    """Settings until the end of the transaction."""
    wanted = {
        "hnsw.ef_search": min(max(2 * k, _LEAST), MOST),
        "hnsw.iterative_scan": "strict_order",
        "enable_seqscan": "off",
    }
    for name, value in wanted.items():
        run.execute("select set_config(%s, %s, true)", [name, str(value)])


def recall_of(known: Mapping[str, str]) -> float | None:
    """What `meta` says of the answers: None if they are exact."""
    try:
        return float(json.loads(known["recall"])["recall"]) if "recall" in known else None
    except (ValueError, TypeError, KeyError):
        return 0.0  # there is a graph, and nothing is known of it


def build_graph(run: Any, names: Names, links: int, candidates: int) -> None:
    drop_graph(run, names)
    options = f"m = {links}, ef_construction = {candidates}"
    run.execute(
        names.statement(f"create index on {{codes}} using hnsw (code {{vector}}.bit_hamming_ops) with ({options})")
    )


def drop_graph(run: Any, names: Names) -> None:
    run.execute(
        "select c.relname from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = indexrelid "
        "join pg_catalog.pg_am a on a.oid = c.relam where indrelid = %s::regclass and amname = 'hnsw'",
        [names.statement("{codes}").as_string(run)],
    )
    for (name,) in run.fetchall():
        run.execute(names.statement("drop index {index}", index=names.of_schema(name)))
    run.execute(names.statement("delete from {meta} where name = 'recall'"))


def measure(run: Any, names: Names, bits: int) -> float:
    """Stores and returns the recall of the graph: of k answers, the share that is no farther than the exact k-th one.

    The queries are stored codes with a few bits flipped.
    """
    rng = default_generator(0)
    run.execute(names.statement("select code::text from {codes} order by md5(number::text) limit %s"), [_QUERIES])
    codes = []
    for (text,) in run.fetchall():
        flip = rng.random(bits) < 0.05
        codes.append("".join("10"[int(c)] if f else c for c, f in zip(text, flip.tolist(), strict=True)))
    exact = found(run, names, NEAREST, codes, {"k": _K}, bits)
    use_graph(run, _K)
    near = found(run, names, GRAPH, codes, {"k": _K}, bits)
    right = sum(int((d <= e[-1]).sum()) for (_, d), (_, e) in zip(near, exact, strict=True) if len(e))
    total = sum(len(e) for _, e in exact)
    recall = round(right / total, 4) if total else 1.0
    value = json.dumps({"recall": recall, "k": _K, "queries": len(codes)})
    run.execute(names.statement("insert into {meta} values ('recall', %s)"), [value])
    return recall
