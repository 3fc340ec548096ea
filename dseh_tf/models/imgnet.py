"""ImgNet: images, or a backbone's features, to semantic features and hash logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from dseh_tf.models.backbones import Backbone
from dseh_tf.models.layers import GlobalDropout, new_layer
from dseh_tf.seeding import layer_seed

if TYPE_CHECKING:
    from dseh_tf.methods.dseh.presets import DSEHSettings


def build_imgnet(
    bits: int,
    settings: DSEHSettings,
    seed: int = 0,
    backbone: Backbone | None = None,
    features: int | None = None,
) -> keras.Model:
    """Builds the image network of section 3.3 of the paper. Source: lelan-li/DSEH:net_vggf.py:VggF.

    trunk -> fc8 of feature_dim -> feature_activation = semantic feature; hash logits of `bits` from `hash_input`: fc8
    before that activation, after it, or the trunk itself. Without an fc8 (`has_feature`) the trunk's output is the
    semantic feature. Dropout follows fc6 and fc7 inside CNN-F, and the trunk's output elsewhere.

    Args:
        bits: Code length K.
        settings: Widths, activation, dropout.
        seed: Of the initial weights.
        backbone: The trunk, of input [b, size, size, 3], RGB 0..255, any real dtype; or
        features: the width of the input itself, [b, features] from a frozen backbone.

    Returns:
        A model with outputs {"feature": [b, d], "logits": [b, K]}, float32.
    """
    inputs, x = trunk_outputs(settings.dropout, settings.feature_layer, seed, backbone, features)
    if has_feature(settings):
        fc8 = new_layer(settings.feature_dim, "fc8", layer_seed(seed, "fc8"), dtype="float32")(x)
        feature = keras.layers.Activation(settings.feature_activation, name="feature", dtype="float32")(fc8)
    else:
        feature = fc8 = keras.layers.Activation("linear", name="feature", dtype="float32")(x)
    hash_input = {"pre_activation": fc8, "feature": feature, "trunk": x}[settings.hash_input]
    logits = new_layer(bits, "hash", layer_seed(seed, "hash"), dtype="float32")(hash_input)
    return keras.Model(inputs, {"feature": feature, "logits": logits}, name="imgnet")


def has_feature(settings: DSEHSettings) -> bool:
    """Whether ImgNet has an fc8: its hash layer reads it, or J1 trains it."""
    return settings.hash_input != "trunk" or settings.imgnet_feature_weight != 0


def trunk_outputs(
    dropout: float, feature_layer: int, seed: int, backbone: Backbone | None, features: int | None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """A network's input, and what stands below its own layers, [b, d]: the same for every method.

    `backbone` with dropout behind it where it has none inside; or, without one, features [b, `features`] and dropout.
    Where the backbone is frozen or only its features are there, and `feature_layer` is not 0, a ReLU layer of so many
    units with dropout.
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


def split_variables(imgnet: keras.Model, backbone: Backbone | None) -> tuple[list, list]:
    """Trainable variables as (pretrained, new): the former learn at `pretrained_multiplier` times the rate."""
    pretrained = list(backbone.model.trainable_variables) if backbone is not None and backbone.pretrained else []
    known = {id(v) for v in pretrained}
    return pretrained, [v for v in imgnet.trainable_variables if id(v) not in known]
