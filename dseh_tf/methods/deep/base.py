"""What the deep baselines share: backbone, settings and training. Each method adds its loss.

All of them have the backbone of DSEH's ImgNet, including the ReLU layer after frozen features, followed by K outputs.
ImgNet's 512 linear units in between cannot represent more than a single layer can, so the baselines have the same
capacity.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.methods.deep.recipe import DeepRecipe
from dseh_tf.methods.deep.settings import OPTIMIZERS, DeepSettings, trunk_changes
from dseh_tf.methods.dseh.presets import ROWS
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.methods.settings import Layer, check_choices, check_numbers
from dseh_tf.methods.trained import PublishedMethod
from dseh_tf.models.layers import new_layer
from dseh_tf.seeding import layer_seed
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms

__all__ = ["DeepMethod", "DeepSettings"]


class DeepMethod(PublishedMethod[DeepRecipe, ImageEncoder]):
    """A method that trains one image network with one loss. A subclass defines name, Settings, PUBLISHED and `loss`.

    Attributes:
        UNTUNED: Settings of this method for all backbones except CNN-F, applied after `trunk_changes`.
    """

    Recipe = DeepRecipe
    Settings: ClassVar[type] = DeepSettings
    ROWS = ROWS
    UNTUNED: ClassVar[Mapping[str, Any]] = {}

    def layers(self, features: bool) -> Iterable[Layer]:
        kind = "features" if features else self.trunk.kind
        yield Layer(f"trunk: {kind}", trunk_changes(kind))
        if kind != "cnn_f":
            yield Layer(f"trunk: {kind}, {self.name}", self.UNTUNED)

    def checked(self, settings: DeepSettings) -> DeepSettings:
        check_choices(settings, {"optimizer": OPTIMIZERS, **self.CHOICES})
        least = {"batch": 1, "decay_epochs": 1, **self.LEAST}
        check_numbers(settings, least, ("dropout", "momentum"), ("learning_rate", "decay", *self.POSITIVE))
        self.check(settings)
        return settings

    # The parts of a method

    def check(self, settings: Any) -> None:
        """Raises InputError for settings that are not valid together."""

    def prepare(self, labels: np.ndarray) -> None:
        """Called once before the network is built, to set up what depends on the labels float32 [n, c] of all training
        rows."""

    def head(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """The method's own layers: [b, d] to {"logits": float32 [b, K]}, whose signs are the codes."""
        return {"logits": new_layer(self.bits, "hash", layer_seed(self.seed, "hash"), dtype="float32")(x)}

    def tail(self, outputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        """Further layers after the logits that the loss needs; returns all outputs of the network."""
        return outputs

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> CodeBank | None:
        """The bank with values for every training row, if the method needs one. labels: float32 [n, c]."""
        return None

    def fill(self, bank: CodeBank, labels: np.ndarray) -> None:
        """Fills the bank before the first step; a resumed run restores it from its checkpoint."""

    @abc.abstractmethod
    def loss(self, outputs: Tensors, batch: Tensors, bank: Any) -> Terms:
        """The loss of the global batch, as if there were one device.

        Args:
            outputs: Outputs of `head` and `tail`, each [B, ...].
            batch: "rows" int32 [B] among the training rows, "labels" float32 [B, c], "step" int64.
            bank: As `bank` returned it.

        Returns:
            "total", a scalar to minimise, and other terms to record.
        """
