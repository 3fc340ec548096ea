"""DHN: Zhu, Long, Wang, Cao, "Deep Hashing Network for Efficient Similarity Retrieval", AAAI 2016."""

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
class DHNSettings(DeepSettings):
    """swuxyj/DeepHash-pytorch:DHN.py, for all data sets: RMSprop at 1e-5, quantisation .1, pairs with a bank.

    quantization_weight: lambda. pair_set: "bank" (all training rows x batch), or "batch" (within the batch) as in the
    paper and thulab/DeepHash:DeepHash/model/dhn/dhn.py, which clips the inner products to ±15 and so stops their gradient.
    """

    optimizer: str = "rmsprop"
    learning_rate: float = 1e-5
    weight_decay: float = 1e-5
    batch: int = 128
    epochs: int = 90
    quantization_weight: float = 0.1
    pair_set: str = "bank"


class DHN(DeepMethod):
    """Likelihood of pairs under theta = u u' / 2, and a bimodal Laplacian prior on u.

    The prior is the paper's log cosh(|u| - 1), where the public programs have ||u| - 1| and (|u| - 1)^2.
    """

    name = "dhn"
    Settings = DHNSettings
    CHOICES: ClassVar = {"pair_set": ("bank", "batch")}
    PUBLISHED: ClassVar = {"nus_wide": DHNSettings()}

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> CodeBank | None:
        return CodeBank(strategy, labels, self.bits) if self.settings.pair_set == "bank" else None

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        u, labels = outputs["logits"], batch["labels"]
        if bank:
            bank.write(batch["rows"], u)
            similar = losses.similarity(tf.convert_to_tensor(bank.labels), labels)
            likelihood = losses.bank_likelihood(bank.values, u, similar, 0.5, 1.0)
        else:
            similar = losses.similarity(labels, labels)
            likelihood = losses.pair_likelihood(losses.inner_products(u, u, 0.5), similar)
        likelihood /= similar.shape[0] * similar.shape[1]
        quantization = losses.laplacian_distance(u) / (u.shape[0] * self.bits)
        total = likelihood + self.settings.quantization_weight * quantization
        return {"total": total, "pairs": likelihood, "quantization": quantization}
