"""DSAH, "Deep Semantic Asymmetric Hashing": our reconstruction of a poster without formulas or code.

The poster says that a label auto-encoder guides an asymmetric image network by constraints on features and on codes;
the network is trained by back-propagation, and the database's codes are optimised directly. Here the auto-encoder is
DSEH's LabNet on the distinct label vectors, the asymmetric network is that of ADSH, and the constraints are

    mu1 K^2 x mean over pairs of the likelihood of image features and LabNet's features (DSEH's eq. 12), and
    mu2 K m (sum_i |tanh z_i - h_i|^2 + sum_j |v_j - h_j|^2), h LabNet's code of a row's labels,

added to ADSH's objective. Their units are those of its terms: the squared error of a pair is of the order of K^2, and the
V-step's S^T U of K m. With mu1 = mu2 = 0 the method is bit-identical to ADSH.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.asymmetric.adsh import ADSH, ADSHRecipe, ADSHSettings
from dseh_tf.methods.dseh.label_codes import CodeTargets, LabelEmbedding, solve_label_codes, unit_rows
from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.methods.dseh.losses import labnet_loss
from dseh_tf.methods.dseh.networks import LabNet
from dseh_tf.methods.dseh.settings import DSEHSettings
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.models.layers import new_layer
from dseh_tf.seeding import layer_seed
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.recipe import Phase, Stage, Tensors, Terms, Work


@dataclass(frozen=True)
class DSAHSettings(ADSHSettings):
    """ADSH's settings, and ours for the label auto-encoder.

    Attributes:
        mu1: Weight of the feature constraint.
        mu2: Weight of the code constraint.
        feature_dim: Width of the semantic features of LabNet and, with mu1, of the image network.
        label_codes: What LabNet's codes learn: "solved" codes, as in DSEH's preset modern, or the likelihood of pairs
            ("labnet"), as in its release.
        labnet_steps: Steps of LabNet, which trains once, before the first round.
        labnet_batch: Distinct label vectors of a step.
        labnet_learning_rate: Learning rate of Adam.
    """

    mu1: float = 0.01
    mu2: float = 0.2
    feature_dim: int = 512
    label_codes: str = "solved"
    labnet_steps: int = 1000
    labnet_batch: int = 128
    labnet_learning_rate: float = 1e-3

    @property
    def guided(self) -> bool:
        return bool(self.mu1 or self.mu2)

    def labnet(self) -> DSEHSettings:
        """LabNet's architecture and loss: pairs of label vectors within a batch, and the reconstruction of the labels."""
        solved = self.label_codes == "solved"
        return DSEHSettings(
            feature_dim=self.feature_dim,
            pair_set="batch",
            labnet_feature_similarity=0.8,
            labnet_code_similarity=0.8,
            labnet_code_weight=0.0 if solved else 1.0,
            labnet_target_weight=1.0 if solved else 0.0,
            labnet_batch=self.labnet_batch,
            label_codes=self.label_codes,
        )


class DSAHRecipe(ADSHRecipe):
    """LabNet on the distinct label vectors, then ADSH's rounds with its constraints."""

    method: DSAH
    labnet: LabNet | None = None
    _taught = False

    def __init__(self, method: DSAH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = method.settings
        if s.guided:
            self.labnet = LabNet(dataset.classes, method.bits, s.labnet(), method.seed, runtime)
        super().__init__(method, dataset, runtime)

    def build_banks(self, runtime: Runtime) -> None:
        super().build_banks(runtime)
        if self.labnet:
            s = self.method.settings
            self.targets = LabelTargets(runtime.strategy, self.distinct, s.feature_dim, self.method.bits)

    @property
    def tracked(self) -> dict[str, object]:
        if not self.labnet:
            return super().tracked
        return super().tracked | self.labnet.tracked | self.targets.checkpointed()

    def spread(self) -> None:
        super().spread()
        if self.labnet:
            self.targets.spread()

    def stages(self) -> Iterator[Stage]:
        if self.labnet:
            yield Work("label_codes", 0, self.solve_label_codes)
            yield self.labnet_phase()
        yield from super().stages()

    def solve_label_codes(self) -> None:
        """Solves codes for LabNet to learn, if `label_codes` is "solved"."""
        if self.method.settings.label_codes != "solved":
            return
        vectors, train = self.distinct.vectors, self.dataset.train
        embedded = unit_rows(vectors)
        if train.features is not None:
            embedded = LabelEmbedding(train.features, train.labels)(vectors)
        codes = solve_label_codes(self.distinct, self.method.bits, CodeTargets(), embedded, seed=self.method.seed)
        self.targets.fill_codes(codes)

    def labnet_phase(self) -> Phase:
        """LabNet's steps, on one training row for each distinct label vector; few vectors are repeated to fill a batch."""
        labnet, s = self.labnet, self.method.settings
        assert labnet
        _, first = np.unique(self.distinct.index, return_index=True)
        subset = np.tile(first, -(-s.labnet_batch // len(first)))
        rows = TrainingRows(
            {"labels": self.shared["labels"]}, s.labnet_batch, self.method.seed, "labnet", 0, {}, subset
        )
        return Phase(
            name="labnet",
            round=0,
            rows=rows,
            epochs=math.ceil(s.labnet_steps / rows.epoch_steps),
            forward=lambda batch: labnet.network(batch["labels"], training=True),
            loss=partial(labnet_loss, s.labnet(), None, self.targets),
            groups=labnet.groups,
            learning_rate=lambda epoch: s.labnet_learning_rate,
        )

    def draw(self, round_: int) -> None:
        """Also makes LabNet's features and signs the constraints' constants, once in a session."""
        if self.labnet and not self._taught:
            learned = self.labnet.outputs(self.distinct.vectors)
            self.targets.fill(learned.features, learned.signs)
            self._taught = True
        super().draw(round_)

    def pull(self, sampled: int) -> np.ndarray | None:
        if not self.method.settings.mu2:
            return None
        return self.method.code_scale(sampled) * self.targets.codes_array().astype(np.float64)

    def fitted(self) -> ImageEncoder:
        encoder = super().fitted()
        encoder.labnet = self.labnet.network if self.labnet else None
        return encoder

    def loss(self, outputs: Tensors, batch: Tensors) -> Terms:
        terms = super().loss(outputs, batch)
        return terms | self.method.constraints(terms["total"], outputs, batch, self.targets) if self.labnet else terms


class DSAH(ADSH):
    """ADSH with LabNet's features and codes as constraints: `DSAH(bits=32, seed=0).fit(dataset)`."""

    name = "dsah"
    Settings = DSAHSettings
    CHOICES: ClassVar = {"label_codes": ("solved", "labnet")}
    LEAST: ClassVar = {**ADSH.LEAST, "feature_dim": 1, "labnet_batch": 1, "labnet_steps": 1}
    POSITIVE: ClassVar = ("labnet_learning_rate",)
    PUBLISHED: ClassVar = {
        "nus_wide": DSAHSettings(learning_rate=10**-4.5, decay=10 ** (-1.5 / 149)),
        "imagenet": DSAHSettings(),
        "ms_coco": DSAHSettings(),
    }
    Recipe: ClassVar = DSAHRecipe

    def head(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """With mu1 the layers of DSEH's ImgNet: linear units to hash from, whose ReLU is the semantic feature."""
        if not self.settings.mu1:
            return super().head(x)
        units = new_layer(self.settings.feature_dim, "fc8", layer_seed(self.seed, "fc8"), dtype="float32")(x)
        feature = keras.layers.Activation("relu", name="feature", dtype="float32")(units)
        return {**super().head(units), "feature": feature}

    def code_scale(self, sampled: int) -> float:
        """What multiplies the squared distances from LabNet's codes: mu2 K m."""
        return self.settings.mu2 * self.bits * sampled

    def constraints(self, total: tf.Tensor, outputs: Tensors, batch: Tensors, targets: LabelTargets) -> Terms:
        """The constraints whose weight is not 0, and "total" with them, in the loss of a batch.

        Args:
            total: ADSH's loss of the batch, which is divided by n and by the rows that count.
            outputs: "logits" [B, K], with mu1 also "feature" [B, d].
            batch: As in `ADSH.loss`.
            targets: LabNet's features and codes.

        Returns:
            "total"; "label_features", the mean over pairs; "label_codes", the sum over bits, a mean over rows.
        """
        s, mask, found = self.settings, batch["counted"][:, None], {}
        rows = tf.reduce_sum(mask)
        if s.mu1:
            likelihood = targets.likelihood(batch["rows"], batch["labels"], mask * outputs["feature"], 0.5, 0.999)
            empty = math.log(2.0) * (float(s.batch) - rows) * targets.rows  # theta = 0 of rows that do not count
            found["label_features"] = (likelihood - empty) / (targets.rows * rows)
            total += s.mu1 * self.bits**2 * found["label_features"]
        if s.mu2:
            u, codes = tf.tanh(outputs["logits"]), targets.codes_of(batch["rows"])
            found["label_codes"] = losses.code_regression(mask * u, mask * codes) / rows
            total += self.code_scale(s.sample) / targets.rows * found["label_codes"]
        return {"total": total, **found}
