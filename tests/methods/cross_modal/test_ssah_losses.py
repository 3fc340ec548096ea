"""SSAH's losses against naive loops in float64 and the release's own numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.cross_modal.ssah_losses import discriminator_loss, network_loss, pair_loss
from dseh_tf.methods.cross_modal.ssah_settings import PRESETS
from tests.losses.naive import log_one_plus_exp, naive_similarity
from tests.oracles import oracle

pytestmark = pytest.mark.usefixtures("tf")

ROWS, BATCH, DIM, BITS, CLASSES = 11, 4, 6, 5, 3


def naive_pairs(bank: np.ndarray, outputs: np.ndarray, similar: np.ndarray, squared: bool, scale: float) -> float:
    total = 0.0
    for i in range(len(bank)):
        for j in range(len(outputs)):
            theta = sum(a * b for a, b in zip(bank[i], outputs[j], strict=True)) / 2
            value = log_one_plus_exp(theta) - scale * similar[i, j] * theta
            total += value**2 / 2 if squared else value
    return total


@pytest.mark.parametrize("preset", PRESETS)
def test_the_loss_of_a_network(preset):
    rng = np.random.default_rng(7)
    s = replace(PRESETS[preset], feature_weight=0.7, code_weight=1.3, quantization_weight=0.4, label_weight=2.0)
    banks = {"feature": np.abs(rng.normal(size=(ROWS, DIM))), "code": rng.normal(size=(ROWS, BITS))}
    outputs = {
        "feature": np.abs(rng.normal(size=(BATCH, DIM))),
        "code": np.tanh(rng.normal(size=(BATCH, BITS))),
        "label": rng.random((BATCH, CLASSES)),
    }
    bank_labels, labels = (rng.random((n, CLASSES)).round() for n in (ROWS, BATCH))
    similar = naive_similarity(bank_labels, labels)
    assert 0 < similar.mean() < 1
    source = rng.normal(size=(BATCH, 1))
    squared, scale = (preset == "release"), (0.999 if preset == "release" else 1.0)
    assert (s.adversary_weight > 0) == (preset == "paper")
    expected = {name: naive_pairs(banks[name], outputs[name], similar, squared, scale) for name in ("feature", "code")}
    expected["quantization"] = sum((1 - abs(x)) ** 2 for x in outputs["code"].flat) / 2
    expected["label"] = sum((x - y) ** 2 for x, y in zip(outputs["label"].flat, labels.flat, strict=True)) / 2
    if preset == "paper":
        expected["adversary"] = sum(log_one_plus_exp(-x) for x in source.flat)
    weights = {"feature": 0.7, "code": 1.3, "quantization": 0.4, "label": 2.0, "adversary": 1.0}
    expected["total"] = sum(weights[name] * value for name, value in expected.items())
    given = {name: tf.constant(value) for name, value in outputs.items()}

    def pairs(name: str, values: tf.Tensor) -> tf.Tensor:
        return pair_loss(s, tf.constant(banks[name]), values, tf.constant(similar))

    judged = None if preset == "release" else tf.constant(source)
    found = network_loss(s, pairs, given, tf.constant(labels), judged)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-10), name


def test_a_term_without_weight_is_not_computed():
    s = replace(PRESETS["release"], feature_weight=0.0, label_weight=0.0)

    def pairs(name: str, values: tf.Tensor) -> tf.Tensor:
        assert name == "code"
        return tf.constant(3.0)

    outputs = {name: tf.ones((2, 2)) for name in ("feature", "code", "label")}
    assert set(network_loss(s, pairs, outputs, tf.ones((2, 2)))) == {"total", "code", "quantization"}


def pairs_of(banks: dict[str, np.ndarray], similar: np.ndarray, name: str, values: tf.Tensor) -> tf.Tensor:
    return pair_loss(PRESETS["release"], tf.constant(banks[name]), values, tf.constant(similar))


@pytest.mark.parametrize("which", "LIT")
def test_the_releases_losses(which):
    """And their gradients. Its adversary's part is a constant of the step, of all rows for images and the batch for texts."""
    found = oracle("ssah")
    labels = found["L"][found["batch"]]
    similar = losses.similarity(tf.constant(found["L"]), tf.constant(labels)).numpy()
    np.testing.assert_allclose(0.999 * similar, found["S"], atol=1e-12)
    names = {"feature": "feat", "code": "hash", "label": "lab"}
    outputs = {name: tf.Variable(found[f"{stored}_{which}"]) for name, stored in names.items()}
    pairs = partial(pairs_of, {"feature": found["bank_feat_L"], "code": found["bank_H"]}, similar)
    with tf.GradientTape() as tape:
        total = network_loss(PRESETS["release"], pairs, outputs, tf.constant(labels))["total"]
    fed = {"L": None, "I": found["isfrom_I_of_bank"], "T": found["isfrom_T_of_batch"]}[which]
    adversary = 0.0 if fed is None else float(losses.source_cross_entropy(tf.constant(fed), 1.0)) / len(fed)
    assert float(total) + adversary == pytest.approx(float(found[f"loss_{which}"]), abs=1e-6)
    for (name, stored), slope in zip(names.items(), tape.gradient(total, list(outputs.values())), strict=True):
        np.testing.assert_allclose(slope, found[f"grad_{which}_{stored}"], atol=1e-6, err_msg=name)


def test_the_releases_discriminators():
    """The release has other weights for features of labels; each set is loaded into a network of ours in turn."""
    from dseh_tf.models.semantic import build_discriminator

    found = oracle("ssah")
    model = build_discriminator("image", 16, (512, 256))
    logits = {}
    inputs = {"image": (100, "I"), "image_labels": (106, "L"), "text": (112, "T"), "text_labels": (118, "L")}
    for name, (first, which) in inputs.items():
        for seed, variable in enumerate(model.trainable_variables, first):
            variable.assign(0.01 * np.random.RandomState(seed).standard_normal(variable.shape))
        logits[name] = model(found[f"feat_{which}"])
    stored = ("isfrom_I_of_batch", "isfrom_L_of_batch_IL", "isfrom_T_of_batch", "isfrom_L_of_batch_TL")
    for values, name in zip(logits.values(), stored, strict=True):
        assert abs(found[name]).min() > 1e-4
        np.testing.assert_allclose(values[:, 0], found[name], atol=1e-6)
    exact = {name: tf.constant(found[each])[:, None] for name, each in zip(logits, stored, strict=True)}
    assert float(discriminator_loss(exact)["total"]) == pytest.approx(float(found["loss_D"]), abs=1e-9)


def test_the_loss_of_discriminators_is_a_mean():
    rng = np.random.default_rng(3)
    logits = {name: rng.normal(size=(5, 1)) for name in ("image", "image_labels", "text", "text_labels")}
    found = discriminator_loss({name: tf.constant(values) for name, values in logits.items()})
    shares = {
        kind: sum(
            log_one_plus_exp(x) + log_one_plus_exp(-y)
            for x, y in zip(logits[kind].flat, logits[f"{kind}_labels"].flat, strict=True)
        )
        / 20
        for kind in ("image", "text")
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {**shares, "total": shares["image"] + shares["text"]}
    )
