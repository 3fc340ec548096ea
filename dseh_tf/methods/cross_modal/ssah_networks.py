"""SSAH's networks and discriminators, with their optimisers and training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.texts import padded
from dseh_tf.devices.replicas import RowStream, joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.methods.cross_modal.ssah_settings import SSAHSettings
from dseh_tf.methods.image_encoder import training_inputs
from dseh_tf.models.semantic import (
    build_discriminator,
    build_image_network,
    build_label_network,
    build_text_network,
)
from dseh_tf.models.trunks import split_variables
from dseh_tf.retrieval import sign
from dseh_tf.training.batches import TrainingRows, array_batches, resident
from dseh_tf.training.optimizers import VariableGroup, build_optimizer

_LABEL_ROWS = 1024  # of a pass over label vectors


class Networks:
    """The networks of a fit.

    Attributes:
        labels, images, texts: The networks.
        discriminators: By modality; empty without an adversary.
        groups: What each of the phases trains, by its name.
        inputs: The training rows' features or pixels.
    """

    def __init__(
        self, dataset: RetrievalDataset, bits: int, s: SSAHSettings, seed: int, trunk: Trunk, runtime: Runtime
    ) -> None:
        train = dataset.train
        assert train.texts is not None
        self.words = train.texts.shape[1]
        self.inputs = training_inputs(train, trunk, runtime)
        with runtime.networks():
            self.backbone = None if dataset.has_features else trunk.build(seed, s.dropout)
            width = None if train.features is None else train.features.shape[1]
            classes, dim = dataset.classes, s.feature_dim
            self.labels = build_label_network(classes, bits, s.label_hidden, dim, seed)
            self.images = build_image_network(
                classes, bits, dim, seed, self.backbone, width, s.dropout, s.feature_layer
            )
            self.texts = build_text_network(self.words, classes, bits, s.text_hidden, dim, s.text_windows, seed)
            kinds = ("image", "text") if s.adversary_weight else ()
            self.discriminators = {kind: build_discriminator(kind, dim, s.discriminator_widths, seed) for kind in kinds}
            self.groups = self._groups(s)
        arrays = {"labels": train.labels.astype(np.float32), "inputs": self.inputs.plain}
        arrays["columns"], arrays["values"] = padded(train.texts)
        self._arrays = {name: resident(array) for name, array in arrays.items()}
        self._mirrored = None if self.inputs.flipped is None else resident(self.inputs.flipped)
        self._label_outputs = RowStream(runtime.strategy, lambda x: self.labels(x, training=False))

    def _groups(self, s: SSAHSettings) -> dict[str, list[VariableGroup]]:
        pretrained, new = split_variables(self.images, self.backbone)
        if s.pretrained_multiplier == 1.0:
            pretrained, new = [], [*pretrained, *new]
        parts = {"labels": self.labels.trainable_variables, "images": new, "texts": self.texts.trainable_variables}
        shared = build_optimizer(s.optimizer, [v for part in parts.values() for v in part], s.momentum)
        groups = {name: [VariableGroup(shared, part)] for name, part in parts.items()}
        if pretrained:
            own = build_optimizer(s.optimizer, pretrained, s.momentum)
            groups["images"].append(VariableGroup(own, pretrained, s.pretrained_multiplier))
        if self.discriminators:
            variables = [v for each in self.discriminators.values() for v in each.trainable_variables]
            groups["discriminators"] = [VariableGroup(build_optimizer(s.optimizer, variables, s.momentum), variables)]
        return groups

    @property
    def tracked(self) -> dict[str, object]:
        found: dict[str, object] = {"labels": self.labels, "images": self.images, "texts": self.texts}
        found |= {f"{kind}_discriminator": each for kind, each in self.discriminators.items()}
        optimizers = dict.fromkeys(group.optimizer for groups in self.groups.values() for group in groups)
        return found | {f"optimizer_{index}": optimizer for index, optimizer in enumerate(optimizers)}

    def rows(self, phase: str, names: Sequence[str], batch: int, seed: int, round_: int) -> TrainingRows:
        """The batches of a phase, of "labels" and what else is named: "inputs", "columns", "values"."""
        arrays = {name: self._arrays[name] for name in ("labels", *names)}
        flipped = {"inputs": self._mirrored} if self.inputs.mirrors and "inputs" in names else {}
        return TrainingRows(arrays, batch, seed, phase, round_, flipped)

    def label_codes(self, vectors: np.ndarray) -> np.ndarray:
        """int8 ±1 [v, K]: the label network's codes of label vectors [v, c]."""
        batches = (batch.astype(np.float32) for batch in array_batches(vectors, _LABEL_ROWS))
        return sign(joined(self._label_outputs(batches, _LABEL_ROWS))["logits"])
