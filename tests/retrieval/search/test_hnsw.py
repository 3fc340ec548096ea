"""HNSW over the distinct codes, which only the engine `pgvector` has: what it says of itself, and what stays exact."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.retrieval.search import open_index
from tests.retrieval.search.oracle import engine_parameters


@pytest.mark.parametrize("engine", engine_parameters("pgvector"))
def test_a_graph_says_what_it_finds(engine, make, place, rng):
    index, codes = make(engine, 70), rng.choice(np.array([-1, 1], np.int8), (3000, 70))
    index.add(codes, [f"i{i}" for i in range(3000)], [["sea"]] * 3000)
    queries = np.where(rng.random((40, 70)) < 0.05, -1, 1) * codes[:40]
    exact, within = index.search(queries, 50), index.range(queries, 25)
    assert index.recall is None
    recall = index.build_hnsw(links=4, candidates=8)  # a poor one
    near = index.search(queries, 50)[1]
    share = (near <= exact[1][:, -1:]).mean()
    assert share < 0.99 and abs(recall - share) < 0.15
    for mine, theirs in zip(index.range(queries, 25), within, strict=True):
        assert mine[0].tolist() == theirs[0].tolist()
    assert index.search(queries[:2], 2000)[1].shape == (2, 2000)  # more than a graph gives: exact
    np.testing.assert_array_equal(index.search(queries, 50, "sea")[1] >= exact[1], True)
    other = open_index(place(engine, "new"), read_only=True)
    assert other.recall == recall and (other.search(queries, 50)[1] == near).all()
    other.close()
    index.save(place(engine, "copy"))
    assert open_index(place(engine, "copy")).recall > recall  # made anew, with more links
    index.remove([f"i{i}" for i in range(2960)])  # they are in the graph until the table is vacuumed
    assert index.search(queries, 50)[0].shape == (40, 40)
    index.drop_hnsw()
    assert index.recall is None and open_index(place(engine, "new")).recall is None
    index.close()
