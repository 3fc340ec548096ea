"""The input side of a network: a backbone or its features, and the layers that adapt them."""

from __future__ import annotations

import keras

from dseh_tf.models.backbones import Backbone
from dseh_tf.models.layers import GlobalDropout
from dseh_tf.seeding import layer_seed


def trunk_outputs(
    dropout: float, feature_layer: int, seed: int, backbone: Backbone | None, features: int | None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """A network's input, and the output of its trunk [b, d], which is the same for every method.

    Args:
        dropout: Fraction of units dropped after a backbone that has no dropout itself, or on features.
        feature_layer: Units of a ReLU layer above a frozen backbone or features, with dropout; 0 for none.
        seed: Seed of the initial weights.
        backbone: The trunk; or
        features: the width of the input itself, [b, features] from a frozen backbone.
    """
    if backbone is not None:
        inputs = keras.Input((backbone.image_size, backbone.image_size, 3), name="images")
        x = backbone.model(inputs)
    else:
        inputs = x = keras.Input((features,), name="features")
    if backbone is None or not backbone.has_dropout:
        x = GlobalDropout(dropout, salt=8, name="dropout")(x)
    if feature_layer and (backbone is None or not backbone.trained):
        init = keras.initializers.HeNormal(layer_seed(seed, "adapt"))
        x = keras.layers.Dense(feature_layer, activation="relu", kernel_initializer=init, name="adapt")(x)
        x = GlobalDropout(dropout, salt=9, name="adapt_dropout")(x)
    return inputs, x


def split_variables(network: keras.Model, backbone: Backbone | None) -> tuple[list, list]:
    """Trainable variables as (pretrained, new): the former learn at `pretrained_multiplier` times the rate."""
    pretrained = list(backbone.model.trainable_variables) if backbone is not None and backbone.pretrained else []
    known = {id(v) for v in pretrained}
    return pretrained, [v for v in network.trainable_variables if id(v) not in known]
