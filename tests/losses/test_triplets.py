"""Triplets and their loss, against naive loops in float64 and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import finite_differences, gradient_of, naive_hinge, naive_similarity

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process

BATCH, BITS = 6, 5
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_triplets_are_what_they_should_be(rng):
    labels = (rng.random((40, 5)) < 0.3).astype(float)
    labels[0] = 1  # similar to all that have a label
    labels[1:, 0] = 1 * (labels[1:].sum(1) == 0) + labels[1:, 0]
    labels[39] = 0  # similar to none, not even itself
    similar = naive_similarity(labels, labels)
    seed = tf.constant([3, 4], tf.int64)
    positives, negatives, valid = (x.numpy() for x in losses.sample_triplets(tf.constant(similar), seed, 200))
    assert valid[:, 39].max() == 0
    drawn = {i: (set(), set()) for i in range(40)}
    for t in range(200):
        for i in range(40):
            if valid[t, i]:
                assert positives[t, i] != i and similar[i, positives[t, i]] == 1 and similar[i, negatives[t, i]] == 0
                drawn[i][0].add(positives[t, i])
                drawn[i][1].add(negatives[t, i])
    row = 7
    assert valid[0, row]
    # 200 draws meet nearly every candidate of a row.
    assert len(drawn[row][0]) > 0.8 * (similar[row].sum() - 1)
    assert len(drawn[row][1]) > 0.8 * (similar[row] == 0).sum()
    again = losses.sample_triplets(tf.constant(similar), seed, 200)
    other = losses.sample_triplets(tf.constant(similar), seed + 1, 200)
    np.testing.assert_array_equal(again[0], positives)
    assert not np.array_equal(other[0], positives)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_triplet_hinge(rng, dtype):
    codes = rng.random((BATCH, BITS))
    positives, negatives = rng.integers(0, BATCH, (2, 3, BATCH))
    valid = (rng.random((3, BATCH)) < 0.8).astype(float)
    triplets = (tf.constant(positives), tf.constant(negatives), tf.constant(valid.astype(dtype)))
    expected = naive_hinge(codes, positives, negatives, valid, 0.4)
    found = losses.triplet_hinge(tf.constant(codes.astype(dtype)), *triplets, 0.4)
    assert float(found) == pytest.approx(expected, rel=TOLERANCE[dtype])
    if dtype == "float64":
        slope = gradient_of(lambda x: losses.triplet_hinge(x, *triplets, 0.4), codes)
        differences = finite_differences(lambda x: naive_hinge(x, positives, negatives, valid, 0.4), codes)
        np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-7)
