"""Shared by the tests of all engines."""

from __future__ import annotations

import pytest

from dseh_tf.retrieval.search import new_index


@pytest.fixture
def make(place):
    """Makes an empty index; that of a database is in it from the beginning."""

    def of(engine: str, bits: int, about: dict | None = None):
        return new_index(engine, bits=bits, about=about, path=place(engine, "new") if engine == "pgvector" else None)

    return of
