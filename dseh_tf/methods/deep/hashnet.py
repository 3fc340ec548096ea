"""HashNet: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import tensorflow as tf

from dseh_tf import losses
from dseh_tf.errors import InputError
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class HashNetSettings(DeepSettings):
    """thuml/HashNet:models/train/{nuswide_81,imagenet,coco}/{solver,train_val}.prototxt, nesterov from pytorch/src/train.py.

    10,000 steps at a base rate of 5e-5, the hash layer at ten times that, biases at twice, halved every 2,000: here, with
    batches of 2 x 256 of about 10,000 rows (19 an epoch), 526 epochs halved every 105.
    class_num: weight of similar pairs. sigmoid_param: scale of the inner products, times K.
    continuation_gamma, continuation_power, continuation_every: parameters of beta_t = (1 + gamma t)^power, which
    changes every `continuation_every` steps.
    """

    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    learning_rate: float = 5e-4
    decay: float = 0.5
    decay_epochs: int = 105
    pretrained_multiplier: float = 0.1
    bias_multiplier: float = 2.0
    weight_decay: float = 5e-4
    batch: int = 512
    epochs: int = 526
    class_num: float = 5.0
    sigmoid_param: float = 10.0
    continuation_gamma: float = 0.005
    continuation_power: float = 0.5
    continuation_every: int = 200


_NUS_WIDE = HashNetSettings()


class HashNet(DeepMethod):
    """Weighted likelihood of the pairs between two halves of a batch, on tanh(beta_t z) that sharpens to the sign."""

    name = "hashnet"
    Settings = HashNetSettings
    LEAST: ClassVar = {"continuation_every": 1}
    POSITIVE: ClassVar = ("class_num", "sigmoid_param")
    PUBLISHED: ClassVar = {
        "nus_wide": _NUS_WIDE,
        "imagenet": replace(_NUS_WIDE, class_num=100.0),
        "ms_coco": replace(_NUS_WIDE, class_num=1.0),
    }

    def check(self, settings: HashNetSettings) -> None:
        if settings.batch % 2:
            raise InputError(f"batch: found {settings.batch}, expected an even number, for two halves")

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        s, half = self.settings, self.settings.batch // 2
        beta = losses.continuation(batch["step"], s.continuation_gamma, s.continuation_power, s.continuation_every)
        codes = tf.tanh(beta * outputs["logits"])
        theta = losses.inner_products(codes[:half], codes[half:], s.sigmoid_param / self.bits)
        similar = losses.similarity(batch["labels"][:half], batch["labels"][half:])
        summed, weights = losses.weighted_likelihood(theta, similar, s.class_num)
        return {"total": summed / weights, "beta": beta}
