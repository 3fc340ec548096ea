"""Targets by distinct label vector: the likelihood of all training rows, by loops and by the form over all rows."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data.label_vectors import distinct_rows
from tests.losses.naive import finite_differences, naive_likelihood, naive_similarity, value_and_gradient

ROWS, BATCH, DIM, BITS, CLASSES = 40, 6, 9, 5, 4


@pytest.fixture
def labels(rng) -> np.ndarray:
    labels = (rng.random((ROWS, CLASSES)) < 0.4).astype(np.uint8)
    labels[0] = 0  # no label: similar to nothing
    return labels


@pytest.fixture(params=["table", "labels"])
def made(request, tf, labels, monkeypatch):
    """made(): targets whose S is a table, or computed from the labels."""
    from dseh_tf.methods.dseh import label_targets

    if request.param == "labels":
        monkeypatch.setattr(label_targets, "_TABLE_VECTORS", 3)
    rows = distinct_rows(labels)
    return lambda: label_targets.LabelTargets(tf.distribute.get_strategy(), rows, DIM, BITS)


def filled(rng, targets, index, dead=0):
    """Fills the targets with ReLU features, of which `dead` units are always 0; returns a row of both for each training row."""
    vectors = index.max() + 1
    features = np.maximum(rng.standard_normal((vectors, DIM)), 0).astype(np.float32)
    features[:, rng.permutation(DIM)[:dead]] = 0
    codes = np.where(rng.random((vectors, BITS)) < 0.5, -1.0, 1.0).astype(np.float32)
    targets.fill(features, codes)
    return features[index], codes[index]


def test_distinct_rows(labels):
    found = distinct_rows(labels)
    np.testing.assert_array_equal(found.vectors[found.index], labels)
    assert len(found.vectors) == len({tuple(row) for row in labels.tolist()}) < ROWS
    assert found.counts.tolist() == [sum((row == vector).all() for row in labels) for vector in found.vectors]


@pytest.mark.parametrize("dead", [0, 5, DIM])
@pytest.mark.parametrize(("scale", "similarity"), [(0.5, 0.999), (1.0, 1.0), (0.5, 5.0)])
def test_likelihood_of_all_training_rows(tf, rng, labels, made, dead, scale, similarity):
    from dseh_tf import losses

    targets, index = made(), distinct_rows(labels).index
    for round_ in range(2):  # the number of dead units may change from round to round
        features, _ = filled(rng, targets, index, dead if round_ else 2)
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    y = tf.constant(labels[rows], tf.float32)
    outputs = rng.standard_normal((BATCH, DIM)).astype(np.float32)
    found = value_and_gradient(lambda x: targets.likelihood(tf.constant(rows), y, x, scale, similarity), outputs)
    similar = naive_similarity(labels, labels[rows])

    def naive(x):
        return naive_likelihood(features, x, similar, scale, similarity)

    assert found[0] == pytest.approx(naive(outputs), rel=1e-5)
    slope = finite_differences(naive, outputs.astype(np.float64))
    np.testing.assert_allclose(found[1], slope, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(slope).max()))
    similar32 = tf.constant(similar, tf.float32)
    whole = value_and_gradient(
        lambda x: losses.pair_likelihood(losses.inner_products(features, x, scale), similarity * similar32), outputs
    )
    assert found[0] == pytest.approx(whole[0], rel=1e-5)
    np.testing.assert_allclose(found[1], whole[1], rtol=1e-5, atol=1e-5 * max(1.0, np.abs(slope).max()))


def test_one_trace_serves_every_round(tf, rng, labels, made):
    """A step is traced once; targets of another number of active units come in without a new trace."""
    targets, index = made(), distinct_rows(labels).index
    rows = tf.range(BATCH)
    y, outputs = tf.constant(labels[:BATCH], tf.float32), tf.ones((BATCH, DIM))
    traces = []

    @tf.function
    def step():
        traces.append(1)
        return targets.likelihood(rows, y, outputs, 0.5, 0.999)

    for dead in (0, 4, 1):
        features, _ = filled(rng, targets, index, dead)
        expected = naive_likelihood(
            features, np.ones((BATCH, DIM)), naive_similarity(labels, labels[:BATCH]), 0.5, 0.999
        )
        assert float(step()) == pytest.approx(expected, rel=1e-5)
    assert len(traces) == 1


def test_codes_of_training_rows(tf, rng, labels, made):
    targets = made()
    _, codes = filled(rng, targets, distinct_rows(labels).index)
    rows = rng.permutation(ROWS)[:BATCH]
    np.testing.assert_array_equal(targets.codes_of(tf.constant(rows, tf.int32)), codes[rows])


def test_codes_alone(tf, rng, labels, made):
    """Filled as int8, read as float32; the features stay."""
    targets, index = made(), distinct_rows(labels).index
    _, codes = filled(rng, targets, index)
    rows = tf.range(BATCH)
    outputs, y = tf.ones((BATCH, DIM)), tf.constant(labels[:BATCH], tf.float32)
    before = float(targets.likelihood(rows, y, outputs, 0.5, 0.999))
    other = -np.sign(codes[np.unique(index, return_index=True)[1]]).astype(np.int8)
    targets.fill_codes(other)
    assert targets.codes_array().dtype == np.float32
    np.testing.assert_array_equal(targets.codes_array(), other)
    np.testing.assert_array_equal(targets.codes_of(rows), -codes[:BATCH])
    assert float(targets.likelihood(rows, y, outputs, 0.5, 0.999)) == before


def test_codes_of_a_checkpoint_are_spread(tf, rng, labels):
    """A checkpoint holds the first replica's copy; the others are made from it."""
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.methods.dseh.label_targets import LabelTargets

    strategy, distinct = make_strategy("mirrored", 2), distinct_rows(labels)
    targets = LabelTargets(strategy, distinct, DIM, BITS)
    (held,) = targets.checkpointed().values()
    codes = np.where(rng.random((len(distinct.vectors), BITS)) < 0.5, -1, 1)
    held.assign(codes.astype(np.float32))  # as a restore does

    @tf.function
    def read():
        return strategy.run(lambda: targets.codes_of(tf.range(ROWS)))

    first, second = strategy.experimental_local_results(read())
    np.testing.assert_array_equal(first, codes[distinct.index])
    assert not np.asarray(second).any()
    targets.spread()
    for copy in strategy.experimental_local_results(read()):
        np.testing.assert_array_equal(copy, codes[distinct.index])
