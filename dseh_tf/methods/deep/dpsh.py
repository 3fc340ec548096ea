"""DPSH: Li, Wang, Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels", IJCAI 2016."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class DPSHSettings(DeepSettings):
    """jiangqy/DPSH-pytorch:DPSH_CIFAR_10.py; eta is its lambda: 10 in its demo, 50 where it names NUS-WIDE.

    eta: weight of the quantisation. As in the source, and in the paper's eq. 5, both the pairs and the quantisation are
        divided by
    the number of pairs, n x batch.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.05
    decay: float = 0.1
    decay_epochs: int = 50
    weight_decay: float = 1e-5
    batch: int = 128
    epochs: int = 150
    eta: float = 10.0


class DPSH(DeepMethod):
    """Likelihood of the pairs (all training rows x batch) under theta = u u' / 2, and u drawn to its signs."""

    name = "dpsh"
    Settings = DPSHSettings
    UNTUNED: ClassVar = {"eta": 10.0}
    PUBLISHED: ClassVar = {"nus_wide": DPSHSettings(eta=50.0), "imagenet": DPSHSettings(), "ms_coco": DPSHSettings()}

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> CodeBank:
        return CodeBank(strategy, labels, self.bits)

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank) -> Terms:
        u = outputs["logits"]
        bank.write(batch["rows"], u)
        similar = losses.similarity(tf.convert_to_tensor(bank.labels), batch["labels"])
        pairs = bank.rows * u.shape[0]
        likelihood = losses.bank_likelihood(bank.values, u, similar, 0.5, 1.0) / pairs
        quantization = losses.sign_distance(u) / pairs
        return {"total": likelihood + self.settings.eta * quantization, "pairs": likelihood, "signs": quantization}
