"""Distinct label vectors, counted by loops over rows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dseh_tf.data import label_vectors
from dseh_tf.data.label_vectors import check_similarities, distinct_rows
from dseh_tf.errors import InputError


def draw(rng, count: int, classes: int = 5, share: float = 0.3) -> np.ndarray:
    return (rng.random((count, classes)) < share).astype(np.uint8)


@pytest.mark.parametrize(("classes", "share"), [(5, 0.3), (8, 0.1), (19, 0.03)])
def test_vectors_index_and_counts(rng, classes, share):
    labels = draw(rng, 60, classes, share)
    rows = distinct_rows(labels)
    known = sorted({tuple(row) for row in labels.tolist()})
    assert [tuple(vector) for vector in rows.vectors.tolist()] == known and rows.vectors.dtype == np.uint8
    assert rows.index.dtype == np.int32 and rows.index.shape == (60,)
    for row, where in zip(labels.tolist(), rows.index, strict=True):
        assert known[where] == tuple(row)
    assert rows.counts.tolist() == [labels.tolist().count(list(vector)) for vector in known]


def test_one_vector(rng):
    rows = distinct_rows(np.ones((4, 2), np.uint8))
    assert rows.vectors.tolist() == [[1, 1]] and rows.index.tolist() == [0] * 4 and rows.counts.tolist() == [4]


@pytest.mark.parametrize("cells", [1, 70, 1 << 20])
def test_similar_sums(rng, monkeypatch, cells):
    monkeypatch.setattr(label_vectors, "_BLOCK_CELLS", cells)
    vectors, others, values = draw(rng, 9), draw(rng, 30), rng.standard_normal((30, 3))
    found = label_vectors.similar_sums(vectors, others, values)
    for vector, row in zip(vectors, found, strict=True):
        expected = np.zeros(3)
        for other, value in zip(others, values, strict=True):
            if any(x and y for x, y in zip(vector, other, strict=True)):
                expected += value
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_similar_pairs(rng, monkeypatch, block):
    """Ordered, each row with itself too; a row without a label pairs with nothing."""
    monkeypatch.setattr(label_vectors, "_BLOCK", block)
    labels = draw(rng, 50)
    assert 0 < (labels.sum(axis=1) == 0).sum() < 50
    expected = sum(any(x and y for x, y in zip(a, b, strict=True)) for a in labels.tolist() for b in labels.tolist())
    assert distinct_rows(labels).similar_pairs() == expected


def test_similar_pairs_of_many_rows():
    """Beyond float32's whole numbers."""
    labels = np.zeros((10_000, 2), np.uint8)
    labels[:5001, 0] = labels[5001:, 1] = 1
    assert distinct_rows(labels).similar_pairs() == 5001**2 + 4999**2


@pytest.mark.parametrize("labels", [np.ones((6, 1)), np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])])
def test_every_two_rows_similar(labels):
    line = f"train labels: found a common label in every two of the {len(labels)} rows, expected rows without one: "
    with pytest.raises(InputError, match=f"^{re.escape(line)}no similarity can be learned$"):
        check_similarities(distinct_rows(labels.astype(np.uint8)))


@pytest.mark.parametrize("labels", [np.eye(5), np.zeros((3, 2)), np.vstack([np.eye(3), np.zeros((2, 3))])])
def test_no_two_rows_similar(labels):
    line = (
        f"train labels: found no two of the {len(labels)} rows with a common label, expected at least one such pair: "
    )
    with pytest.raises(InputError, match=f"^{re.escape(line)}no similarity can be learned$"):
        check_similarities(distinct_rows(labels.astype(np.uint8)))


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 0], [1, 0], [0, 1]],  # one similar pair of three
        [[1, 0], [0, 1], [1, 1]],  # one dissimilar pair of three
        [[1], [1], [0]],  # a row without a label is dissimilar to all, also to another one
        [[1, 1], [1, 1], [0, 0], [0, 0]],
    ],
)
def test_something_to_learn(labels):
    check_similarities(distinct_rows(np.array(labels, np.uint8)))


@pytest.mark.parametrize(
    "labels", [np.array([0, 1, 2]), np.array([[3], [4]]), np.ma.array([[0, 1]], mask=[[1, 0]]), np.eye(2)]
)
def test_class_ids_are_no_label_vectors(labels):
    with pytest.raises(InputError, match=r"labels: found .*expected"):
        distinct_rows(labels)
