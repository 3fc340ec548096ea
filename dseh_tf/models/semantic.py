"""SSAH's networks: labels, images and texts, each to a semantic feature, hash logits and classes; and its discriminators.

Source: lelan-li/SSAH:tnet.py at 8780b20; Li et al., CVPR 2018, section 4.1. All layers are float32. Weights and biases are
drawn from a normal distribution with a standard deviation of .01, as in the release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dseh_tf.models.backbones import Backbone
from dseh_tf.models.layers import LocalResponseNormalization
from dseh_tf.models.text_scales import MultiScaleTexts
from dseh_tf.models.trunks import trunk_outputs
from dseh_tf.seeding import layer_seed


def build_label_network(classes: int, bits: int, hidden: int, dim: int, seed: int = 0) -> keras.Model:
    """classes -> hidden, ReLU, LRN -> dim, ReLU = feature -> heads.

    Args:
        classes: Width of a label row.
        bits: Code length K.
        hidden: Units of the first layer.
        dim: Width of the semantic feature.
        seed: Seed of the initial weights.

    Returns:
        A model from float32 [b, classes] to {"feature": [b, dim], "logits": [b, K], "label": [b, classes]}. The code is
        tanh(logits), the classes follow a sigmoid.
    """
    labels = keras.Input((classes,), name="labels")
    x = _layer(hidden, "label_hidden", seed, activation="relu")(labels)
    x = LocalResponseNormalization(name="label_lrn", dtype="float32")(x)
    feature = _layer(dim, "label_feature", seed, activation="relu")(x)
    return _with_heads("labels", labels, feature, feature, classes, bits, seed)


def build_image_network(
    classes: int,
    bits: int,
    dim: int,
    seed: int = 0,
    backbone: Backbone | None = None,
    features: int | None = None,
    dropout: float = 0.0,
    feature_layer: int = 0,
) -> keras.Model:
    """Trunk -> dim, ReLU = feature -> heads. Arguments and result as `build_label_network`; the trunk as `trunk_outputs`."""
    images, x = trunk_outputs(dropout, feature_layer, seed, backbone, features)
    feature = _layer(dim, "image_feature", seed, activation="relu")(x)
    return _with_heads("images", images, feature, feature, classes, bits, seed)


def build_text_network(
    words: int,
    classes: int,
    bits: int,
    hidden: int,
    dim: int,
    windows: Sequence[int],
    seed: int = 0,
) -> keras.Model:
    """words -> scales -> hidden, ReLU, LRN -> dim, ReLU = feature -> LRN -> heads.

    Args:
        words: Width of a text row.
        windows: The windows of `MultiScaleTexts`; () for the words alone.
        classes, bits, hidden, dim, seed: As in `build_label_network`.

    Returns:
        A model from float32 [b, words] to the outputs of `build_label_network`.
    """
    texts = keras.Input((words,), name="texts")
    scales = MultiScaleTexts(windows, layer_seed(seed, "text_scales"), name="text_scales", dtype="float32")(texts)
    x = keras.layers.Flatten(name="text_flat")(scales)
    x = _layer(hidden, "text_hidden", seed, activation="relu")(x)
    x = LocalResponseNormalization(name="text_lrn", dtype="float32")(x)
    feature = _layer(dim, "text_feature", seed, activation="relu")(x)
    normalized = LocalResponseNormalization(name="text_feature_lrn", dtype="float32")(feature)
    return _with_heads("texts", texts, feature, normalized, classes, bits, seed)


def build_discriminator(kind: str, dim: int, widths: Sequence[int], seed: int = 0) -> keras.Model:
    """dim -> widths, ReLU -> 1: a logit that is high for features of labels. Input float32 [b, dim], output [b, 1].

    Args:
        kind: The modality that it tells from labels; names its layers.
        dim: Width of the semantic feature.
        widths: Units of the hidden layers.
        seed: Seed of the initial weights.
    """
    x = features = keras.Input((dim,), name="features")
    for index, width in enumerate(widths):
        x = _layer(width, f"{kind}_source_{index}", seed, activation="relu")(x)
    return keras.Model(features, _layer(1, f"{kind}_source", seed)(x), name=f"{kind}_discriminator")


def _with_heads(
    name: str,
    inputs: keras.KerasTensor,
    feature: keras.KerasTensor,
    read: keras.KerasTensor,
    classes: int,
    bits: int,
    seed: int,
) -> keras.Model:
    """The network with its heads, which read `read`."""
    logits = _layer(bits, f"{name}_hash", seed)(read)
    label = _layer(classes, f"{name}_classes", seed, activation="sigmoid")(read)
    return keras.Model(inputs, {"feature": feature, "logits": logits, "label": label}, name=name)


def _layer(units: int, name: str, seed: int, **kwargs: Any) -> keras.layers.Dense:
    size, chosen = 0.01, layer_seed(seed, f"ssah/{name}")
    weights = keras.initializers.RandomNormal(stddev=size, seed=chosen)
    biases = keras.initializers.RandomNormal(stddev=size, seed=chosen + 1)
    return keras.layers.Dense(
        units, kernel_initializer=weights, bias_initializer=biases, name=name, dtype="float32", **kwargs
    )
