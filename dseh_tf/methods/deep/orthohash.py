"""OrthoHash: Hoe et al., "One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective".

NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.errors import InputError
from dseh_tf.methods.deep.centre_method import CentreMethod, CentreSettings
from dseh_tf.models.layers import new_layer
from dseh_tf.seeding import layer_seed
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class OrthoHashSettings(CentreSettings):
    """kamwoh/orthohash:main.py, for all data sets: Adam at 1e-4, random centres; a tenth for the trunk by its README.md.

    margin: m, taken off the cosine of a row's own classes. scale: s of the cosines.
    """

    learning_rate: float = 1e-4
    decay: float = 0.1
    decay_epochs: int = 80
    pretrained_multiplier: float = 0.1
    weight_decay: float = 5e-4
    batch: int = 256
    epochs: int = 100
    centres: str = "random"
    margin: float = 0.2
    scale: float = 8.0


class OrthoHash(CentreMethod):
    """Cross entropy over the classes, whose logits are cosines of normalised outputs and centres, with a margin."""

    name = "orthohash"
    Settings = OrthoHashSettings
    POSITIVE: ClassVar = ("scale",)
    UNTUNED: ClassVar = {"normalize_outputs": False}
    PUBLISHED: ClassVar = {"nus_wide": OrthoHashSettings()}

    def check(self, settings: OrthoHashSettings) -> None:
        super().check(settings)
        if settings.normalize_outputs:
            raise InputError("normalize_outputs: found True, expected False: orthohash has its own normalisation")

    def head(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """A layer without bias, then batch normalisation with scale and shift, over the rows of all replicas."""
        x = new_layer(self.bits, "hash", layer_seed(self.seed, "hash"), use_bias=False, dtype="float32")(x)
        normalize = keras.layers.BatchNormalization(
            epsilon=1e-5, momentum=0.9, synchronized=True, name="hash_norm", dtype="float32"
        )
        return {"logits": normalize(x)}

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        s, labels = self.settings, batch["labels"]
        logits = losses.margin_cosines(outputs["logits"], tf.constant(self.centres), labels, s.margin, s.scale)
        return {"total": losses.shared_cross_entropy(logits, labels) / losses.labelled_rows(labels)}
