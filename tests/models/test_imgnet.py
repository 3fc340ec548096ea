"""ImgNet's layers above its trunk, and which of its variables count as pretrained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dseh_tf.methods.dseh.presets import PAPER, RELEASE
from dseh_tf.models.backbones import build_backbone

SMALL = replace(RELEASE["nus_wide"], feature_dim=12)


def _imgnet(settings=SMALL, bits=16, seed=0, **inputs):
    from dseh_tf.models.imgnet import build_imgnet

    return build_imgnet(bits, settings, seed, **(inputs or {"features": 20}))


@pytest.mark.parametrize("preset", [RELEASE, PAPER])
def test_widths(tf, preset):
    model = _imgnet(preset["nus_wide"], bits=48, features=4096)
    assert model.get_layer("fc8").kernel.shape == (4096, 512)
    assert model.get_layer("hash").kernel.shape == (512, 48)
    assert model.output["feature"].shape == (None, 512)
    assert model.output["logits"].shape == (None, 48)


@pytest.mark.parametrize("activation", ["relu", "linear", "tanh"])
@pytest.mark.parametrize("hash_input", ["pre_activation", "feature"])
def test_what_the_hash_layer_reads(tf, rng, activation, hash_input):
    model = _imgnet(replace(SMALL, feature_activation=activation, hash_input=hash_input))
    x = rng.normal(0, 10, (7, 20)).astype(np.float32)
    out = model(x, training=False)
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    fc8 = x @ w["fc8/kernel"] + w["fc8/bias"]
    feature = {"relu": np.maximum(fc8, 0), "linear": fc8, "tanh": np.tanh(fc8)}[activation]
    logits = (fc8 if hash_input == "pre_activation" else feature) @ w["hash/kernel"] + w["hash/bias"]
    np.testing.assert_allclose(out["feature"], feature, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(out["logits"], logits, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("learns_feature", [False, True])
def test_a_hash_layer_on_the_trunk(tf, rng, learns_feature):
    """fc8 is there only for J1; without it the trunk's output is the semantic feature."""
    settings = replace(
        SMALL, hash_input="trunk", imgnet_feature_weight=0.5 if learns_feature else 0.0, feature_layer=24
    )
    model = _imgnet(settings)
    x = rng.normal(0, 1, (7, 20)).astype(np.float32)
    out = model(x, training=False)
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    assert {path.split("/")[0] for path in w} == {"adapt", "hash"} | ({"fc8"} if learns_feature else set())
    trunk = np.maximum(x @ w["adapt/kernel"] + w["adapt/bias"], 0)
    feature = np.maximum(trunk @ w["fc8/kernel"] + w["fc8/bias"], 0) if learns_feature else trunk
    assert feature.shape == (7, 12 if learns_feature else 24)
    np.testing.assert_allclose(out["feature"], feature, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(out["logits"], trunk @ w["hash/kernel"] + w["hash/bias"], rtol=1e-4, atol=1e-6)
    assert out["feature"].dtype == out["logits"].dtype == tf.float32


@pytest.mark.parametrize("hash_input", ["pre_activation", "feature", "trunk"])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_whether_there_is_a_semantic_feature(tf, hash_input, weight):
    settings = replace(SMALL, hash_input=hash_input, imgnet_feature_weight=weight)
    layers = [layer.name for layer in _imgnet(settings).layers]
    assert settings.has_feature == ("fc8" in layers) == ((hash_input, weight) != ("trunk", 0.0))


def test_the_release_reads_fc8_before_its_activation():
    assert {s.hash_input for s in (*RELEASE.values(), *PAPER.values())} == {"pre_activation"}


def test_a_layer_of_its_own_above_whatever_is_frozen(tf):
    """Features, or a frozen trunk with images; none above a trunk that learns."""
    settings = replace(SMALL, feature_layer=24)
    assert _imgnet(settings).get_layer("adapt").kernel.shape == (20, 24)
    frozen, tuned = (build_backbone("mobilenet_v2", 32, train=t, weights="random") for t in (False, True))
    assert _imgnet(settings, backbone=frozen).get_layer("adapt").kernel.shape == (1280, 24)
    for trunk in (tuned, build_backbone("compact", 32)):
        assert "adapt" not in [layer.name for layer in _imgnet(settings, backbone=trunk).layers]


def test_initial_weights(tf):
    model = _imgnet(replace(SMALL, feature_dim=300), bits=64, features=200)
    assert model.get_layer("fc8").kernel.numpy().std() == pytest.approx(0.0088, rel=0.02)
    assert model.get_layer("hash").kernel.numpy().std() == pytest.approx(0.0088, rel=0.02)
    assert model.get_layer("fc8").bias.numpy().std() == pytest.approx(0.01, rel=0.2)
    one, again, other = (_imgnet(seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_dropout_stands_on_the_trunk_unless_the_trunk_has_its_own(tf):
    from dseh_tf.models.layers import GlobalDropout

    def rates(model):
        return [layer.rate for layer in model.layers if isinstance(layer, GlobalDropout)]

    settings = replace(SMALL, dropout=0.3)
    trunk = build_backbone("compact", 16)
    assert rates(_imgnet(settings)) == rates(_imgnet(settings, backbone=trunk)) == [0.3]
    assert rates(_imgnet(settings, backbone=replace(trunk, has_dropout=True))) == []


def test_pixels_in_any_dtype(tf, rng):
    model = _imgnet(backbone=build_backbone("compact", 16))
    pixels = rng.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    np.testing.assert_allclose(model(pixels)["logits"], model(pixels.astype(np.float32))["logits"], rtol=1e-6)


@pytest.mark.parametrize(("pretrained", "expected"), [(True, 18), (False, 0)])
def test_split_of_the_variables(tf, pretrained, expected):
    from dseh_tf.models.trunks import split_variables

    trunk = replace(build_backbone("compact", 16), pretrained=pretrained)
    model = _imgnet(backbone=trunk)
    low, full = split_variables(model, trunk)
    assert len(low) == expected  # six convolutions: a kernel, a scale and an offset each
    assert [v.path for v in full][-4:] == ["fc8/kernel", "fc8/bias", "hash/kernel", "hash/bias"]
    assert sorted(map(id, low + full)) == sorted(map(id, model.trainable_variables))
    assert split_variables(_imgnet(), None)[0] == []
