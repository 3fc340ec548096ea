"""Exact evaluation: from codes and labels to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array, as_labels, as_packed, shown
from dseh_tf.errors import InputError, brief, positive
from dseh_tf.retrieval import metrics
from dseh_tf.retrieval.counting import Queries, Shard, StableOrder, count
from dseh_tf.retrieval.counts import Counts
from dseh_tf.retrieval.shared_labels import Labels

PIECE = 2**22  # label values of a database that `evaluate_unseen` copies at a time


@dataclass(frozen=True)
class Report:
    """The result of an evaluation. Numbers are means over all queries, in expectation over the orders of tied items.

    counts: what everything except `map_stable_order` is computed from; a report can be made from counts alone.
    """

    counts: Counts
    stable_order: Callable[[], np.ndarray] | None = field(default=None, repr=False)

    @cached_property
    def average_precision(self) -> np.ndarray:
        """float64 [queries]; see `metrics.average_precision`."""
        return metrics.average_precision(self.counts)

    @property
    def map(self) -> float:
        """Mean average precision over the full ranking. Queries without a relevant item count as 0.

        Example: two queries of average precision 11/12 and 0: 11/24.
        """
        return float(self.average_precision.mean())

    def map_at(self, k: int, norm: str = "hits") -> float:
        """Mean of `metrics.average_precision_at` over the queries."""
        return float(metrics.average_precision_at(self.counts, k, norm).mean())

    def precision_at(self, n: int) -> float:
        """Mean of `metrics.precision_at` over the queries."""
        return float(metrics.precision_at(self.counts, n).mean())

    def precision_recall(self, mode: str = "micro") -> tuple[np.ndarray, np.ndarray]:
        """(recall, precision), float64 [K + 1] each; see `metrics.precision_recall`."""
        return metrics.precision_recall(self.counts, mode)

    def lookup_precision(self, radius: int = 2) -> float:
        """Mean of `metrics.lookup_precision` over the queries; a lookup that finds nothing counts 0."""
        return float(metrics.lookup_precision(self.counts, radius).mean())

    @property
    def queries_without_relevant(self) -> int:
        """How many queries have no relevant item in the database."""
        return int((self.counts.relevant.sum(axis=1) == 0).sum())

    @property
    def database_size(self) -> int:
        return int(self.counts.total[0].sum())

    @property
    def base_rate(self) -> float:
        """Fraction of relevant pairs: the precision of a random ranking."""
        return float(self.counts.relevant.sum() / self.counts.total.sum())

    @cached_property
    def map_stable_order(self) -> float:
        """Mean average precision with tied items in database order, as most published code has it. A second pass.

        Unlike `map`, it depends on the order of the database's rows. Raises InputError if the report was made from
        counts alone, or from shards that can be read only once.
        """
        if self.stable_order is None:
            raise InputError("map_stable_order: found counts only, expected the codes in database order")
        return float(self.stable_order().mean())


def evaluate(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int | None = None,
    threads: int | None = None,
) -> Report:
    """Evaluates the ranking of the database by Hamming distance to each query.

    query_codes, database_codes: ±1 [n, K] of a signed or floating type, or packed uint8 [n, ceil(K / 8)] with bits=K.
    query_labels, database_labels: multi-hot [n, c] of 0 and 1, or class ids [n] or [n, 1]. An item is relevant if it
    shares at least one label with the query.
    threads: number of threads, by default one for each processor of this process. The result does not depend on it.

    Raises InputError on codes that are not ±1 or differ in bits, labels that differ in width, rows that do not match,
    NaN, or an empty side.

    Example:
        query_codes = [[1, 1]], database_codes = [[1, 1], [1, -1], [-1, 1]] : distances 0, 1, 1
        query_labels = [3], database_labels = [3, 5, 3]                     : relevant yes, no, yes
        evaluate(...).map = 11/12 (the tie may fall as yes, no: 5/6, or as yes: 1), .precision_at(2) = 3/4,
        .map_stable_order = 5/6, .precision_recall() = ([1/2, 1, 1], [1, 2/3, 2/3]).
    """
    return evaluate_shards(query_codes, query_labels, [(database_codes, database_labels)], bits, threads)


def evaluate_shards(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    shards: Iterable[tuple[np.ndarray, np.ndarray]],
    bits: int | None = None,
    threads: int | None = None,
) -> Report:
    """Like `evaluate`, for a database in parts (codes, labels), of which one is held in memory at a time.

    The result is bit-identical to that for the whole database. `map_stable_order` reads the parts a second time, so
    `shards` must then be iterable repeatedly (a list, or an object with its own `__iter__`), not a generator.
    """
    asked = _Asked(query_codes, query_labels, bits, threads)
    counts = asked.counts(shards)
    read_once = iter(shards) is shards
    return Report(counts, None if read_once else lambda: asked.stable_order(shards, counts))


def evaluate_unseen(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    trained: np.ndarray,
    bits: int | None = None,
    threads: int | None = None,
) -> tuple[Report, Report]:
    """Like `evaluate`, and also evaluates the same queries against the database rows that were not trained on.

    The two parts of the database are counted once each and their counts are added, so the cost is that of `evaluate`.
    Rows are copied in pieces, never all at once.

    Args:
        query_codes: as in `evaluate`.
        database_codes: as in `evaluate`.
        query_labels: as in `evaluate`.
        database_labels: as in `evaluate`.
        trained: bool [n_database], True for the rows that were trained on; at least one row must be False.
        bits: as in `evaluate`.
        threads: as in `evaluate`.

    Returns:
        The report on the whole database, which is that of `evaluate`, and the report on the rows where `trained` is
        False.

    Raises:
        InputError: `trained` does not fit or leaves no row, and as `evaluate`.
    """
    return evaluate_unseen_shards(
        query_codes, query_labels, [(database_codes, database_labels, trained)], bits, threads
    )


def evaluate_unseen_shards(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    shards: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    bits: int | None = None,
    threads: int | None = None,
) -> tuple[Report, Report]:
    """Like `evaluate_unseen`, for a database in parts (codes, labels, trained), with bit-identical results.

    As in `evaluate_shards`, one part is held at a time, and `map_stable_order` reads the parts a second time. At least one
    row of the database must not be trained on; a part may have none.
    """
    asked = _Asked(query_codes, query_labels, bits, threads)
    found: dict[bool, Counts | None] = {False: None, True: None}
    for given, given_labels, given_trained in _parts(shards, ("codes", "labels", "trained")):
        codes, _ = as_packed(given, asked.bits, "database_codes")
        labels = as_labels(given_labels, "database_labels")
        trained = as_array(given_trained, "trained")
        if trained.dtype != bool or trained.shape != (len(codes),):
            raise InputError(f"trained: found {shown(trained)}, expected bool [{len(codes)}], one per code")
        if len(labels) != len(codes):
            raise InputError(f"database_labels: found {len(labels)} rows, expected {len(codes)}, one per code")
        for kind, before in found.items():
            rows = trained == kind
            if rows.any():
                part = asked.counts(_chosen(codes, labels, rows))
                found[kind] = part if before is None else before + part
    unseen, seen = found[False], found[True]
    if unseen is None:
        raise InputError("trained: found True in every row, expected at least one row that was not trained on")
    counts = unseen if seen is None else unseen + seen
    again = None if iter(shards) is shards else lambda: asked.stable_order((part[:2] for part in shards), counts)
    return Report(counts, again), Report(unseen)


def _chosen(codes: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows where `rows` is True, of a piece of the database with PIECE label values at a time."""
    size = max(PIECE * len(labels) // max(labels.size, 1), 1)
    for begin in range(0, len(rows), size):
        piece = slice(begin, begin + size)
        yield codes[piece][rows[piece]], labels[piece][rows[piece]]


def _parts(shards: Any, names: Sequence[str]) -> Iterator[Sequence[np.ndarray]]:
    """The parts of a database as they come. Raises InputError on one that does not have an array of each name."""
    expected = f"expected {'pairs' if len(names) == 2 else 'tuples'} ({', '.join(names)})"
    try:
        shards = iter(shards)
    except TypeError:
        raise InputError(f"shards: found {brief(shards)}, {expected}") from None
    for shard in shards:
        if not isinstance(shard, (tuple, list)) or len(shard) != len(names):
            raise InputError(f"shards: found {type(shard).__name__}, {expected}")
        yield shard


class _Asked:
    """The queries of an evaluation, checked and laid out once for all shards."""

    def __init__(self, codes: np.ndarray, labels: np.ndarray, bits: int | None, threads: int | None) -> None:
        packed, self.bits = as_packed(codes, bits, "query_codes")
        self.labels = Labels(labels)
        if not len(packed):
            raise InputError("query_codes: found no row, expected at least one")
        if len(packed) != len(self.labels.queries):
            raise InputError(
                f"query_labels: found {len(self.labels.queries)} rows, expected {len(packed)} as in query_codes"
            )
        self.queries = Queries.of(packed, self.labels.queries, self.bits)
        self.threads = None if threads is None else positive(threads, "threads")

    def counts(self, shards: Iterable[tuple[np.ndarray, np.ndarray]]) -> Counts:
        counts = None
        for shard in self._laid_out(shards):
            part = count(self.queries, shard, self.threads)
            counts = part if counts is None else counts + part
        if counts is None:
            raise InputError("database_codes: found no row, expected at least one")
        return counts

    def stable_order(self, shards: Iterable[tuple[np.ndarray, np.ndarray]], counts: Counts) -> np.ndarray:
        """Average precision with ties in database order, float64 [queries]; `counts`: of the same shards."""
        ranking = StableOrder(counts)
        for shard in self._laid_out(shards):
            ranking.add(self.queries, shard, self.threads)
        return ranking.average_precision()

    def _laid_out(self, shards: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Shard]:
        for shard_codes, shard_labels in _parts(shards, ("codes", "labels")):
            codes, _ = as_packed(shard_codes, self.bits, "database_codes")
            labels = self.labels.database(shard_labels)
            if len(labels) != len(codes):
                raise InputError(f"database_labels: found {len(labels)} rows, expected {len(codes)}, one per code")
            if len(codes):
                yield Shard.of(codes, labels, self.labels.classes)
