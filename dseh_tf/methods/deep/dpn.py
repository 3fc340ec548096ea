"""DPN: Fan et al., "Deep Polarized Network for Supervised Learning of Accurate Binary Hashing Codes", IJCAI 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.deep.centre_method import CentreMethod, CentreSettings
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class DPNSettings(CentreSettings):
    """CISiPLab/cisip-FIRe:configs/templates/dpn.yaml and train.py, for all data sets: Adam at 1e-4, a tenth for the trunk.

    margin: m of the hinge. size_weight: of the mean square of the outputs.
    """

    learning_rate: float = 1e-4
    decay: float = 0.1
    decay_epochs: int = 80
    pretrained_multiplier: float = 0.1
    weight_decay: float = 5e-4
    batch: int = 64
    epochs: int = 100
    centres: str = "dpn"
    margin: float = 1.0
    size_weight: float = 0.1


class DPN(CentreMethod):
    """A hinge on each bit: the output should be beyond the margin on the side of the row's centre.

    The hinge is a mean over the bits, as in swuxyj/DeepHash-pytorch:DPN.py; FIRe sums it over them, and over the centres of
    several labels one by one.
    """

    name = "dpn"
    Settings = DPNSettings
    POSITIVE: ClassVar = ("margin",)
    PUBLISHED: ClassVar = {"nus_wide": DPNSettings()}

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank | None) -> Terms:
        s, z, labels = self.settings, outputs["logits"], batch["labels"]
        entries = losses.labelled_rows(labels) * self.bits
        polarization = losses.polarization(z, self.targets(labels), s.margin) / entries
        size = tf.reduce_mean(tf.square(z))
        return {"total": polarization + s.size_weight * size, "polarization": polarization, "size": size}
