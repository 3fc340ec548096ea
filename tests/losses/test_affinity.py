"""DJSRH's affinity and losses against naive loops in float64, finite differences and the release's own numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dseh_tf import losses
from tests.losses.naive import finite_differences, gradient_of
from tests.oracles import oracle

pytestmark = pytest.mark.usefixtures("tf")

ROWS = (
    "djsrh1_SI",
    "djsrh2_ST",
    "djsrh3_mix",
    "djsrh4_eta",
    "djsrh5_mu",
    "djsrh_full",
    "djsrh6_alpha1",
    "wiki",
    "mirflickr",
)


def naive_cosine(a: np.ndarray, b: np.ndarray) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    sizes = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return dot / sizes if sizes else 0.0


def naive_affinity(images: np.ndarray, texts: np.ndarray, beta: float, eta: float, mu: float) -> np.ndarray:
    n = len(images)
    mixed = [
        [
            beta * (2 * naive_cosine(images[i], images[j]) - 1)
            + (1 - beta) * (2 * naive_cosine(texts[i], texts[j]) - 1)
            for j in range(n)
        ]
        for i in range(n)
    ]
    return np.array(
        [
            [
                mu * ((1 - eta) * mixed[i][j] + eta * sum(mixed[i][k] * mixed[j][k] for k in range(n)) / n)
                for j in range(n)
            ]
            for i in range(n)
        ]
    )


def naive_error(one: np.ndarray, two: np.ndarray, affinity: np.ndarray) -> float:
    n = len(one)
    return sum((naive_cosine(one[i], two[j]) - affinity[i, j]) ** 2 for i in range(n) for j in range(n)) / n**2


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def features(rng) -> tuple[np.ndarray, np.ndarray]:
    """Of images, and of texts of which two have no word."""
    texts = rng.poisson(0.6, (6, 9)).astype(float)
    texts[[1, 4]] = 0
    return np.abs(rng.normal(size=(6, 5))), texts


@pytest.mark.parametrize(("beta", "eta", "mu"), [(1.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.6, 0.4, 1.5), (0.3, 1.0, 0.7)])
def test_joint_affinity(features, beta, eta, mu):
    found = losses.joint_affinity(*map(tf.constant, features), beta, eta, mu).numpy()
    np.testing.assert_allclose(found, naive_affinity(*features, beta, eta, mu), atol=1e-12)


def test_an_item_without_words_is_unlike_all_and_itself(features):
    found = losses.cosine_affinity(tf.constant(features[1])).numpy()
    assert (found[1] == -1).all() and (found[:, 4] == -1).all()
    assert np.isfinite(found).all() and found[0, 0] == pytest.approx(1)


def test_reconstruction(rng, features):
    images, texts = rng.normal(size=(2, 6, 4))
    affinity = naive_affinity(*features, 0.6, 0.4, 1.5)
    found = losses.reconstruction_losses(*map(tf.constant, (images, texts, affinity)))
    expected = (
        naive_error(images, images, affinity),
        naive_error(images, texts, affinity),
        naive_error(texts, texts, affinity),
    )
    np.testing.assert_allclose([float(value) for value in found], expected, rtol=1e-12)

    def total(x: tf.Tensor) -> tf.Tensor:
        parts = losses.reconstruction_losses(x, tf.constant(texts), tf.constant(affinity))
        return 0.3 * parts.image_image + parts.image_text

    slope = gradient_of(total, images)
    differences = finite_differences(
        lambda x: 0.3 * naive_error(x, x, affinity) + naive_error(x, texts, affinity), images
    )
    np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-8)


def test_a_row_of_zeros_has_no_gradient():
    slope = gradient_of(lambda x: tf.reduce_sum(losses.affinity.unit_rows(x) ** 2), np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_the_releases_numbers(name):
    found = oracle("djsrh")
    beta, eta, mu, lambda1, lambda2, alpha = found[f"{name}_settings"]
    images, texts = tf.constant(found["F_I"]), tf.constant(found["F_T"])
    np.testing.assert_allclose(losses.cosine_affinity(images), found[f"{name}_S_I"], atol=1e-6)
    np.testing.assert_allclose(losses.cosine_affinity(texts), found[f"{name}_S_T"], atol=1e-6)
    affinity = losses.joint_affinity(images, texts, beta, eta, mu)
    np.testing.assert_allclose(affinity, found[f"{name}_S"], atol=1e-6)
    hidden = [tf.Variable(found["hid_I"]), tf.Variable(found["hid_T"])]
    with tf.GradientTape() as tape:
        parts = losses.reconstruction_losses(*(tf.tanh(alpha * x) for x in hidden), affinity)
        total = lambda1 * parts.image_image + parts.image_text + lambda2 * parts.text_text
    np.testing.assert_allclose([*map(float, parts), float(total)], found[f"{name}_losses"], atol=1e-6)
    for which, slope in zip("IT", tape.gradient(total, hidden), strict=True):
        np.testing.assert_allclose(slope, found[f"{name}_grad_hid_{which}"], atol=1e-6)
