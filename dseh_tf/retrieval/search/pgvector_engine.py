"""The engine `pgvector` (extra `pgvector`): an index in a PostgreSQL database, for many machines.

One schema holds the tables of an index: `codes` has the distinct codes, `items` the items with their place in the order of
insertion, `labels` their labels, `meta` the format and what the codes were made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, brief, positive, whole
from dseh_tf.retrieval.search import pgvector_changes as changes
from dseh_tf.retrieval.search import pgvector_queries as queries
from dseh_tf.retrieval.search import pgvector_tables
from dseh_tf.retrieval.search.pgvector_queries import texts
from dseh_tf.retrieval.search.pgvector_tables import TABLES, Names, is_index
from dseh_tf.retrieval.search.postgres import Database
from dseh_tf.retrieval.search.protocol import (
    Found,
    Ids,
    check_about,
    check_bits,
    check_ids,
    check_label,
    check_labels,
    check_radius,
)

_MOST_ITEMS = 2**62

Self = TypeVar("Self", bound="PgvectorIndex")


class PgvectorIndex:
    """Implements `dseh_tf.retrieval.search.Index` in a PostgreSQL database with pgvector.

    Every `add` and `remove` is a transaction, also if a process is killed. Any number of processes can read and change
    an index at the same time; changes are made one after another, and readers do not wait for them.

    Answers are exact until `build_hnsw` is called.

    Args:
        bits: The length of the codes, 8 to 1,024.
        about: What the codes were made with, as JSON values; kept in the database.
        path: `postgresql://user:password@host:port/database?index=name`. The index is a schema of this name.

    Raises:
        InputError: No database answers there, pgvector is missing, or there is such an index already.
    """

    engine = "pgvector"
    recall: float | None = None

    def __init__(self, bits: int, about: Mapping[str, Any] | None = None, path: Path | str | None = None) -> None:
        self.bits, self.about = check_bits(bits), check_about(about)
        self._database = Database(path)
        try:
            with self._database.transaction(change=True) as run:
                self._prepare(run)
                found = pgvector_tables.present(run, self._names.index)
                if found:
                    raise InputError(f"{self.path}: found the tables {', '.join(sorted(found))}, expected no index")
                self._made = pgvector_tables.create(run, self._names, self.bits, self.about)
        except InputError:
            self.close()
            raise

    @classmethod
    def open(cls: type[Self], path: Path | str, read_only: bool = False) -> Self:
        index = cls.__new__(cls)
        index._database = Database(path, read_only)
        try:
            with index._database.transaction() as run:
                index._names = Names(index._database.address.index, pgvector_tables.extension(run, index.path))
                index.bits, index.about, known = pgvector_tables.check(run, index._names, index.path)
        except InputError:
            index.close()
            raise
        index._made, index.recall = known["made"], queries.recall_of(known)
        return index

    @classmethod
    @contextmanager
    def replacing(
        cls: type[Self], bits: int, about: Mapping[str, Any] | None = None, path: Path | str | None = None
    ) -> Iterator[Self]:
        """A new index that atomically replaces the one at `path`, if any, at the end of the block.

        Other processes see the old index until then. A process that has the index open must open it again.
        """
        index = cls.__new__(cls)
        index.bits, index.about = check_bits(bits), check_about(about)
        index._database = Database(path)
        try:
            with index._database.transaction(change=True) as run:
                index._prepare(run)
                final = index._names
                old = pgvector_tables.present(run, final.index)
                if old and not (set(old) == set(TABLES) and is_index(old)):
                    raise InputError(
                        f"{index.path}: found the tables {', '.join(sorted(old))}, expected those of an index"
                    )
                index._names = replace(final, prefix="new ")
                index._made = pgvector_tables.create(run, index._names, index.bits, index.about)
                yield index
                if old:
                    run.execute(final.statement("drop table {meta}, {codes}, {items}, {labels}"))
                for table in TABLES:
                    run.execute(index._names.statement(f"alter table {{{table}}} rename to {table}"))
                index._names = final
        finally:
            index.close()

    def _prepare(self, run: Any) -> None:
        """Finds pgvector, or installs it if that is allowed; waits for other processes that make an index of this
        name."""
        index = self._database.address.index
        run.execute("select pg_advisory_xact_lock(hashtextextended('dseh_tf.' || %s, 0))", [index])
        try:
            with self._database.transaction() as inner:
                inner.execute("create extension if not exists vector")
        except InputError:
            pass  # what is missing is said next
        self._names, self.recall = Names(index, pgvector_tables.extension(run, self.path)), None

    @property
    def path(self) -> str:
        """The address, without its password."""
        return str(self._database.address)

    def close(self) -> None:
        self._database.close()

    def __len__(self) -> int:
        with self._reading() as run:
            return self._count(run)

    def _count(self, run: Any) -> int:
        return int(run.execute(self._names.statement("select count(*) from {items}")).fetchall()[0][0])

    def add(self, codes: np.ndarray, ids: Ids, labels: Sequence[str | Iterable[str]] | None = None) -> None:
        packed, _ = as_packed(codes, self.bits, "codes")
        names, lists = check_ids(ids, len(packed)), check_labels(labels, len(packed))
        if not len(packed):
            return
        with self._database.transaction(change=True) as run:
            # Sent before the lock, so that others need not wait for the network.
            changes.send_items(run, packed, names, lists, self.bits)
            self._lock(run)
            changes.add_sent(run, self._names)
            if len(packed) >= changes.BLOCK:
                run.execute(self._names.statement("analyze {codes}, {items}, {labels}"))

    def remove(self, ids: Ids) -> None:
        names = check_ids(ids)
        if not len(names):
            return
        with self._database.transaction(change=True) as run:
            changes.send(run, "given", "n bigint, id text", enumerate(names.tolist()))
            self._lock(run)
            changes.remove_sent(run, self._names)

    def search(self, codes: np.ndarray, k: int, label: str | None = None) -> Found:
        packed, _ = as_packed(codes, self.bits, "codes")
        k, label = min(positive(k, "k"), _MOST_ITEMS), check_label(label)
        with self._reading() as run:
            if not len(packed):
                count = min(k, self._count(run)) if label is None else 0
                return np.empty((0, count), str), np.empty((0, count), np.int64)
            if label is not None:
                found = self._found(run, queries.LABELLED, packed, {"k": k, "label": label})
            elif self.recall is None or k > queries.MOST:
                found = self._found(run, queries.NEAREST, packed, {"k": k})
            else:
                found = self._approximate(run, packed, k)
        return np.stack([ids for ids, _ in found]), np.stack([distances for _, distances in found])

    def range(self, codes: np.ndarray, radius: int, inclusive: bool = True, label: str | None = None) -> list[Found]:
        packed, _ = as_packed(codes, self.bits, "codes")
        values = {"radius": min(check_radius(radius, inclusive), self.bits), "label": check_label(label)}
        with self._reading() as run:
            return self._found(run, queries.WITHIN if label is None else queries.LABELLED_WITHIN, packed, values)

    def _approximate(self, run: Any, packed: np.ndarray, k: int) -> list[Found]:
        queries.use_graph(run, k)
        found = self._found(run, queries.GRAPH, packed, {"k": k})
        if min(len(ids) for ids, _ in found) < k:  # a small index, or removed codes that are in the graph still
            found = self._found(run, queries.NEAREST, packed, {"k": k})
        return found

    def _found(self, run: Any, statement: str, packed: np.ndarray, values: Mapping[str, Any]) -> list[Found]:
        return queries.found(run, self._names, statement, texts(packed, self.bits), values, self.bits)

    def labels_of(self, ids: Ids) -> list[list[str]]:
        names = np.asarray(ids, str).reshape(-1).tolist()
        asked = list(dict.fromkeys(names))
        found: dict[str, list[str]] = {}
        statement = (
            "select id, label from {items} left join {labels} using (place) where id = any(%s) order by position"
        )
        with self._reading() as run:
            for name, label in run.execute(self._names.statement(statement), [asked]).fetchall():
                found.setdefault(name, []).extend([] if label is None else [label])
        for name in asked:
            if name not in found:
                raise InputError(f"ids: found {brief(name)}, expected ids of the index")
        return [list(found[name]) for name in names]

    def codes_of(self, ids: Ids) -> np.ndarray:
        names = np.asarray(ids, str).reshape(-1).tolist()
        statement = (
            "select id, held.code::text from {items} join {codes} held on number = items.code where id = any(%s)"
        )
        with self._reading() as run:
            found = dict(run.execute(self._names.statement(statement), [list(dict.fromkeys(names))]).fetchall())
        for name in names:
            if name not in found:
                raise InputError(f"ids: found {brief(name)}, expected ids of the index")
        digits = np.array([[digit == "1" for digit in found[name]] for name in names], bool).reshape(-1, self.bits)
        return np.packbits(digits, axis=1, bitorder="little")

    def label_names(self) -> list[str]:
        with self._reading() as run:
            rows = run.execute(self._names.statement("select distinct label from {labels}")).fetchall()
        return sorted(name for (name,) in rows)

    def save(self, path: Path | str) -> None:
        """Copies the index to another address, whole or not at all; at its own address it needs no saving.

        An index at the other address is replaced.
        """
        if self._is_at(path):
            return
        with self._reading() as run, type(self).replacing(self.bits, self.about, path) as copy:
            with copy._database.transaction(change=True) as into:
                changes.copy_tables(run, self._names, into, copy._names, self.bits)
            if self.recall is not None:
                copy.build_hnsw()

    def build_hnsw(self, links: int = 16, candidates: int = 64) -> float:
        """Builds a graph of the distinct codes: `search` without a label becomes faster, and is no longer exact.

        Later items enter the graph too. Searches with a label, `range`, and answers beyond 1,000 stay exact.

        Args:
            links: Number of links per code in the graph (`m`).
            candidates: Number of candidates examined for each new code (`ef_construction`).

        Returns:
            The measured recall, which `recall` has from then on: of 100 answers, the share that is no farther than the
            exact 100th. It holds for the codes that the index has now.
        """
        links, candidates = whole(links, "links", 2, 100), whole(candidates, "candidates", 4, 1000)
        with self._database.transaction(change=True) as run:
            self._lock(run)
            queries.build_graph(run, self._names, links, candidates)
            recall = queries.measure(run, self._names, self.bits)
        self.recall = recall
        return recall

    def drop_hnsw(self) -> None:
        """Answers are exact again."""
        with self._database.transaction(change=True) as run:
            self._lock(run)
            queries.drop_graph(run, self._names)
        self.recall = None

    def _is_at(self, path: Path | str) -> bool:
        """Whether the index at an address is this one: a server has several names."""
        there = Database(path)
        try:
            with there.transaction() as run:
                names = Names(there.address.index)
                found = pgvector_tables.present(run, names.index)
                return is_index(found) and pgvector_tables.meta(run, names).get("made") == self._made
        finally:
            there.close()

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._database.transaction() as run:
            self._check_same(run)
            yield run

    def _lock(self, run: Any) -> None:
        """Changes take turns. Readers do not wait."""
        run.execute(self._names.statement("lock table {items} in share row exclusive mode"))
        self._check_same(run)

    def _check_same(self, run: Any) -> None:
        if pgvector_tables.meta(run, self._names).get("made") != self._made:
            raise InputError(f"{self.path}: found a different index than the one that was opened: open it again")
