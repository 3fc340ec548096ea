"""LabNet's shapes, activations and initial weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dseh_tf.methods.dseh.presets import PAPER, RELEASE
from tests.models.test_layers import _lrn

SMALL = replace(RELEASE["nus_wide"], labnet_width=40, feature_dim=12)


def _labnet(settings=SMALL, classes=6, bits=16, seed=0):
    from dseh_tf.models.labnet import build_labnet

    return build_labnet(classes, bits, settings, seed)


@pytest.mark.parametrize(("preset", "width"), [(RELEASE, 2048), (PAPER, 4096)])
def test_widths(tf, preset, width):
    model = _labnet(preset["nus_wide"], classes=21, bits=32)
    shapes = {w.path: tuple(w.shape) for w in model.trainable_variables if w.name == "kernel"}
    assert shapes == {
        "fc1/kernel": (21, width), "feature/kernel": (width, 512), "code/kernel": (512, 32), "label/kernel": (32, 21)
    }  # fmt: skip
    assert model.get_layer("label").activation.__name__ == ("sigmoid" if preset is RELEASE else "linear")


@pytest.mark.parametrize("feature_activation", ["relu", "linear", "tanh"])
@pytest.mark.parametrize("label_head", ["sigmoid", "linear"])
def test_forward_pass_in_numpy(tf, rng, feature_activation, label_head):
    settings = replace(SMALL, feature_activation=feature_activation, label_head=label_head, labnet_weight_size=0.3)
    model = _labnet(settings)
    for variable in model.trainable_variables:
        if variable.name == "bias":
            variable.assign(rng.normal(size=variable.shape))
    labels = rng.integers(0, 2, (5, 6)).astype(np.float32)
    out = model(labels)
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    activations = {
        "relu": lambda x: np.maximum(x, 0), "linear": lambda x: x, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x))
    }  # fmt: skip
    hidden = _lrn(np.maximum(labels @ w["fc1/kernel"] + w["fc1/bias"], 0), 2, 2.0, 1e-4, 0.75)
    feature = activations[feature_activation](hidden @ w["feature/kernel"] + w["feature/bias"])
    code = np.tanh(feature @ w["code/kernel"] + w["code/bias"])
    label = activations[label_head](code @ w["label/kernel"] + w["label/bias"])
    for name, expected in (("feature", feature), ("code", code), ("label", label)):
        assert out[name].dtype == tf.float32
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_of_size_01(tf):
    model = _labnet(replace(SMALL, labnet_width=512, feature_dim=256))
    for variable in model.trainable_variables:
        size = 0.01 * (0.8796 if variable.name == "kernel" else 1)
        assert variable.numpy().std() == pytest.approx(size, rel=0.5 if variable.shape[0] < 50 else 0.15), variable.path


def test_initial_weights_come_from_the_seed(tf):
    one, again, other = (_labnet(seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    # no two variables share a draw
    heads = [w.ravel()[:6].tobytes() for w in one]
    assert len(set(heads)) == len(heads)
