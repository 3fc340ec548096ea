"""DNNH: Lai, Pan, Liu, Yan, "Simultaneous Feature Learning and Hash Coding with Deep Neural Networks", CVPR 2015."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.errors import InputError
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.models.layers import new_layer
from dseh_tf.seeding import layer_seed, stream_seed
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class DNNHSettings(DeepSettings):
    """HYPJUDY/caffe-dnnh:runtime/48bit/train48{,_solver}.prototxt (CIFAR-10, from scratch), for all data sets.

    Its 100,000 steps of 100 triplets are 1,000 epochs of steps of 128 anchors over 10,000 rows here, the rate falling
    tenfold after 600; there it falls once more after 700. The layer that it trains by (src/caffe/layers/
    triplet_ranking_hinge_loss_layer.cpp) hands back twice its loss' gradient: its rate of 1e-3 is 2e-3 here, and its decay of
    5e-4, which is not doubled, half of that. A pretrained trunk learns at a tenth, which is ours.
    slice_width: units that each bit is encoded from. margin: of the ranking, 1 in the paper, 2 there. threshold: epsilon of
    the piecewise threshold, .5 for none, as in the source; no source gives the paper's value. triplets: drawn for each
    anchor of a batch.
    """

    optimizer: str = "sgd"
    momentum: float = 0.9
    learning_rate: float = 2e-3
    decay: float = 0.1
    decay_epochs: int = 600
    pretrained_multiplier: float = 0.1
    bias_multiplier: float = 2.0
    weight_decay: float = 2.5e-4
    batch: int = 128
    epochs: int = 1000
    slice_width: int = 50
    margin: float = 1.0
    threshold: float = 0.5
    triplets: int = 1


class DNNH(DeepMethod):
    """Ranks triplets by codes in [0, 1], each bit encoded from a slice of features of its own."""

    name = "dnnh"
    Settings = DNNHSettings
    LEAST: ClassVar = {"slice_width": 1, "triplets": 1}
    # 60 epochs of 16 triplets an anchor are as many as the published 100,000 steps of 100 have on 10,000 rows.
    UNTUNED: ClassVar = {"triplets": 16}
    PUBLISHED: ClassVar = {"nus_wide": DNNHSettings()}

    def check(self, settings: DNNHSettings) -> None:
        if not 0 < settings.threshold <= 0.5:  # at 0 all codes would be the same
            raise InputError(f"threshold: found {settings.threshold}, expected above 0 and at most 0.5")

    def head(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """50 features per bit, then one output from each slice of 50 (divide and encode)."""
        width, first = self.settings.slice_width, layer_seed(self.seed, "slices")
        x = new_layer(width * self.bits, "slices", first, activation="relu", dtype="float32")(x)
        x = keras.layers.Reshape((self.bits, width), dtype="float32")(x)
        encode = keras.layers.EinsumDense(
            "bkd,kd->bk",
            output_shape=(self.bits,),
            bias_axes="k",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=first + 2),
            name="hash",
            dtype="float32",
        )
        return {"logits": encode(x)}

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        s, labels = self.settings, batch["labels"]
        codes = losses.piecewise_threshold(tf.sigmoid(outputs["logits"]), s.threshold)
        stream = tf.constant(stream_seed(self.seed, self.name, "triplets"), tf.int64)
        triplets = losses.sample_triplets(
            losses.similarity(labels, labels), tf.stack([stream, batch["step"]]), s.triplets
        )
        count = tf.maximum(tf.reduce_sum(triplets[2]), 1.0)
        hinge = losses.triplet_hinge(codes, *triplets, s.margin) / count
        return {"total": hinge}
