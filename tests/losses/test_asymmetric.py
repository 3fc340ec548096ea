"""Terms of asymmetric methods against naive loops in float64, finite differences and the releases' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data.label_vectors import distinct_rows
from dseh_tf.methods.asymmetric.sample import Sample
from tests.losses.naive import finite_differences, naive_similarity, value_and_gradient
from tests.oracles import oracle

pytestmark = pytest.mark.usefixtures("tf")  # logical devices come before the first tensor of a process


def naive_pairs(u, codes, soft) -> float:
    total = 0.0
    for i, row in enumerate(u):
        for j, code in enumerate(codes):
            product = sum(float(a) * float(b) for a, b in zip(row, code, strict=True))
            total += (product - len(row) * soft[i, j]) ** 2
    return total


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_database_pairs(rng, dtype):
    """Rows of a database with repeated, empty and unique label vectors; a batch of which one row does not count."""
    labels = (rng.random((30, 3)) < 0.4).astype(np.uint8)
    codes = np.where(rng.random((30, 5)) < 0.5, 1, -1).astype(np.int8)
    rows = np.array([4, 0, 17, 29, 8])
    sample = Sample(distinct_rows(labels), rows)
    similar = naive_similarity(labels[rows], labels)
    ratio = similar.sum() / (1 - similar).sum()
    soft = similar * (1 + ratio) - ratio
    weights = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    u = np.tanh(rng.standard_normal((5, 5)))
    constants = [tf.constant(value.astype(dtype)) for value in sample.constants(codes)]

    def naive(u):
        return naive_pairs(u[weights > 0], codes, soft[weights > 0])

    value, gradient = value_and_gradient(
        lambda x: losses.database_pairs(x, *constants, tf.constant(weights.astype(dtype))), u.astype(dtype)
    )
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert value == pytest.approx(naive(u), rel=tolerance)
    np.testing.assert_allclose(gradient, finite_differences(naive, u), rtol=10 * max(tolerance, 1e-8), atol=1e-3)
    assert (gradient[2] == 0).all() and np.abs(gradient[0]).min() > 1e-2
    every = losses.database_pairs(tf.constant(u.astype(dtype)), *constants)
    assert float(every) == pytest.approx(naive_pairs(u, codes, soft), rel=tolerance)


@pytest.mark.parametrize("start", ["zero", "pm1"])
def test_adsh_is_the_releases(start):
    """Loss and gradient of a batch, through tanh (jiangqy/ADSH-AAAI2018, PyTorch)."""
    given = oracle("adsh")
    labels, codes, batch = given["L"].astype(np.uint8), given[f"V0_{start}"].astype(np.int8), given["batch_rows"]
    sample = Sample(distinct_rows(labels), given["sel"])
    assert sample.ratio == pytest.approx(float(given["r"]), rel=1e-12)
    gram, targets, squares = sample.constants(codes)
    own = tf.constant(codes[given["sel"]][batch].astype(float))

    def loss(z):
        u = tf.tanh(z)
        pairs = losses.database_pairs(u, *map(tf.constant, (gram, targets[batch], squares[batch])))
        return (pairs + float(given["gamma"]) * losses.code_regression(u, own)) / (len(labels) * len(batch))

    value, gradient = value_and_gradient(loss, given["Z"][batch])
    assert value == pytest.approx(float(given[f"batch_loss_{start}"]), rel=1e-6)
    np.testing.assert_allclose(gradient, given[f"batch_grad_z_{start}"], rtol=1e-6, atol=1e-9)


def test_correlation_and_balance(rng):
    u = np.tanh(rng.standard_normal((6, 4)))

    def correlation(u):
        total = 0.0
        for k in range(4):
            for other in range(4):
                mean = sum(row[k] * row[other] for row in u) / len(u)
                total += (mean - (1.0 if k == other else 0.0)) ** 2
        return total

    def balance(u):
        return sum(sum(row[k] for row in u) ** 2 for k in range(4))

    for ours, naive in ((losses.bit_correlation, correlation), (losses.bit_balance, balance)):
        value, gradient = value_and_gradient(ours, u)
        assert value == pytest.approx(naive(u), rel=1e-12)
        np.testing.assert_allclose(gradient, finite_differences(naive, u), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("settings", ["published", "other"])
@pytest.mark.parametrize("top", [0, 1])
def test_daph_is_the_releases(settings, top):
    """The step of either network, with its gradients for both (swuxyj/DeepHash-pytorch: DAPH.py)."""
    given = oracle("daph")
    alpha, _, correlation, balance = given[f"{settings}_settings"]
    rows, codes = given["batch"], given[f"{settings}_{'B' if top else 'H'}0"]
    labels, own = tf.constant(given["Y"][rows].astype(float)), tf.constant(codes[rows])
    size, bits = len(rows), codes.shape[1]

    def loss(logits_u, logits_z):
        u, z = tf.tanh(logits_u), tf.tanh(logits_z)
        stepped = u if top else z
        theta = losses.inner_products(u, z, 0.5)
        return (
            losses.pair_likelihood(theta, losses.similarity(labels, labels)) / size**2
            + alpha * losses.code_regression(stepped, own) / (size * bits)
            + correlation * losses.bit_correlation(stepped) / bits**2
            + balance * losses.bit_balance(stepped) / bits
        )

    given_u, given_z = (tf.constant(given[name][rows]) for name in ("logits_u", "logits_z"))
    value, of_u = value_and_gradient(lambda x: loss(x, given_z), given_u.numpy())
    _, of_z = value_and_gradient(lambda x: loss(given_u, x), given_z.numpy())
    assert value == pytest.approx(float(given[f"{settings}_top{top}_loss"]), rel=1e-6)
    np.testing.assert_allclose(of_u, given[f"{settings}_top{top}_grad_u"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(of_z, given[f"{settings}_top{top}_grad_z"], rtol=1e-6, atol=1e-9)
