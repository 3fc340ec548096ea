"""Ranking by cosine against a naive loop, and against the codes' own ranking."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import cosine as module
from dseh_tf.retrieval import cosine_average_precision, evaluate


def naive(query, database, query_labels, database_labels):
    found = []
    for q, wanted in zip(query, query_labels, strict=True):
        scores = [float(q @ d / (np.linalg.norm(q) * np.linalg.norm(d))) for d in database]
        order = sorted(range(len(database)), key=lambda i: (-scores[i], i))
        hits, precisions = 0, []
        for rank, i in enumerate(order, start=1):
            if any(a and b for a, b in zip(wanted, database_labels[i], strict=True)):
                hits += 1
                precisions.append(hits / rank)
        found.append(sum(precisions) / len(precisions) if precisions else 0.0)
    return found


def labels_of(rng, rows):
    return (rng.random((rows, 5)) < 0.25).astype(np.uint8)


@pytest.mark.parametrize("scores", [1, 200, 1 << 24])
def test_equals_a_naive_loop(rng, monkeypatch, scores):
    monkeypatch.setattr(module, "_SCORES", scores)
    query, database = rng.normal(size=(13, 6)), rng.normal(size=(70, 6)) * rng.uniform(0.1, 10, (70, 1))
    ql, dl = labels_of(rng, 13), labels_of(rng, 70)
    ql[3] = 0
    found = cosine_average_precision(query, database, ql, dl)
    assert found.dtype == np.float64 and found[3] == 0
    np.testing.assert_allclose(found, naive(query, database, ql, dl), rtol=1e-6)


def test_codes_rank_as_by_hamming_distance(rng):
    query, database = (np.where(rng.random((n, 16)) < 0.5, -1, 1).astype(np.int8) for n in (11, 90))
    ql, dl = labels_of(rng, 11), labels_of(rng, 90)
    report = evaluate(query, database, ql, dl)
    assert cosine_average_precision(query, database, ql, dl).mean() == pytest.approx(report.map_stable_order)


def test_example_and_class_ids():
    query, database = [[1, 0]], [[0, 1], [2, 0], [1, 1]]
    assert cosine_average_precision(query, database, [[1]], [[1], [1], [0]])[0] == pytest.approx(5 / 6)
    assert cosine_average_precision(query, database, [4], [4, 4, 7])[0] == pytest.approx(5 / 6)


def test_zeros_rank_between_the_near_and_the_far():
    found = cosine_average_precision([[1.0, 0]], [[-1, 0], [0, 0], [1, 0]], [1], [0, 1, 0])
    assert found[0] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query": [[1.0, float("nan")]]}, "query: found a number that is not finite"),
        ({"database": [[1.0, 2.0, 3.0]]}, "database: found 3 columns, expected 2 as in query"),
        ({"database": np.zeros((0, 2))}, r"database: found \(0, 2\), expected \[n, K\]"),
        ({"query_labels": [1, 2]}, "query_labels: found 2 rows, expected 1"),
        ({"database_labels": [1, 2]}, "database_labels: found 2 rows, expected 1"),
    ],
)
def test_refuses(change, told):
    given = {"query": [[1.0, 0]], "database": [[0, 1.0]], "query_labels": [1], "database_labels": [1], **change}
    with pytest.raises(InputError, match=told):
        cosine_average_precision(**given)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float32", 1e30), ("float32", 2e38), ("float32", 1e-40), ("float64", 1e300), ("float64", 1e-310)],
)
def test_outputs_near_the_limits_of_their_type(rng, dtype, scale):
    """Squares of such numbers overflow or vanish; each row is scaled first, so the ranking is that of the small numbers."""
    query, database = (np.clip(rng.normal(size=(n, 6)) / 6, -1, 1) for n in (9, 50))
    ql, dl = labels_of(rng, 9), labels_of(rng, 50)
    found = cosine_average_precision((query * scale).astype(dtype), (database * scale).astype(dtype), ql, dl)
    # 1e-40 and 1e-310 keep 17 and 42 bits: their rounded values are what is ranked.
    rounded = [(x * scale).astype(dtype).astype(np.longdouble) / np.longdouble(scale) for x in (query, database)]
    np.testing.assert_allclose(found, naive(*(x.astype(float) for x in rounded), ql, dl), rtol=1e-6)
    one_row = database.copy()
    one_row[7] *= scale
    found = cosine_average_precision(query, one_row, ql, dl)
    np.testing.assert_allclose(found, naive(query, database, ql, dl), rtol=1e-6)


def test_whole_numbers_and_half_precision_are_outputs(rng):
    query, database = rng.integers(-99, 99, (5, 6)), rng.integers(-99, 99, (30, 6))
    ql, dl = labels_of(rng, 5), labels_of(rng, 30)
    for dtype in ("int8", "int64", "float16"):
        found = cosine_average_precision(query.astype(dtype), database.astype(dtype), ql, dl)
        np.testing.assert_allclose(found, naive(query.astype(float), database.astype(float), ql, dl), rtol=1e-6)


@pytest.mark.parametrize(
    "outputs",
    [[["a", "b"]], [[1j, 2]], np.ma.array([[1.0, 2]], mask=[[0, 1]]), [[None, 1]], [[1], [1, 2]], None, [1.0, 2]],
)
def test_outputs_that_are_no_numbers(outputs):
    with pytest.raises(InputError, match="query: found"):
        cosine_average_precision(outputs, [[0, 1.0]], [1], [1])
