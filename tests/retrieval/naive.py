"""Slow and obvious: what the tests of this room compare with."""

from __future__ import annotations

import itertools

import numpy as np


def distances(query: np.ndarray, database: np.ndarray) -> np.ndarray:
    return np.array(
        [[sum(a != b for a, b in zip(q, d, strict=True)) for d in database.tolist()] for q in query.tolist()]
    )


def relevance(query_labels: np.ndarray, database_labels: np.ndarray) -> np.ndarray:
    return np.array(
        [[bool(set(np.flatnonzero(q)) & set(np.flatnonzero(d))) for d in database_labels] for q in query_labels]
    )


def counts(query, database, query_labels, database_labels) -> tuple[np.ndarray, np.ndarray]:
    bits = query.shape[1]
    relevant, total = np.zeros((2, len(query), bits + 1), np.int64)
    far, alike = distances(query, database), relevance(query_labels, database_labels)
    for i, j in np.ndindex(far.shape):
        total[i, far[i, j]] += 1
        relevant[i, far[i, j]] += alike[i, j]
    return relevant, total


def average_precision(hits: np.ndarray, k: int | None = None, norm: str = "relevant") -> float:
    """Of one ranking, given as relevant or not from the first item to the last."""
    k = min(k or len(hits), len(hits))
    found, precisions = 0, 0.0
    for rank, hit in enumerate(hits[:k], start=1):
        if hit:
            found += 1
            precisions += found / rank
    divisor = found if norm == "hits" else int(sum(hits))
    return precisions / divisor if divisor else 0.0


def orders(far: np.ndarray) -> list[np.ndarray]:
    """All rankings by distance that differ in the order of tied items."""
    blocks = [itertools.permutations(np.flatnonzero(far == d)) for d in sorted(set(far.tolist()))]
    return [np.array(list(itertools.chain(*choice))) for choice in itertools.product(*blocks)]


def codes_at(far: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """A query, and database codes at the given distances from it."""
    database = np.ones((len(far), bits), np.int8)
    for row, d in zip(database, far, strict=True):
        row[:d] = -1
    return np.ones((1, bits), np.int8), database


def random_case(rng, queries, n, bits, classes, density=0.1):
    """(query codes, database codes, query labels, database labels), codes int8 ±1, labels multi-hot uint8."""
    codes = [rng.choice(np.array([-1, 1], np.int8), (rows, bits)) for rows in (queries, n)]
    labels = [(rng.random((rows, classes)) < density).astype(np.uint8) for rows in (queries, n)]
    return *codes, *labels
