"""DSEH's whole losses, equations 11 and 14, on what its networks give for a batch: loops in float64.

The release's; test_dseh_modern.py has those of the preset `modern`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from tests.losses.naive import finite_differences, log_one_plus_exp, naive_likelihood, naive_similarity
from tests.methods.steps import terms_of

pytestmark = pytest.mark.usefixtures("tf")

ROWS, BATCH, BITS, CLASSES = 24, 8, 6, 4
SMALL = {
    "labnet_batch": BATCH,
    "imgnet_batch": BATCH,
    "feature_dim": 12,
    "feature_layer": 16,
    "labnet_width": 16,
    "dropout": 0.0,
}


@pytest.fixture
def labels(rng) -> np.ndarray:
    labels = (rng.random((ROWS, CLASSES)) < 0.4).astype(np.uint8)
    labels[:, 0] |= labels.sum(1) == 0
    return labels


@pytest.fixture
def made(tf, rng, labels):
    """made(**settings): DSEH before its first step, and the features it would train on."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH

    x = rng.standard_normal((ROWS, 10)).astype(np.float32)
    dataset = RetrievalDataset.from_arrays((x, labels), (x[:2], labels[:2]))

    def make(**settings):
        method = DSEH(BITS, preset="release", **{**SMALL, **settings})
        return method.recipe(dataset, Runtime(progress=False)), x

    return make


def naive_imgnet(features, signs, similar, feature, logits, smoothing: float = 0.999) -> tuple[float, float]:
    """J1 as a mean over all rows x batch, theta half the inner product and S .999; J2 as a mean over rows and bits."""
    bits = 0.0
    for j in range(BATCH):
        for k in range(BITS):
            z, target = 10.0 * float(logits[j, k]), smoothing * (signs[j, k] + 1) / 2
            bits += log_one_plus_exp(z) - target * z
    return naive_likelihood(features, feature, similar, 0.5, 0.999) / (ROWS * BATCH), bits / (BATCH * BITS)


@pytest.mark.parametrize(("normalization", "factor"), [("mean", 1), ("rows", BATCH)])
@pytest.mark.parametrize("pair_set", ["bank", "batch"])
def test_imgnets_loss(tf, rng, labels, made, pair_set, normalization, factor):
    """Whatever pairs LabNet learns from: ImgNet's are always those of all rows with the batch."""
    weights = {"imgnet_feature_weight": 0.3, "imgnet_code_weight": 0.7}
    training, x = made(pair_set=pair_set, normalization=normalization, **weights)
    index = training.distinct.index
    vectors = index.max() + 1
    assert vectors < ROWS
    features = np.maximum(rng.standard_normal((vectors, 12)), 0).astype(np.float32)
    signs = np.where(rng.random((vectors, BITS)) < 0.5, -1.0, 1.0)
    training.targets.fill(features, signs)
    features, signs = features[index], signs[index]
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    terms = terms_of(
        training.imgnet_phase(0),
        {"inputs": tf.constant(x[rows]), "labels": tf.constant(labels[rows], tf.float32), "rows": tf.constant(rows)},
    )
    out = {name: value.numpy() for name, value in training.imgnet.network(x[rows]).items()}
    j1, j2 = naive_imgnet(features, signs[rows], naive_similarity(labels, labels[rows]), out["feature"], out["logits"])
    assert float(terms["feature"]) == pytest.approx(j1, rel=1e-5)
    assert float(terms["code"]) == pytest.approx(j2, rel=1e-5)
    assert float(terms["total"]) == pytest.approx(factor * (0.3 * j1 + 0.7 * j2), rel=1e-5)
    assert not math.isclose(j1, math.log(2), rel_tol=1e-3)


def naive_labnet(features, codes, similar, out, y, reduction) -> np.ndarray:
    """J1, J2 as means over pairs, with S .8 and .6; J3 over rows and bits (or their sum over bits); J4 over entries, half."""
    pairs = len(features) * BATCH
    j1 = naive_likelihood(features, out["feature"], similar, 0.5, 0.8) / pairs
    j2 = naive_likelihood(codes, out["code"], similar, 0.5, 0.6) / pairs
    j3 = sum(abs(1 - abs(float(h))) for h in out["code"].ravel()) / BATCH / (BITS if reduction == "mean" else 1)
    j4 = sum(0.5 * (float(a) - float(b)) ** 2 for a, b in zip(out["label"].ravel(), y.ravel(), strict=True))
    return np.array([j1, j2, j3, j4 / (BATCH * CLASSES)])


@pytest.mark.parametrize(("normalization", "factor"), [("mean", 1), ("rows", BATCH)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("pair_set", ["bank", "batch"])
def test_labnets_loss(tf, rng, labels, made, pair_set, reduction, normalization, factor):
    """The batch's rows of the bank are written before they are read; in pairs of the batch a row meets itself too."""
    weights = np.array([0.3, 0.7, 1.1, 1.7])
    names = ("labnet_feature_weight", "labnet_code_weight", "quantization_weight", "label_weight")
    similarity = {"labnet_feature_similarity": 0.8, "labnet_code_similarity": 0.6}
    training, _ = made(
        pair_set=pair_set, quantization_reduction=reduction, normalization=normalization, labnet_weight_size=0.4,
        **similarity, **dict(zip(names, weights.tolist(), strict=True)),
    )  # fmt: skip
    features, codes = (
        rng.standard_normal((ROWS, 12)).astype(np.float32),
        rng.uniform(-1, 1, (ROWS, BITS)).astype(np.float32),
    )
    if pair_set == "bank":
        training.memory.fill(features, codes)
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    y = labels[rows].astype(np.float32)
    terms = terms_of(training.labnet_phase(0), {"labels": tf.constant(y), "rows": tf.constant(rows)})
    out = {name: value.numpy() for name, value in training.labnet.network(y).items()}
    features[rows], codes[rows] = out["feature"], out["code"]
    others = np.arange(ROWS) if pair_set == "bank" else rows
    found = np.array([float(terms[name]) for name in ("feature", "code", "quantization", "label")])
    expected = naive_labnet(features[others], codes[others], naive_similarity(labels[others], y), out, y, reduction)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(terms["total"]) == pytest.approx(factor * float(weights @ expected), rel=1e-5)


WEIGHTS = {
    "labnet": {
        "feature": "labnet_feature_weight", "code": "labnet_code_weight", "quantization": "quantization_weight",
        "label": "label_weight",
    },
    "imgnet": {"feature": "imgnet_feature_weight", "code": "imgnet_code_weight"},
}  # fmt: skip


@pytest.mark.parametrize("pair_set", ["bank", "batch"])
@pytest.mark.parametrize(("phase", "term"), [(phase, term) for phase, terms in WEIGHTS.items() for term in terms])
def test_a_term_of_weight_0_is_absent(tf, rng, labels, made, phase, term, pair_set):
    """The other terms, and every gradient, are those of a weight that is nearly 0."""
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    bank, code_bank = rng.standard_normal((ROWS, 12)), rng.standard_normal((ROWS, BITS))
    found = []
    for weight in (0.0, 1e-12):
        training, x = made(pair_set=pair_set, labnet_weight_size=0.4, **{WEIGHTS[phase][term]: weight})
        if pair_set == "bank":
            training.memory.fill(bank, code_bank)
        learnt = training.reports.label_outputs()
        training.targets.fill(learnt.features, learnt.signs)
        batch = {
            "inputs": tf.constant(x[rows]),
            "labels": tf.constant(labels[rows], tf.float32),
            "rows": tf.constant(rows),
        }
        variables = [v.value for v in getattr(training, phase).network.trainable_variables]
        with tf.GradientTape() as tape:
            terms = terms_of(getattr(training, f"{phase}_phase")(0), batch)
        found.append((terms, tape.gradient(terms["total"], variables, unconnected_gradients="zero"), training.memory))
    (without, slopes, memory), (terms, same_slopes, written) = found
    assert set(without) == {"total", *WEIGHTS[phase]} - {term}
    for name in without:
        assert float(without[name]) == pytest.approx(float(terms[name]), rel=1e-6), name
    for slope, same in zip(slopes, same_slopes, strict=True):
        np.testing.assert_allclose(slope, same, rtol=1e-5, atol=1e-9)
    if phase == "labnet" and pair_set == "bank":
        for name, here, there in (
            ("feature", memory.features, written.features),
            ("code", memory.codes, written.codes),
        ):
            assert np.array_equal(here, there) == (term != name), name  # a bank that nothing reads is not written


def test_all_weights_0(tf, made):
    from dseh_tf.errors import InputError

    with pytest.raises(InputError, match=r"imgnet_feature_weight, imgnet_code_weight: found 0 for all of them"):
        made(imgnet_feature_weight=0.0, imgnet_code_weight=0.0)


@pytest.mark.parametrize("pair_set", ["bank", "batch"])
def test_what_labnets_pairs_give_gradients_to(tf, rng, labels, made, pair_set):
    """Rows of the bank are constants; in pairs of the batch both rows learn."""
    training, _ = made(pair_set=pair_set, labnet_weight_size=0.4, label_weight=0.0, quantization_weight=0.0)
    if pair_set == "bank":
        training.memory.fill(np.zeros((ROWS, 12), np.float32), np.zeros((ROWS, BITS), np.float32))
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    y = labels[rows].astype(np.float32)
    bias = training.labnet.network.get_layer("code").bias
    with tf.GradientTape() as tape:
        total = terms_of(training.labnet_phase(0), {"labels": tf.constant(y), "rows": tf.constant(rows)})["total"]
    found = tape.gradient(total, bias.value).numpy()
    out = {name: value.numpy().astype(np.float64) for name, value in training.labnet.network(y).items()}
    before = np.arctanh(out["code"])

    def loss(shift: np.ndarray) -> float:
        moved = np.tanh(before + shift)
        bank = np.zeros((ROWS, BITS))
        bank[rows] = out["code"]
        others, who = (bank, labels) if pair_set == "bank" else (moved, labels[rows])
        return naive_likelihood(others, moved, naive_similarity(who, y), 0.5, 0.8) / (len(who) * BATCH)

    expected = finite_differences(loss, np.zeros(BITS))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
