"""ImgNet: images, or a backbone's features, to semantic features and hash logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from dseh_tf.models.backbones import Backbone
from dseh_tf.models.layers import new_layer
from dseh_tf.models.trunks import trunk_outputs
from dseh_tf.seeding import layer_seed

if TYPE_CHECKING:
    from dseh_tf.methods.dseh.settings import DSEHSettings


def build_imgnet(
    bits: int,
    settings: DSEHSettings,
    seed: int = 0,
    backbone: Backbone | None = None,
    features: int | None = None,
) -> keras.Model:
    """Builds the image network of section 3.3 of the paper. Source: lelan-li/DSEH:net_vggf.py:VggF.

    trunk -> fc8 of feature_dim -> feature_activation = semantic feature; hash logits of `bits` from `hash_input`: fc8
    before that activation, after it, or the trunk itself. Without an fc8 (`settings.has_feature`) the trunk's output is the
    semantic feature. Dropout follows fc6 and fc7 inside CNN-F, and the trunk's output elsewhere.

    Args:
        bits: Code length K.
        settings: Widths, activation, dropout.
        seed: Seed of the initial weights.
        backbone: The trunk, of input [b, size, size, 3], RGB 0..255, any real dtype; or
        features: the width of the input itself, [b, features] from a frozen backbone.

    Returns:
        A model with outputs {"feature": [b, d], "logits": [b, K]}, float32.
    """
    inputs, x = trunk_outputs(settings.dropout, settings.feature_layer, seed, backbone, features)
    if settings.has_feature:
        fc8 = new_layer(settings.feature_dim, "fc8", layer_seed(seed, "fc8"), dtype="float32")(x)
        feature = keras.layers.Activation(settings.feature_activation, name="feature", dtype="float32")(fc8)
    else:
        feature = fc8 = keras.layers.Activation("linear", name="feature", dtype="float32")(x)
    hash_input = {"pre_activation": fc8, "feature": feature, "trunk": x}[settings.hash_input]
    logits = new_layer(bits, "hash", layer_seed(seed, "hash"), dtype="float32")(hash_input)
    return keras.Model(inputs, {"feature": feature, "logits": logits}, name="imgnet")
