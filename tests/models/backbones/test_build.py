"""Trunks by name: `compact`, Keras files and `keras.applications`."""

from __future__ import annotations

import random
import urllib.error

import keras
import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.models.backbones import InferenceMode, build_backbone
from dseh_tf.models.backbones.applications import APPLICATIONS


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def mobilenet(tf):
    return build_backbone("mobilenet_v2", 32, weights="random", seed=1)


def test_compact(tf, images):
    trunk = build_backbone("compact", 32, seed=4)
    assert (trunk.dim, trunk.pretrained, trunk.trained, trunk.has_dropout) == (128, False, True, False)
    assert trunk.model(images).shape == (2, 128)
    assert trunk.fingerprint() == build_backbone("compact", 32, seed=4).fingerprint()
    assert trunk.fingerprint() != build_backbone("compact", 32, seed=5).fingerprint()


@pytest.mark.parametrize(("name", "dim"), [("mobilenet_v2", 1280), ("resnet50", 2048)])
def test_application_agrees_with_keras(tf, images, name, dim):
    module, constructor = APPLICATIONS[name]
    module = getattr(keras.applications, module)
    trunk = build_backbone(name, 32, weights="random", seed=1)
    assert (trunk.name, trunk.dim, trunk.pretrained, trunk.trained) == (name, dim, True, False)
    assert not trunk.model.trainable_variables
    twin = getattr(keras.applications, constructor)(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    twin.set_weights(trunk.model.get_layer("network").network.get_weights())
    expected = twin(module.preprocess_input(images.astype(np.float32)), training=False).numpy()
    found = trunk.model(images).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_every_name_exists_in_keras(tf, images, name):
    from dseh_tf.models.backbones.applications import Preprocessing

    module, constructor = APPLICATIONS[name]
    assert callable(getattr(keras.applications, constructor))
    expected = getattr(keras.applications, module).preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(Preprocessing(name)(images.astype(np.float32)), expected, rtol=1e-5, atol=1e-4)


def test_random_weights_come_from_the_seed_and_touch_no_other(mobilenet):
    random.seed(8)
    expected = random.random()
    random.seed(8)
    again, other = (build_backbone("mobilenet_v2", 32, weights="random", seed=s) for s in (1, 2))
    assert random.random() == expected
    assert mobilenet.fingerprint() == again.fingerprint() != other.fingerprint()


def test_weights_from_a_file(mobilenet, tmp_path, images):
    path = tmp_path / "mobilenet.weights.h5"
    mobilenet.model.get_layer("network").network.save_weights(path)
    loaded = build_backbone("mobilenet_v2", 32, weights=str(path), seed=2)
    np.testing.assert_array_equal(loaded.model(images), mobilenet.model(images))
    assert loaded.fingerprint() == mobilenet.fingerprint()
    with pytest.raises(InputError, match=r"mobilenet\.weights\.h5: found no weights of vgg16 without its classifier"):
        build_backbone("vgg16", 32, weights=str(path))


def test_weights_that_are_none(tf, tmp_path):
    with pytest.raises(
        InputError, match=r"backbone_weights: .*gone\.h5: found no such file, expected imagenet, random"
    ):
        build_backbone("mobilenet_v2", 32, weights=str(tmp_path / "gone.h5"))
    (tmp_path / "bad.weights.h5").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"bad\.weights\.h5: found no weights of mobilenet_v2") as error:
        build_backbone("mobilenet_v2", 32, weights=str(tmp_path / "bad.weights.h5"))
    assert "\n" not in str(error.value)


def test_a_failed_download_is_one_line(tf, tmp_path, monkeypatch):
    from keras.src.utils import file_utils

    def offline(*_args, **_options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", offline)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"found no ImageNet weights \(.*no network\), expected a download") as e:
        build_backbone("mobilenet_v2", 32)
    assert "\n" not in str(e.value)


def test_images_that_are_too_small(tf):
    with pytest.raises(InputError, match=r"image_size: found 16, too small for resnet50"):
        build_backbone("resnet50", 16, weights="random")


def test_unknown_name(tf):
    with pytest.raises(InputError, match=r"backbone: found 'alexnet', expected compact, cnn_f, .* resnet50"):
        build_backbone("alexnet", 32)
    with pytest.raises(InputError, match=r"backbone_weights: found 'x\.mat', but the backbone 'compact' takes none"):
        build_backbone("compact", 32, weights="x.mat")


def _saved(tmp_path, rng) -> tuple[keras.Model, str]:
    """A small network with statistics and dropout of its own."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(inputs, x, name="small")
    model.get_layer("norm").moving_mean.assign(rng.normal(size=4))
    model.get_layer("norm").moving_variance.assign(rng.uniform(1, 2, 4))
    model.save(tmp_path / "small.keras")
    return model, str(tmp_path / "small.keras")


@pytest.mark.parametrize("train", [False, True])
def test_keras_file(tf, tmp_path, rng, images, train):
    model, path = _saved(tmp_path, rng)
    trunk = build_backbone(path, 32, train=train, scaling=(127.0, 0.01))
    assert (trunk.name, trunk.dim, trunk.trained) == ("small", 4, train)
    assert len(trunk.model.trainable_variables) == (4 if train else 0)
    expected = model((images.astype(np.float32) - 127) * 0.01, training=False).numpy().mean((1, 2))
    np.testing.assert_allclose(trunk.model(images), expected, rtol=1e-4, atol=1e-5)
    # In training too: the statistics are those of the file and stay so, and nothing is dropped.
    np.testing.assert_allclose(trunk.model(images, training=True), expected, rtol=1e-4, atol=1e-5)
    after = trunk.model.get_layer("network").network.get_layer("norm").moving_mean
    np.testing.assert_array_equal(after, model.get_layer("norm").moving_mean)


def test_keras_overrides_an_inner_inference_mode(tf, tmp_path, rng, images):
    """Why InferenceMode is a layer: without it, training=True reaches the inner network."""
    model, _ = _saved(tmp_path, rng)
    x = images.astype(np.float32)
    inputs = keras.Input((32, 32, 3))
    wrapped = keras.Model(inputs, InferenceMode(model)(inputs))
    np.testing.assert_array_equal(wrapped(x, training=True), model(x, training=False))
    plain = keras.Model(inputs, model(inputs, training=False))
    assert not np.allclose(plain(x, training=True), model(x, training=False))


def test_fine_tuned_application_keeps_its_statistics(tf, images):
    trunk = build_backbone("mobilenet_v2", 32, train=True, weights="random")
    network = trunk.model.get_layer("network").network
    statistics = [w.numpy().copy() for w in network.non_trainable_variables]
    clean = trunk.model(images, training=False).numpy()
    with tf.GradientTape() as tape:
        found = trunk.model(images, training=True)
    gradients = tape.gradient(found, [v.value for v in trunk.model.trainable_variables])
    assert all(g is not None for g in gradients)
    np.testing.assert_allclose(found, clean, rtol=1e-5)
    for before, now in zip(statistics, network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize(
    ("name", "weights", "size", "layer", "expected"),
    [
        ("file", None, 32, "conv", ["kernel", "bias", "gamma", "beta"]),
        ("file", None, 32, "norm", ["gamma", "beta"]),
        ("mobilenet_v2", "random", 32, "Conv_1", ["kernel", "gamma", "beta"]),
        ("cnn_f", "random", 224, "fc7", ["kernel", "bias"]),
    ],
)
def test_fine_tuning_begins_at_a_layer(tf, tmp_path, rng, name, weights, size, layer, expected):
    """Of a network inside another too, as a saved one stands in the trunk and a wrapped one in its file."""
    if name == "file":
        model, _ = _saved(tmp_path, rng)
        inputs = keras.Input((None, None, 3))
        name = str(tmp_path / "wrapped.keras")
        keras.Model(inputs, model(keras.layers.Rescaling(0.01)(inputs))).save(name)
    images = rng.integers(0, 256, (2, size, size, 3)).astype(np.float32)
    trunk = build_backbone(name, size, train=True, weights=weights, train_from=layer, seed=3)
    whole = build_backbone(name, size, train=True, weights=weights, seed=3)
    assert [v.name for v in trunk.model.trainable_variables] == expected
    np.testing.assert_array_equal(trunk.model(images), whole.model(images))

    def gradients(model: keras.Model) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images) ** 2)
        return [g.numpy() for g in tape.gradient(loss, [v.value for v in model.trainable_variables])]

    found, of_all = gradients(trunk.model), gradients(whole.model)
    assert all(np.abs(g).max() > 0 for g in found) and len(of_all) >= len(found)
    for one, other in zip(found, of_all[-len(found) :], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_fine_tuning_begins_at_no_such_layer(tf, tmp_path, rng):
    _, path = _saved(tmp_path, rng)
    with pytest.raises(InputError, match=r"train_backbone_from: found 'fc8', .* the last of which are conv, norm$"):
        build_backbone(path, 32, train=True, train_from="fc8")
    with pytest.raises(InputError, match=r"found 'norm', but the backbone .* is frozen without train_backbone"):
        build_backbone(path, 32, train_from="norm")
    with pytest.raises(InputError, match="found 'conv6', but the backbone compact is trained from scratch"):
        build_backbone("compact", 32, train=True, train_from="conv6")


def test_trunk_of_an_application_is_saved(mobilenet, tmp_path, images):
    mobilenet.model.save(tmp_path / "trunk.keras")
    again = build_backbone(str(tmp_path / "trunk.keras"), 32)
    np.testing.assert_allclose(again.model(images), mobilenet.model(images), rtol=1e-5)


def test_fingerprint_tells_architectures_apart(tf):
    """Not by the names that Keras counts up, but by everything else, without any weight too."""
    from dseh_tf.models.backbones import Backbone

    def fingerprint(*layers) -> str:
        x = inputs = keras.Input((8, 8, 3))
        for layer in layers:
            x = layer(x)
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        return Backbone("x", model, 8, pretrained=True, trained=False).fingerprint()

    relu, pool, other = keras.layers.ReLU, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D
    assert fingerprint(relu(), pool(2)) == fingerprint(relu(), pool(2))
    assert len({fingerprint(relu(), pool(2)), fingerprint(pool(2), relu()), fingerprint(relu(), other(2)),
                fingerprint(relu(), pool(4)), fingerprint(relu())}) == 5  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_unreadable_keras_file(tf, tmp_path, content):
    (tmp_path / "bad.keras").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.keras: found no readable Keras model"):
        build_backbone(str(tmp_path / "bad.keras"), 32)
    with pytest.raises(InputError, match=r"gone\.keras: found no such file"):
        build_backbone(str(tmp_path / "gone.keras"), 32)


def test_a_fingerprint_does_not_depend_on_where_our_layers_are(tf):
    """Features of earlier versions keep their fingerprint. A class that moves needs an entry in `_MODULES`."""
    import keras

    from dseh_tf.models.backbones import applications, backbone, cnn_f  # register their layers

    assert {applications.__name__, cnn_f.__name__} <= set(backbone._MODULES)
    then = {
        "InferenceMode": "dseh_tf.models.backbones",
        "LocalResponseNormalization": "dseh_tf.models.layers",
        "GlobalDropout": "dseh_tf.models.layers",
        "StraightThroughSign": "dseh_tf.models.layers",
    }
    ours = {
        name.partition(">")[2]: kind for name, kind in keras.saving.get_custom_objects().items() if "dseh_tf>" in name
    }
    now = {name: backbone._MODULES.get(kind.__module__, kind.__module__) for name, kind in ours.items()}
    moved = {"dseh_tf.models.backbones", "dseh_tf.models.cnn_f", "dseh_tf.models.applications", "dseh_tf.models.layers"}
    later = {"dseh_tf.models.text_scales"}  # registered where another test has loaded it
    assert {name: now[name] for name in then} == then and set(now.values()) - later == moved

    layer = ours["InferenceMode"]
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))(inputs))
    found = backbone.Backbone("x", model, 8, pretrained=True, trained=False)
    assert backbone.InferenceMode.__module__ in model.to_json()
    written = found._digest({})  # by the version that wrote today's modules
    assert written != found.fingerprint() and found.is_known_as(written) and found.is_known_as(found.fingerprint())
    assert not found.is_known_as("0" * 64)
