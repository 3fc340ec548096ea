"""The whole loss of each deep rival, on outputs that are given: loops in float64, and their finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.losses.naive import (
    finite_differences,
    log_one_plus_exp,
    naive_centre_likelihood,
    naive_cubic_distance,
    naive_hinge,
    naive_laplacian,
    naive_margin_cosines,
    naive_polarization,
    naive_shared_cross_entropy,
    naive_sign_distance,
    naive_similarity,
    naive_tanh_distance,
    naive_targets,
    naive_weighted,
)

pytestmark = pytest.mark.usefixtures("tf")

TRAINING, BATCH, BITS, CLASSES = 11, 6, 5, 4
STEP = 600


class Case:
    """Outputs of a batch, the rows they belong to, and a bank of older outputs of all training rows."""

    def __init__(self) -> None:
        rng = np.random.default_rng(23)
        self.labels = (rng.random((TRAINING, CLASSES)) < 0.3).astype(np.float32)
        self.labels[np.arange(TRAINING), rng.integers(CLASSES, size=TRAINING)] = 1
        self.rows = rng.permutation(TRAINING)[:BATCH]
        self.outputs = rng.normal(0, 1.2, (BATCH, BITS))
        self.old = rng.normal(0, 1.2, (TRAINING, BITS))
        self.codes = np.where(rng.random((TRAINING, BITS)) < 0.5, -1.0, 1.0)
        # The rows of the batch are written before the pairs are counted, and no gradient flows through the bank.
        self.bank = self.old.copy()
        self.bank[self.rows] = self.outputs

    def similar(self) -> np.ndarray:
        return naive_similarity(self.labels[self.rows], self.labels[self.rows])


def likelihood(theta: float, similar: float) -> float:
    return log_one_plus_exp(theta) - similar * theta


def naive_bank_pairs(case: Case, u) -> float:
    """Mean over the pairs of a batch's row and any training row, theta half their inner product."""
    similar = naive_similarity(case.labels, case.labels[case.rows])
    total = 0.0
    for i in range(TRAINING):
        for j in range(BATCH):
            total += likelihood(0.5 * float(case.bank[i] @ u[j]), similar[i][j])
    return total / (TRAINING * BATCH)


def dpsh(case: Case, u) -> float:
    return naive_bank_pairs(case, u) + 7.0 * naive_sign_distance(u) / (TRAINING * BATCH)


def dhn(case: Case, u) -> float:
    return naive_bank_pairs(case, u) + 0.3 * naive_laplacian(u) / (BATCH * BITS)


def dhn_in_batch(case: Case, u) -> float:
    similar = case.similar()
    pairs = [likelihood(0.5 * float(u[i] @ u[j]), similar[i][j]) for i in range(BATCH) for j in range(BATCH)]
    return sum(pairs) / BATCH**2 + 0.3 * naive_laplacian(u) / (BATCH * BITS)


def hashnet(case: Case, u) -> float:
    """The first half of the batch against the second, on tanh sharpened at steps of 200: sqrt(1 + .005 x 600) = 2."""
    half, codes = BATCH // 2, np.tanh(2.0 * u)
    theta = [[10.0 / BITS * float(a @ b) for b in codes[half:]] for a in codes[:half]]
    loss, weights = naive_weighted(theta, case.similar()[:half, half:], 5.0)
    return loss / weights


def cnnh(case: Case, u) -> float:
    wanted = case.codes[case.rows]
    return sum((math.tanh(x) - w) ** 2 for a, b in zip(u, wanted, strict=True) for x, w in zip(a, b, strict=True)) / (
        BATCH * BITS
    )


def dnnh(case: Case, u) -> float:
    """On sigmoids, for the triplets that are drawn at this step."""
    from dseh_tf import losses
    from dseh_tf.training.batches import stream_seed

    seed = tf.constant([stream_seed(3, "dnnh", "triplets"), STEP], tf.int64)
    similar = tf.constant(case.similar(), tf.float32)
    positives, negatives, valid = (x.numpy() for x in losses.sample_triplets(similar, seed, 4))
    assert valid.sum() > 8
    codes = 1 / (1 + np.exp(-u))
    return naive_hinge(codes, positives, negatives, valid, 2.0) / valid.sum()


CENTRES = np.random.default_rng(31).choice([-1.0, 1.0], (CLASSES, BITS))
TIES = np.array([1.0, -1.0, -1.0, 1.0, 1.0])


def with_centres(case: Case) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels of the batch, one row without any; the targets; and how many rows have a label."""
    labels = case.labels[case.rows].astype(float)
    return labels, naive_targets(labels, CENTRES, TIES), int(labels.any(axis=1).sum())


def csq(case: Case, u) -> float:
    _, targets, labelled = with_centres(case)
    return naive_centre_likelihood(u, targets) / (labelled * BITS) + 0.3 * naive_tanh_distance(u) / (BATCH * BITS)


def dpn(case: Case, u) -> float:
    _, targets, labelled = with_centres(case)
    return naive_polarization(u, targets, 0.8) / (labelled * BITS) + 0.3 * float((u**2).sum()) / (BATCH * BITS)


def orthohash(case: Case, u) -> float:
    labels, _, labelled = with_centres(case)
    return naive_shared_cross_entropy(naive_margin_cosines(u, CENTRES, labels, 0.25, 6.0), labels) / labelled


def greedyhash(case: Case, u) -> float:
    """The classifier's outputs aside, which do not depend on z but by the straight-through sign."""
    labels, _, labelled = with_centres(case)
    return naive_shared_cross_entropy(case.scores, labels) / labelled + 0.7 * naive_cubic_distance(u) / (BATCH * BITS)


@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize(
    ("naive", "name", "settings"),
    [
        (csq, "csq", {"quantization_weight": 0.3}),
        (dpn, "dpn", {"margin": 0.8, "size_weight": 0.3}),
        (orthohash, "orthohash", {"margin": 0.25, "scale": 6.0}),
        (greedyhash, "greedyhash", {"alpha": 0.7}),
    ],
)
def test_the_whole_loss_of_classes(naive, name, settings, unlabelled):
    from dseh_tf.methods import METHODS

    case = Case()
    case.scores = np.random.default_rng(5).normal(0, 2, (BATCH, CLASSES))
    if unlabelled:
        case.labels[case.rows[2]] = 0
    method = METHODS[name](BITS, seed=3, **settings)
    method.prepare(case.labels)
    if name != "greedyhash":
        assert method.centres.shape == (CLASSES, BITS) and set(np.unique(method.ties)) <= {-1, 1}
        method.centres, method.ties = CENTRES.astype(np.float32), TIES.astype(np.float32)
    outputs = {"logits": tf.constant(case.outputs, tf.float32), "classes": tf.constant(case.scores, tf.float32)}
    batch = {"labels": tf.constant(case.labels[case.rows])}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = method.loss(outputs, batch, None)["total"]
    assert float(total) == pytest.approx(naive(case, case.outputs), rel=2e-5)
    gradients = tape.gradient(total, outputs)
    slope = finite_differences(lambda u: naive(case, u), case.outputs)
    np.testing.assert_allclose(gradients["logits"], slope, rtol=1e-3, atol=1e-5)
    assert np.abs(slope).max() > 1e-3
    if name == "greedyhash":
        labels, labelled = case.labels[case.rows], with_centres(case)[2]
        by_class = finite_differences(lambda x: naive_shared_cross_entropy(x, labels) / labelled, case.scores)
        np.testing.assert_allclose(gradients["classes"], by_class, rtol=1e-3, atol=1e-5)


def test_nothing_has_a_label():
    """Such a batch has a loss, and no gradient that is not finite."""
    from dseh_tf.methods import METHODS

    for name in ("csq", "dpn", "orthohash", "greedyhash"):
        method = METHODS[name](BITS)
        method.prepare(np.zeros((BATCH, CLASSES), np.float32))
        outputs = {"logits": tf.ones([BATCH, BITS]), "classes": tf.ones([BATCH, CLASSES])}
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            total = method.loss(outputs, {"labels": tf.zeros([BATCH, CLASSES])}, None)["total"]
        gradients = [g for g in tape.gradient(total, list(outputs.values())) if g is not None]
        assert np.isfinite(float(total)) and all(np.isfinite(g.numpy()).all() for g in gradients), name


@pytest.mark.parametrize(
    ("naive", "name", "settings"),
    [
        (dpsh, "dpsh", {"eta": 7.0}),
        (dhn, "dhn", {"quantization_weight": 0.3}),
        (dhn_in_batch, "dhn", {"quantization_weight": 0.3, "pair_set": "batch"}),
        (hashnet, "hashnet", {"class_num": 5.0, "batch": BATCH}),
        (cnnh, "cnnh", {}),
        (dnnh, "dnnh", {"margin": 2.0, "triplets": 4}),
    ],
)
def test_the_whole_loss(naive, name, settings):
    from dseh_tf.methods import METHODS

    case = Case()
    method = METHODS[name](BITS, seed=3, **settings)
    strategy = tf.distribute.get_strategy()
    bank = method.bank(case.labels, strategy)
    if bank:
        bank.fill(case.codes if name == "cnnh" else case.old)
    outputs = tf.constant(case.outputs, tf.float32)
    rows = case.rows.astype(np.int32)
    batch = {"rows": tf.constant(rows), "labels": tf.constant(case.labels[rows]), "step": tf.constant(STEP, tf.int64)}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = method.loss({"logits": outputs}, batch, bank)["total"]
    assert float(total) == pytest.approx(naive(case, case.outputs), rel=2e-5)
    slope = finite_differences(lambda u: naive(case, u), case.outputs)
    np.testing.assert_allclose(tape.gradient(total, outputs), slope, rtol=1e-3, atol=1e-5)
    assert np.abs(slope).max() > 1e-3
