"""What the methods with class centres share: CSQ, DPN and OrthoHash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.methods.deep.centres import KINDS, class_centres
from dseh_tf.seeding import generator


@dataclass(frozen=True)
class CentreSettings(DeepSettings):
    """Settings of a method with class centres.

    centres: how they are made, one of `dseh_tf.methods.deep.centres.KINDS`.
    """

    centres: str = "hadamard_or_search"


class CentreMethod(DeepMethod):
    """A method that is trained towards fixed centres, one per class, which are a function of the seed."""

    Settings = CentreSettings
    CHOICES: ClassVar = {"centres": KINDS}

    def prepare(self, labels: np.ndarray) -> None:
        centres = class_centres(labels.shape[1], self.bits, self.seed, self.settings.centres)
        ties = generator(self.seed, "centre ties").choice([-1, 1], self.bits)
        self.centres, self.ties = centres.astype(np.float32), ties.astype(np.float32)

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        """labels: float32 [b, c]. float32 [b, K], as `losses.centre_targets`."""
        return losses.centre_targets(labels, tf.constant(self.centres), tf.constant(self.ties))
