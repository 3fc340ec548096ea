"""CSQ: Yuan et al., "Central Similarity Quantization for Efficient Image and Video Retrieval", CVPR 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dseh_tf import losses
from dseh_tf.methods.deep.centre_method import CentreMethod, CentreSettings
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class CSQSettings(CentreSettings):
    """swuxyj/DeepHash-pytorch:CSQ.py, for all data sets: RMSprop at 1e-5 for all layers, quantisation 1e-4.

    quantization_weight: lambda; CISiPLab/cisip-FIRe:configs/templates/csq.yaml has 1e-3.
    """

    optimizer: str = "rmsprop"
    learning_rate: float = 1e-5
    weight_decay: float = 1e-5
    batch: int = 64
    epochs: int = 150
    quantization_weight: float = 1e-4


class CSQ(CentreMethod):
    """Cross entropy of each bit, (tanh(z) + 1) / 2, and the bit of the row's centre.

    Where no Hadamard matrix is large enough, the public program draws centres with K / 2 ones at random. Here they come from
    a search for a large minimum distance.
    """

    name = "csq"
    Settings = CSQSettings
    PUBLISHED: ClassVar = {"nus_wide": CSQSettings()}

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        z, labels = outputs["logits"], batch["labels"]
        entries = losses.labelled_rows(labels) * self.bits
        centre = losses.centre_likelihood(z, self.targets(labels)) / entries
        quantization = losses.tanh_distance(z) / (z.shape[0] * self.bits)
        total = centre + self.settings.quantization_weight * quantization
        return {"total": total, "centre": centre, "quantization": quantization}
