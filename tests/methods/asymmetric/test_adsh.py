"""ADSH's loss as a whole, what its V-step reads, and its objective over the rounds."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf.data.label_vectors import distinct_rows
from dseh_tf.methods.asymmetric.database_codes import solve_codes
from dseh_tf.methods.asymmetric.sample import Sample
from tests.losses.naive import finite_differences
from tests.losses.test_asymmetric import naive_pairs
from tests.methods.asymmetric.small import fit, small_dataset
from tests.methods.asymmetric.test_database_codes import case, soft_similarity

pytestmark = pytest.mark.usefixtures("tf")


def test_the_whole_loss(rng):
    """A short last batch: the rows that fill it up change neither the loss nor the outputs that the V-step reads."""
    from dseh_tf.methods import METHODS

    labels, rows, _, codes = case(rng, 30, 9, 5)
    method = METHODS["adsh"](5, sample=9, gamma=7.0)
    bank = method.bank(labels.astype(np.float32), tf.distribute.get_strategy())
    bank.codes.assign(codes)
    bank.fill(Sample(distinct_rows(labels), rows))
    places, counted = np.array([6, 2, 8, 0], np.int32), np.array([1, 1, 1, 0], np.float32)
    soft, logits = soft_similarity(labels, rows), rng.standard_normal((4, 5))

    def naive(z):
        u, own = np.tanh(z[:3]), places[:3]
        distance = sum((codes[rows[own[i]], k] - u[i, k]) ** 2 for i in range(3) for k in range(5))
        return (naive_pairs(u, codes, soft[own]) + 7.0 * distance) / (30 * 3)

    z = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = method.loss({"logits": z}, {"places": tf.constant(places), "counted": tf.constant(counted)}, bank)[
            "total"
        ]
    assert float(total) == pytest.approx(naive(logits), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(total, z), finite_differences(naive, logits), rtol=1e-3, atol=1e-4)
    expected = np.zeros((9, 5))
    expected[places[:3]] = np.tanh(logits[:3])
    np.testing.assert_allclose(bank.outputs(), expected, rtol=1e-5, atol=1e-7)


def test_codes_solve_the_step_of_the_outputs_that_batches_gave():
    """A rate of almost 0: the outputs of the last epoch are those of the fitted network. The database has its own order."""
    dataset = small_dataset(twins=False)
    fitted = fit("adsh", dataset=dataset, rounds=1, learning_rate=1e-12, dropout=0.0)
    method_rows = _sampled(dataset, 0)
    outputs = np.tanh(fitted.forward(dataset.train.features[method_rows])["logits"])
    sample = Sample(distinct_rows(dataset.train.labels), method_rows)
    expected = solve_codes(np.zeros((96, 8), np.int8), sample, outputs, 200.0)
    of_id = dict(zip(dataset.train.ids, expected, strict=True))
    assert fitted.database_codes.dtype == np.int8 and set(np.unique(fitted.database_codes)) == {-1, 1}
    np.testing.assert_array_equal(fitted.database_codes, [of_id[name] for name in dataset.database.ids])
    assert (dataset.train.ids != dataset.database.ids).any()


def _sampled(dataset, round_: int) -> np.ndarray:
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS["adsh"](8, seed=3, sample=50, batch=16, feature_layer=24)
    return method.recipe(dataset, Runtime(progress=False)).sampled_rows(round_)


def test_samples_differ_by_round_and_have_no_row_twice():
    dataset = small_dataset()
    samples = [_sampled(dataset, round_) for round_ in (0, 1)]
    assert all(len(set(rows)) == 50 for rows in samples) and set(samples[0]) != set(samples[1])


def test_the_objective_falls_over_the_rounds():
    fitted = fit("adsh", rounds=12, gamma=5.0)
    values = fitted.results["objective"]
    assert len(values) == 12 and np.mean(values[-3:]) < 0.6 * np.mean(values[:3])
