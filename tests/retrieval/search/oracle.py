"""A slow index that cannot be wrong: all distances, and a stable sort, of a list of items."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from dseh_tf.retrieval.search import ENGINES, Index
from tests.postgres import PACKAGE


def engine_parameters(*names: str) -> list:
    """Engines, by default all; those whose package is absent are skipped, and so is a database without a server."""
    wanted = {engine: [of[1]] if of else [] for engine, of in ENGINES.items()}
    wanted["pgvector"].append(PACKAGE)
    missing = {engine: [of for of in wanted[engine] if not importlib.util.find_spec(of)] for engine in names or ENGINES}
    return [
        pytest.param(engine, marks=pytest.mark.skipif(bool(no), reason=f"no {no}")) for engine, no in missing.items()
    ]


class Oracle:
    """±1 codes, ids and label sets of items in the order of insertion."""

    def __init__(self) -> None:
        self.items: list[tuple[np.ndarray, str, list[str]]] = []

    def add(self, codes: np.ndarray, ids: list[str], labels: list[list[str]]) -> None:
        self.items += zip(codes, ids, labels, strict=True)

    def remove(self, ids: list[str]) -> None:
        self.items = [item for item in self.items if item[1] not in ids]

    def ranked(self, query: np.ndarray, label: str | None) -> list[tuple[str, int]]:
        found = [(int((code != query).sum()), n, name) for n, (code, name, labels) in enumerate(self.items)
                 if label is None or label in labels]  # fmt: skip
        return [(name, distance) for distance, _, name in sorted(found)]


def random_codes(rng: np.random.Generator, n: int, bits: int, distinct: int) -> np.ndarray:
    """±1 codes [n, bits] of few values, most of which differ in few bits: ties of every kind."""
    centre = rng.choice(np.array([-1, 1], np.int8), bits)
    pool = np.where(rng.random((distinct, bits)) < min(0.5, 2 / bits), -centre, centre).astype(np.int8)
    pool[: distinct // 3] = rng.choice(np.array([-1, 1], np.int8), (distinct // 3, bits))
    return pool[rng.integers(0, distinct, n)]


def assert_agrees(index: Index, oracle: Oracle, queries: np.ndarray) -> None:
    """All answers are the oracle's: ids, distances, shapes, types."""
    assert len(index) == len(oracle.items)
    bits = queries.shape[1]
    for label in (None, "sea"):
        ranked = [oracle.ranked(query, label) for query in queries]
        for k in (1, max(len(ranked[0]) // 2, 2), 10**6):
            ids, distances = index.search(queries, k, label)
            assert ids.shape == distances.shape == (len(queries), min(k, len(ranked[0])))
            assert ids.dtype.kind == "U" and distances.dtype == np.int64
            for found, far, expected in zip(ids.tolist(), distances.tolist(), ranked, strict=True):
                assert list(zip(found, far, strict=True)) == expected[:k], (label, k)
        for radius, inclusive in ((0, True), (0, False), (bits // 2, False), (bits + 7, True)):
            answers = index.range(queries, radius, inclusive, label)
            for (found, far), expected in zip(answers, ranked, strict=True):
                within = [(name, d) for name, d in expected if d <= radius - (not inclusive)]
                assert found.dtype.kind == "U" and far.dtype == np.int64
                assert list(zip(found.tolist(), far.tolist(), strict=True)) == within, (label, radius, inclusive)
