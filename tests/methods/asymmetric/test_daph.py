"""DAPH's codes and its loss as a whole against the numbers of the code that it follows, and its two networks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf.errors import InputError
from tests.methods.asymmetric.small import fit, small_dataset
from tests.oracles import oracle

pytestmark = pytest.mark.usefixtures("tf")


def filled_bank(given, tag: str):
    from dseh_tf.methods.asymmetric.daph import TwinBank

    bank = TwinBank(tf.distribute.get_strategy(), 24, 8, seed=0)
    arrays = {"query_codes": f"{tag}_B0", "database_codes": f"{tag}_H0", "query_outputs": "logits_u"}
    for name, stored in {**arrays, "database_outputs": "logits_z"}.items():
        value = np.tanh(given[stored]) if name.endswith("outputs") else given[stored]
        bank._values[name].assign(value.astype(np.float32))
    return bank


@pytest.mark.parametrize("tag", ["published", "other"])
def test_codes_are_those_of_the_oracle(tag):
    given = oracle("daph")
    bank, (alpha, gamma, *_) = filled_bank(given, tag), given[f"{tag}_settings"]
    for step in (1, 2):
        bank.update(alpha, gamma)
        np.testing.assert_array_equal(bank.array("query_codes"), given[f"{tag}_B{step}"])
        np.testing.assert_array_equal(bank.array("database_codes"), given[f"{tag}_H{step}"])
    moved = (bank.array("query_codes") != given[f"{tag}_B0"]).any()
    stuck = np.array_equal(bank.array("query_codes"), given[f"{tag}_H0"])
    assert moved and stuck == (tag == "published")


@pytest.mark.parametrize("tag", ["published", "other"])
@pytest.mark.parametrize("side", ["query", "database"])
def test_the_whole_loss_is_that_of_the_oracle(tag, side):
    from dseh_tf.methods import METHODS

    given, top = oracle("daph"), int(side == "query")
    alpha, _, decorrelation, balance = map(float, given[f"{tag}_settings"])
    method = METHODS["daph"](8, alpha=alpha, gamma=1.0, decorrelation=decorrelation, balance=balance)
    rows, bank = given["batch"], filled_bank(given, tag)
    logits = {
        name: tf.constant(given[key][rows], tf.float32)
        for name, key in (("query", "logits_u"), ("database", "logits_z"))
    }
    batch = {"rows": tf.constant(rows, tf.int32), "labels": tf.constant(given["Y"][rows], tf.float32)}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = method.side_loss(side, logits, batch, bank)["total"]
    assert float(total) == pytest.approx(float(given[f"{tag}_top{top}_loss"]), rel=1e-5)
    gradients = tape.gradient(total, logits)
    for name, key in (("query", "grad_u"), ("database", "grad_z")):
        np.testing.assert_allclose(gradients[name], given[f"{tag}_top{top}_{key}"], rtol=1e-3, atol=1e-5)


def test_gamma_has_to_be_smaller_than_alpha():
    from dseh_tf.methods import METHODS

    with pytest.raises(InputError, match=r"^gamma: found 10.0 with alpha=10.0, expected less than alpha"):
        METHODS["daph"](8, alpha=10.0, gamma=10.0)


def test_networks_train_in_turns_and_differ():
    """After one epoch of the query network alone, the database network is as it was built."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS["daph"](8, seed=3, batch=16, feature_layer=24, epochs=1)
    recipe = method.recipe(small_dataset(), Runtime(progress=False))

    def kernels():
        return [network.get_layer("hash").kernel.numpy() for network in recipe.networks]

    start = kernels()
    assert np.abs(start[0] - start[1]).max() > 1e-3
    stages = list(recipe.stages())
    assert [stage.key for stage in stages] == ["query_net/0", "database_net/0", "codes/0"]
    recipe.trainer.take(stages[0])
    first = kernels()
    assert (first[0] != start[0]).any() and (first[1] == start[1]).all()
    recipe.trainer.take(stages[1])
    second = kernels()
    assert (second[0] == first[0]).all() and (second[1] != first[1]).any()


def test_codes_leave_their_random_start_and_the_likelihood_falls():
    """With the source's weight of the balance, .01, the likelihood of the pairs stays near ln 2: .83 of it here."""
    start, fitted = fit("daph", epochs=1), fit("daph", epochs=16)
    assert (start.database_codes != fitted.database_codes).mean() > 0.2
    pairs = fitted.traces["query_net/15/pairs"].mean()
    assert pairs < 0.65 * fitted.traces["query_net/0/pairs"].mean()
