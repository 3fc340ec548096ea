"""SSAH's networks: the text scales against naive loops, forward passes in numpy, and the release's own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.test_layers import _lrn
from tests.oracles import oracle


def naive_scale(row: np.ndarray, window: int, weight: float) -> np.ndarray:
    """Averages of a row's windows, weighted, ReLU, and read back value by value as TensorFlow 1 resizes."""
    words, places = len(row), len(row) // window
    averages = [max(0.0, weight * sum(row[i * window : (i + 1) * window]) / window) for i in range(places)]
    found = []
    for i in range(words):
        at = i * places / words
        low = int(at)
        high = min(low + 1, places - 1)
        found.append(averages[low] * (1 - (at - low)) + averages[high] * (at - low))
    return np.array(found)


@pytest.mark.parametrize("words", [60, 53, 12])
def test_text_scales(tf, rng, words):
    from dseh_tf.models.text_scales import MultiScaleTexts

    layer = MultiScaleTexts((5, 10, 15, 30, 50), seed=3)
    texts = rng.poisson(0.5, (4, words)).astype(np.float32)
    layer(texts)
    used = [window for window in (5, 10, 15, 30, 50) if window <= words]
    assert len(layer.trainable_variables) == len(used)
    assert len({float(v) for v in layer.trainable_variables}) == len(used)
    weights = rng.normal(size=len(used))
    weights[0] = -abs(weights[0])  # its scale is dead
    for variable, weight in zip(layer.trainable_variables, weights, strict=True):
        variable.assign(weight)
    found = layer(texts).numpy()
    assert found.shape == (4, words, 1 + len(used)) == layer.compute_output_shape((4, words))
    np.testing.assert_array_equal(found[:, :, 0], texts)
    for channel, (window, weight) in enumerate(zip(used, weights, strict=True), 1):
        expected = [naive_scale(row, window, weight) for row in texts.astype(float)]
        np.testing.assert_allclose(found[:, :, channel], expected, rtol=1e-5, atol=1e-6)
    assert not found[:, :, 1].any()


def test_stretched_is_the_resizing_of_tensorflow_1(tf, rng):
    from dseh_tf.models.text_scales import stretched

    for places, words in ((6, 60), (27, 139), (1, 50), (2, 60)):
        rows = rng.normal(size=(3, places)).astype(np.float32)
        expected = tf.compat.v1.image.resize_images(rows[:, None, :, None], [1, words])[:, 0, :, 0]
        np.testing.assert_allclose(rows @ stretched(places, words), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["labels", "images", "texts"])
def test_forward_pass_in_numpy(tf, rng, kind):
    from dseh_tf.models import semantic

    model = {
        "labels": lambda: semantic.build_label_network(7, 8, 24, 12, seed=2),
        "images": lambda: semantic.build_image_network(7, 8, 12, 2, features=7),
        "texts": lambda: semantic.build_text_network(7, 7, 8, 24, 12, (5,), seed=2),
    }[kind]()
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.5))
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    rows = rng.integers(0, 2, (5, 7)).astype(np.float64)

    def layer(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def lrn(x: np.ndarray) -> np.ndarray:
        return _lrn(x, 2, 2.0, 1e-4, 0.75)

    if kind == "labels":
        feature = read = relu(layer(lrn(relu(layer(rows, "label_hidden"))), "label_feature"))
    elif kind == "images":
        feature = read = relu(layer(rows, "image_feature"))
    else:
        scale = np.stack([naive_scale(row, 5, float(w["text_scales/scale_5"])) for row in rows])
        flat = np.stack([rows, scale], axis=2).reshape(5, 14)
        feature = relu(layer(lrn(relu(layer(flat, "text_hidden"))), "text_feature"))
        read = lrn(feature)
    expected = {
        "feature": feature,
        "logits": layer(read, f"{kind}_hash"),
        "label": 1 / (1 + np.exp(-layer(read, f"{kind}_classes"))),
    }
    out = model(rows.astype(np.float32))
    assert set(out) == set(expected)
    for name, values in expected.items():
        assert out[name].dtype == tf.float32 and values.std() > 0.01
        np.testing.assert_allclose(out[name], values, rtol=1e-4, atol=1e-5)


def test_initial_weights(tf):
    from dseh_tf.models import semantic

    model = semantic.build_label_network(30, 16, 512, 256)
    for variable in model.trainable_variables:
        tolerance = 0.5 if variable.shape[0] < 50 else 0.15
        assert variable.numpy().std() == pytest.approx(0.01, rel=tolerance), variable.path
    again, other = semantic.build_label_network(30, 16, 512, 256), semantic.build_label_network(30, 16, 512, 256, 1)
    for one, two, three in zip(*(m.trainable_variables for m in (model, again, other)), strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


def set_weights(model, seeds: range, names: list[str]) -> None:
    """Gives variables, in the release's order of creation, the oracle's weights."""
    variables = {variable.path: variable for variable in model.trainable_variables}
    assert set(variables) == set(names)
    for name, seed in zip(names, seeds, strict=True):
        variables[name].assign(0.01 * np.random.RandomState(seed).standard_normal(variables[name].shape))


def layers(*names: str) -> list[str]:
    return [f"{name}/{part}" for name in names for part in ("kernel", "bias")]


def test_the_releases_label_network(tf):
    from dseh_tf.models.semantic import build_label_network

    found = oracle("ssah")
    model = build_label_network(5, 8, 4096, 16)
    set_weights(model, range(124, 132), layers("label_hidden", "label_feature", "labels_hash", "labels_classes"))
    check_outputs(model(found["L"][found["batch"]]), found, "labnet")


def test_the_releases_text_network(tf):
    from dseh_tf.models.semantic import build_text_network

    found = oracle("ssah")
    model = build_text_network(60, 5, 8, 4096, 16, (5, 10, 15, 30, 50))
    scales = [f"text_scales/scale_{window}" for window in (50, 30, 15, 10, 5)]
    names = layers("text_hidden", "text_feature", "texts_hash", "texts_classes")
    set_weights(model, range(132, 145), [*scales, *names])
    check_outputs(model(found["text"]), found, "txtnet")


def check_outputs(outputs, found: dict[str, np.ndarray], name: str) -> None:
    for output, stored in (("feature", "feat"), ("label", "lab")):
        assert found[f"{name}_{stored}"].std() > 1e-4
        np.testing.assert_allclose(outputs[output], found[f"{name}_{stored}"], atol=1e-6)
    np.testing.assert_allclose(np.tanh(outputs["logits"]), found[f"{name}_hash"], atol=1e-6)
