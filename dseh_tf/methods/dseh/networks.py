"""LabNet and ImgNet with their optimisers and inference passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.replicas import RowStream, joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.errors import InputError
from dseh_tf.methods.dseh.settings import DSEHSettings
from dseh_tf.methods.image_encoder import ImageEncoder, training_inputs
from dseh_tf.models.imgnet import build_imgnet
from dseh_tf.models.labnet import build_labnet
from dseh_tf.models.trunks import split_variables
from dseh_tf.retrieval import sign
from dseh_tf.training.batches import TrainingRows, array_batches
from dseh_tf.training.optimizers import VariableGroup, build_optimizer
from dseh_tf.training.recipe import Tensors

_LABEL_ROWS = 1024  # of a clean pass of LabNet


@dataclass(frozen=True)
class Outputs:
    """A clean pass over rows.

    Attributes:
        features: float32 [n, d].
        activations: float32 [n, K]; their signs are the codes.
    """

    features: np.ndarray
    activations: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """float32 ±1 [n, K]; zero counts as +1."""
        return np.where(self.activations >= 0, 1.0, -1.0).astype(np.float32)


class LabNet:
    """The label network of a fit."""

    def __init__(self, classes: int, bits: int, settings: DSEHSettings, seed: int, runtime: Runtime) -> None:
        s = settings
        with runtime.networks():
            self.network = build_labnet(classes, bits, s, seed)
            variables = self.network.trainable_variables
            optimizer = build_optimizer(s.optimizer, variables, s.momentum)
        self.groups = [VariableGroup(optimizer, variables, 1.0, s.labnet_clip, s.labnet_clip_norm)]
        self._forward = RowStream(runtime.strategy, lambda x: self.network(x, training=False))

    @property
    def tracked(self) -> dict[str, object]:
        return {"labnet": self.network, "labnet_optimizer": self.groups[0].optimizer}

    def outputs(self, vectors: np.ndarray) -> Outputs:
        """Features and codes of label vectors [v, c]."""
        out = joined(self._batches(vectors))
        return Outputs(out["feature"], out["code"])

    def signs(self, vectors: np.ndarray) -> np.ndarray:
        """int8 ±1 [v, K] of label vectors [v, c]. Of a whole database, features would take ten times the labels' memory."""
        return np.concatenate([sign(out["code"]) for out in self._batches(vectors)])

    def _batches(self, vectors: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        batches = (batch.astype(np.float32) for batch in array_batches(vectors, _LABEL_ROWS))
        return self._forward(batches, _LABEL_ROWS)


class ImgNet:
    """The image network of a fit, and the images or features that it trains on."""

    def __init__(
        self, dataset: RetrievalDataset, bits: int, settings: DSEHSettings, seed: int, trunk: Trunk, runtime: Runtime
    ) -> None:
        s = settings
        self.inputs = training_inputs(dataset.train, trunk, runtime)
        with runtime.networks():
            backbone = None if dataset.has_features else trunk.build(seed, s.dropout)
            if not s.bank_reinit_mean_subtract and (backbone is None or backbone.mean is None):
                raise InputError(
                    "bank_reinit_mean_subtract: found False, but this trunk subtracts no mean image from what trains, "
                    "expected True, or cnn_f fine-tuned on images"
                )
            width = None if dataset.train.features is None else dataset.train.features.shape[1]
            self.network = build_imgnet(bits, s, seed, backbone, width)
            pretrained, new = split_variables(self.network, backbone)
            self.groups = [
                VariableGroup(build_optimizer(s.optimizer, group, s.momentum), group, multiplier, s.imgnet_clip)
                for group, multiplier in ((new, 1.0), (pretrained, s.pretrained_multiplier))
                if group
            ]
            self.encoder = ImageEncoder(bits, self.network, backbone, runtime)

    @property
    def tracked(self) -> dict[str, object]:
        optimizers = {f"imgnet_optimizer_{i}": group.optimizer for i, group in enumerate(self.groups)}
        return {"imgnet": self.network, **optimizers}

    def rows(self, labels: np.ndarray, batch: int, seed: int, round_: int) -> TrainingRows:
        """The training rows of a phase; images are mirrored as the inputs say."""
        flipped: dict[str, np.ndarray | None] = {"inputs": self.inputs.flipped} if self.inputs.mirrors else {}
        arrays = {"inputs": self.inputs.plain, "labels": labels}
        return TrainingRows(arrays, batch, seed, "imgnet", round_, flipped)

    def forward(self, batch: Tensors) -> Tensors:
        return self.network(batch["inputs"], training=True)

    def outputs(self, keep_mean: bool = False) -> Outputs:
        """Features and logits of the training images, dropout off; keep_mean cancels the trunk's mean subtraction."""
        out = self.encoder.forward(self.inputs.plain, keep_mean=keep_mean)
        return Outputs(out["feature"], out["logits"])
