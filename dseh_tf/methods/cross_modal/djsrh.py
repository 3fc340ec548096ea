"""DJSRH: Su, Zhong, Zhang, "Deep Joint-Semantics Reconstructing Hashing for Large-Scale Unsupervised Cross-Modal Retrieval",
ICCV 2019. Release: zs-zhong/DJSRH at 6041c2d. No label is read in training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data import ArrayImages, RetrievalDataset
from dseh_tf.data.texts import padded
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.features import TrunkFeatures
from dseh_tf.encoding.text import TextEncoder
from dseh_tf.errors import InputError
from dseh_tf.methods.cross_modal.fitted import CrossModalEncoder, check_texts
from dseh_tf.methods.cross_modal.settings import ABLATIONS, ALPHAS, PUBLISHED, DJSRHSettings, trunk_changes
from dseh_tf.methods.deep.settings import OPTIMIZERS
from dseh_tf.methods.image_encoder import TrainingInputs, training_inputs
from dseh_tf.methods.settings import Layer, check_choices, check_numbers
from dseh_tf.methods.trained import PublishedMethod
from dseh_tf.models.backbones import Backbone
from dseh_tf.models.layers import linear_layer
from dseh_tf.models.textnet import build_textnet, dense_texts
from dseh_tf.models.trunks import split_variables, trunk_outputs
from dseh_tf.seeding import layer_seed
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.optimizers import VariableGroup, build_optimizer
from dseh_tf.training.recipe import Phase, Recipe, Stage, Tensors, Terms
from dseh_tf.training.trainer import Trainer

ADVICE = "try a smaller learning_rate, or other weights of the affinity (beta, eta, mu)"


class DJSRHRecipe(Recipe[CrossModalEncoder]):
    """One phase: both networks learn codes whose cosines are the joint affinity of the batch."""

    def __init__(self, method: DJSRH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = self.settings = method.settings
        self.seed, self.train = method.seed, dataset.train
        self.inputs = training_inputs(dataset.train, method.trunk, runtime)
        assert self.train.texts is not None
        self.words = self.train.texts.shape[1]
        with runtime.networks():
            backbone = None if dataset.has_features else method.trunk.build(method.seed, s.dropout)
            width = None if self.train.features is None else self.train.features.shape[1]
            self.images = build_image_network(method, backbone, width)
            self.texts = build_textnet(self.words, method.bits, s.text_hidden, method.seed)
            pretrained, new = split_variables(self.images, backbone)
            rate = s.text_learning_rate / s.learning_rate
            parts = ((new, 1.0), (pretrained, s.pretrained_multiplier), (self.texts.trainable_variables, rate))
            self.groups = [
                VariableGroup(build_optimizer(s.optimizer, variables, s.momentum), variables, multiplier)
                for variables, multiplier in parts
                if variables
            ]
        text_encoder = TextEncoder(self.texts, dataset.vocabulary, runtime)
        self.encoder = CrossModalEncoder(method.bits, self.images, backbone, text_encoder, runtime)
        self.affinity = affinity_features(self.inputs, method, runtime)
        self.trainer = Trainer(runtime, self.tracked, method.seed, self.spread)

    @property
    def tracked(self) -> dict[str, object]:
        optimizers = {f"optimizer_{index}": group.optimizer for index, group in enumerate(self.groups)}
        return {"images": self.images, "texts": self.texts, **optimizers}

    def stages(self) -> Iterator[Stage]:
        s, inputs = self.settings, self.inputs
        columns, values = padded(self.train.texts)
        arrays = {"inputs": inputs.plain, "affinity": self.affinity.plain, "columns": columns, "values": values}
        flipped = {"inputs": inputs.flipped, "affinity": self.affinity.flipped} if inputs.mirrors else {}
        rows = TrainingRows(arrays, s.batch, self.seed, "djsrh", 0, flipped)
        self._epoch_steps = max(1, rows.rows // s.batch)
        yield Phase(
            name="djsrh",
            round=0,
            rows=rows,
            epochs=s.epochs,
            forward=self.forward,
            loss=self.loss,
            groups=self.groups,
            learning_rate=lambda _: s.learning_rate,
        )

    def forward(self, batch: Tensors) -> Tensors:
        texts = dense_texts(batch["columns"], batch["values"], self.words)
        return {
            "image": self.images(batch["inputs"], training=True)["logits"],
            "text": self.texts(texts, training=True)["logits"],
        }

    def loss(self, outputs: Tensors, batch: Tensors) -> Terms:
        """lambda_image L(B_I, B_I) + L(B_I, B_T) + lambda_text L(B_T, B_T), and the weight decay."""
        s = self.settings
        texts = dense_texts(batch["columns"], batch["values"], self.words)
        affinity = losses.joint_affinity(batch["affinity"], texts, s.beta, s.eta, s.mu)
        alpha = self.alpha(batch["step"])
        images, words = (tf.tanh(alpha * outputs[name]) for name in ("image", "text"))
        parts = losses.reconstruction_losses(images, words, affinity)
        total = s.lambda_image * parts.image_image + parts.image_text + s.lambda_text * parts.text_text
        if s.weight_decay:
            variables = [variable for group in self.groups for variable in group.variables]
            total += s.weight_decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in variables])
        return {"total": total, **parts._asdict()}

    def alpha(self, step: tf.Tensor) -> tf.Tensor:
        """What the logits are multiplied by before tanh in a step of the phase."""
        if self.settings.alpha == "fixed":
            return tf.constant(1.0)
        return tf.sqrt(tf.cast(step // self._epoch_steps + 1, tf.float32))

    def fitted(self) -> CrossModalEncoder:
        encoder = self.encoder
        encoder.train_seconds, encoder.traces, encoder.advice = self.trainer.seconds, self.trainer.traces, ADVICE
        encoder.measure_health(self.inputs.plain, self.train)
        self.trainer.summaries.flush()
        return encoder


def build_image_network(method: DJSRH, backbone: Backbone | None, features: int | None) -> keras.Model:
    """Trunk and one layer of K outputs: to {"logits": float32 [b, K]}."""
    s = method.settings
    inputs, x = trunk_outputs(s.dropout, s.feature_layer, method.seed, backbone, features)
    logits = linear_layer(method.bits, x.shape[-1], "hash", layer_seed(method.seed, "image_hash"))(x)
    return keras.Model(inputs, {"logits": logits}, name="djsrh")


def affinity_features(inputs: TrainingInputs, method: DJSRH, runtime: Runtime) -> TrainingInputs:
    """The features for the image affinity: the training features, or those of a frozen copy of the backbone.

    The copy has the initial weights of the backbone. If training images are mirrored, the affinity of a batch is that
    of the mirrored images, as in the release, whose frozen network reads the batch.
    """
    plain, flipped = inputs.plain, inputs.flipped
    if plain.ndim == 4:
        with runtime.networks():
            frozen = TrunkFeatures(
                replace(method.trunk, train=False, train_from=None).build(method.seed), runtime.strategy
            )
        images = ArrayImages(plain)
        plain = np.concatenate(list(frozen(images, False, "affinity", runtime.progress)))
        if inputs.mirrors:
            flipped = np.concatenate(list(frozen(images, True, "affinity, mirrored", runtime.progress)))
    if method.settings.centre_features:
        mean = plain.mean(axis=0)
        plain, flipped = plain - mean, None if flipped is None else flipped - mean
    return TrainingInputs(plain, flipped, inputs.mirrors)


class DJSRH(PublishedMethod[DJSRHRecipe, CrossModalEncoder]):
    """Unsupervised codes for images and texts: `DJSRH(bits=32, seed=0).fit(dataset)`.

    Attributes:
        PRESET_ROWS: The row of `PUBLISHED` of a data set, by its name in the catalog.
    """

    name = "djsrh"
    Settings = DJSRHSettings
    PUBLISHED, ROWS = PUBLISHED, tuple(PUBLISHED)
    PRESET_ROWS = {"nus_wide_10": "nus_wide", "mirflickr25k": "mirflickr25k", "wikipedia": "wikipedia"}  # noqa: RUF012
    Recipe = DJSRHRecipe
    needs_texts = True

    def layers(self, features: bool) -> Iterable[Layer]:
        kind = "features" if features else self.trunk.kind
        yield Layer(f"trunk: {kind}", trunk_changes(kind))
        ablation = self.given.get("ablation", "full")
        yield Layer(f"ablation: {ablation}", ABLATIONS.get(ablation, {}) if isinstance(ablation, str) else {})

    def checked(self, settings: DJSRHSettings) -> DJSRHSettings:
        check_choices(settings, {"optimizer": OPTIMIZERS, "alpha": ALPHAS, "ablation": tuple(ABLATIONS)})
        positive = ("learning_rate", "text_learning_rate", "mu", "text_hidden")
        check_numbers(settings, {"batch": 2}, ("dropout", "momentum"), positive)
        for name in ("beta", "eta"):
            if getattr(settings, name) > 1:
                raise InputError(f"{name}: found {getattr(settings, name)}, expected a weight of at most 1")
        return settings

    def config(self) -> dict[str, Any]:
        """The row of the ablation is recorded as `preset`: tables tell runs apart by it."""
        return {**super().config(), "preset": self.settings.ablation}

    def check_data(self, dataset: RetrievalDataset) -> None:
        check_texts(dataset, self.name)
