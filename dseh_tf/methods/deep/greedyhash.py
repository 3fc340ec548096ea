"""GreedyHash: Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN", NeurIPS 2018."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import keras
import numpy as np

from dseh_tf import losses
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.models.layers import StraightThroughSign
from dseh_tf.seeding import layer_seed
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class GreedyHashSettings(DeepSettings):
    """swuxyj/DeepHash-pytorch:GreedyHash.py: SGD at 1e-3, falling tenfold every 30 epochs; on ImageNet every 80, and alpha 1.

    alpha: weight of the outputs' distance to ±1.
    """

    optimizer: str = "sgd"
    momentum: float = 0.9
    learning_rate: float = 1e-3
    decay: float = 0.1
    decay_epochs: int = 30
    weight_decay: float = 5e-4
    batch: int = 64
    epochs: int = 200
    alpha: float = 0.1


_NUS_WIDE = GreedyHashSettings()


class GreedyHash(DeepMethod):
    """Cross entropy of a linear classifier on the signs, with a straight-through gradient.

    Several labels share the target of the cross entropy; the public program uses only the first label.
    """

    name = "greedyhash"
    Settings = GreedyHashSettings
    PUBLISHED: ClassVar = {"nus_wide": _NUS_WIDE, "imagenet": replace(_NUS_WIDE, alpha=1.0, decay_epochs=80)}

    def prepare(self, labels: np.ndarray) -> None:
        self.classes = labels.shape[1]

    def tail(self, outputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        """The classifier, without bias: {"logits": [b, K], "classes": float32 [b, c]}."""
        signs = StraightThroughSign(name="signs", dtype="float32")(outputs["logits"])
        # torch's first weights of a linear layer: uniform within 1 / sqrt(K).
        init = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=layer_seed(self.seed, "greedyhash"))
        classify = keras.layers.Dense(
            self.classes, use_bias=False, kernel_initializer=init, name="classes", dtype="float32"
        )
        return {**outputs, "classes": classify(signs)}

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        z, labels = outputs["logits"], batch["labels"]
        classification = losses.shared_cross_entropy(outputs["classes"], labels) / losses.labelled_rows(labels)
        quantization = losses.cubic_distance(z) / (z.shape[0] * self.bits)
        total = classification + self.settings.alpha * quantization
        return {"total": total, "classification": classification, "quantization": quantization}
