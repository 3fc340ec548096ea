"""LabNet: label vectors to semantic features, hash codes and class outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from dseh_tf.models.layers import LocalResponseNormalization, new_layer
from dseh_tf.seeding import layer_seed

if TYPE_CHECKING:
    from dseh_tf.methods.dseh.settings import DSEHSettings


def build_labnet(classes: int, bits: int, settings: DSEHSettings, seed: int = 0) -> keras.Model:
    """The label network of section 3.2 of the paper, as in lelan-li/DSEH:net_vggf.py:LabelNetVgg.

    classes -> labnet_width, ReLU, LRN -> feature_dim, feature_activation -> bits, tanh -> classes, label_head.
    Input: float32 [b, classes], 0 and 1. Output: {"feature": [b, feature_dim], "code": [b, bits] in (-1, 1),
    "label": [b, classes]}, float32 within and without, whatever the policy. seed: of the initial weights.
    """
    size = settings.labnet_weight_size
    seeds = {layer: layer_seed(seed, layer) for layer in ("fc1", "feature", "code", "label")}
    labels = keras.Input((classes,), name="labels")
    x = new_layer(settings.labnet_width, "fc1", seeds["fc1"], size, activation="relu", dtype="float32")(labels)
    x = LocalResponseNormalization(name="lrn", dtype="float32")(x)
    activation = settings.feature_activation
    feature = new_layer(
        settings.feature_dim, "feature", seeds["feature"], size, activation=activation, dtype="float32"
    )(x)
    code = new_layer(bits, "code", seeds["code"], size, activation="tanh", dtype="float32")(feature)
    label = new_layer(classes, "label", seeds["label"], size, activation=settings.label_head, dtype="float32")(code)
    return keras.Model(labels, {"feature": feature, "code": code, "label": label}, name="labnet")
