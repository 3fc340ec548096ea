"""DSAH without its constraints is ADSH; each constraint against loops; what LabNet learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf.data.label_vectors import distinct_rows
from tests.losses.naive import finite_differences, naive_likelihood, naive_similarity
from tests.methods.asymmetric.small import fit, small_dataset
from tests.methods.asymmetric.test_database_codes import case

pytestmark = pytest.mark.usefixtures("tf")


def test_without_constraints_it_is_adsh():
    adsh, dsah = fit("adsh"), fit("dsah", mu1=0.0, mu2=0.0)
    assert dsah.traces.keys() == adsh.traces.keys()
    for name, values in adsh.traces.items():
        np.testing.assert_array_equal(dsah.traces[name], values, err_msg=name)
    np.testing.assert_array_equal(dsah.database_codes, adsh.database_codes)
    query = small_dataset().query
    np.testing.assert_array_equal(dsah.outputs(query)["logits"], adsh.outputs(query)["logits"])
    assert dsah.results == adsh.results


def test_constraints(rng):
    """A batch of four, of which one row does not count."""
    from dseh_tf.methods import METHODS
    from dseh_tf.methods.dseh.label_targets import LabelTargets

    labels, rows, _, _ = case(rng, 30, 9, 5)
    distinct = distinct_rows(labels)
    method = METHODS["dsah"](5, sample=9, mu1=0.3, mu2=0.2, batch=4)
    targets = LabelTargets(tf.distribute.get_strategy(), distinct, 6, 5)
    features = np.abs(rng.standard_normal((len(distinct.vectors), 6)))
    codes = np.where(rng.random((len(distinct.vectors), 5)) < 0.5, 1.0, -1.0)
    targets.fill(features, codes)
    batch_rows, counted = rows[:4], np.array([1, 1, 1, 0], np.float32)
    values = {"logits": rng.standard_normal((4, 5)), "feature": np.abs(rng.standard_normal((4, 6)))}

    def naive(logits, feature):
        kept = batch_rows[:3]
        similar = naive_similarity(labels, labels[kept])
        pairs = naive_likelihood(features[distinct.index], feature[:3], similar, 0.5, 0.999) / (30 * 3)
        u, own = np.tanh(logits[:3]), codes[distinct.index[kept]]
        distance = sum((u[i, k] - own[i, k]) ** 2 for i in range(3) for k in range(5)) / 3
        return 7.0 + 0.3 * 25 * pairs + 0.2 * 5 * 9 / 30 * distance

    outputs = {name: tf.constant(value, tf.float32) for name, value in values.items()}
    batch = {"rows": batch_rows.astype(np.int32), "labels": labels[batch_rows].astype(np.float32), "counted": counted}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        terms = tf.function(lambda given: method.constraints(tf.constant(7.0), given, batch, targets))(outputs)
    assert float(terms["total"]) == pytest.approx(naive(*values.values()), rel=1e-5)
    assert set(terms) == {"total", "label_features", "label_codes"}
    gradients = tape.gradient(terms["total"], outputs)
    of_logits = finite_differences(lambda x: naive(x, values["feature"]), values["logits"])
    of_feature = finite_differences(lambda x: naive(values["logits"], x), values["feature"])
    np.testing.assert_allclose(gradients["logits"], of_logits, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradients["feature"], of_feature, rtol=1e-3, atol=1e-5)
    assert (gradients["feature"].numpy()[3] == 0).all()


def test_a_strong_code_constraint_gives_labnets_codes():
    """And with it 0, the database's codes come from the sample alone."""
    guided, free = fit("dsah", mu1=0.0, mu2=1e6), fit("dsah", mu1=1e-6, mu2=0.0)
    labels = small_dataset().database.labels.astype(np.float32)
    learned = np.where(guided.labnet.predict(labels, verbose=0)["code"] >= 0, 1, -1)
    np.testing.assert_array_equal(guided.database_codes, learned)
    assert (free.database_codes != learned).mean() > 0.05
    assert "feature" in free.network.output and "feature" not in guided.network.output


@pytest.mark.parametrize("label_codes", ["solved", "labnet"])
def test_labnet_learns_once(label_codes):
    fitted = fit("dsah", label_codes=label_codes, labnet_steps=60)
    total = fitted.traces["labnet/0/total"]
    assert len(total) >= 60 and total[-10:].mean() < total[:10].mean()
    assert ("labnet/0/target" in fitted.traces) == (label_codes == "solved")
    assert not [name for name in fitted.traces if name.startswith("labnet/1")]
    assert math.isfinite(fitted.traces["network/3/label_features"][-1])
