"""What every backbone that `build_backbone` knows has to be: its outputs, what is trained, its fingerprint, saving.

Of `keras.applications` the first network of each family. A family that joins `APPLICATIONS` is tested without a line here.
"""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from dseh_tf.models.backbones import Backbone, build_backbone
from dseh_tf.models.backbones.applications import APPLICATIONS

pytestmark = pytest.mark.usefixtures("tf")

FAMILIES = {family: name for name, (family, _) in reversed(APPLICATIONS.items())}
NAMES = ("compact", "cnn_f", "file", *FAMILIES.values())
# One of each way to build a backbone. ConvNeXt has layers of a class of its own.
KINDS = ("compact", "cnn_f", "file", "convnext_tiny")
SIZES = {"cnn_f": 224}


@pytest.fixture(scope="module")
def built(tf, tmp_path_factory):
    """built(name, train): a backbone of seed 1."""
    path = tmp_path_factory.mktemp("backbone") / "small.keras"
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(0))(inputs)
    keras.Model(inputs, keras.layers.BatchNormalization()(x)).save(path)

    @cache
    def build(name: str, train: bool = False) -> Backbone:
        weights = None if name in ("compact", "file") else "random"
        return build_backbone(
            str(path) if name == "file" else name, SIZES.get(name, 32), train=train, seed=1, weights=weights
        )

    return build


def images(backbone: Backbone) -> np.ndarray:
    size = backbone.image_size
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_becomes_a_vector(built, name):
    backbone = built(name)
    found = backbone.model(images(backbone), training=False)
    assert found.shape == (2, backbone.dim) and found.dtype == "float32"
    assert np.isfinite(found).all() and not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(backbone.model(images(backbone).astype(np.float32), training=False), found)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_frozen(built, name):
    """But for `compact`, which is trained from scratch."""
    backbone = built(name)
    assert backbone.pretrained == (name != "compact")
    assert backbone.trained == bool(backbone.model.trainable_variables) == (name == "compact")


@pytest.mark.parametrize("name", KINDS)
def test_it_is_trained(built, name):
    """From the weights that it has frozen: those of the seed or the file, whatever else was built before."""
    frozen, trained = built(name), built(name, train=True)
    assert trained.trained and trained.model.trainable_variables
    assert trained.pretrained == frozen.pretrained
    for one, other in zip(frozen.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", KINDS)
def test_the_fingerprint_is_that_of_the_weights(built, name):
    backbone, again = built(name), built.__wrapped__(name)
    assert backbone.fingerprint() == again.fingerprint()
    last = again.model.weights[-1]
    last.assign(last + 1.0)
    assert backbone.fingerprint() != again.fingerprint()


@pytest.mark.parametrize("name", KINDS)
def test_saved_inside_a_network(built, name, tmp_path):
    from dseh_tf.methods.image_encoder import load_network
    from dseh_tf.models.trunks import trunk_outputs

    backbone = built(name)
    inputs, x = trunk_outputs(0.5, 0, 0, backbone, None)
    network = keras.Model(inputs, {"logits": keras.layers.Dense(4)(x)})
    network.save(tmp_path / "network.keras")
    loaded = load_network(tmp_path / "network.keras")
    expected = network(images(backbone), training=False)["logits"]
    np.testing.assert_array_equal(loaded(images(backbone), training=False)["logits"], expected)
