"""SSAH: Li, Deng, Li, Liu, Gao, Tao, "Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval", CVPR 2018.

Release: lelan-li/SSAH at 8780b20. Its discriminators have no effect on the networks: their loss is computed from
features that are fed as values, so no gradient reaches a network. The preset `release` therefore has no discriminators.
In `paper` they work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any

import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.label_vectors import check_similarities, distinct_rows
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.text import TextEncoder
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.errors import InputError
from dseh_tf.methods.cross_modal.fitted import CrossModalEncoder, check_texts
from dseh_tf.methods.cross_modal.ssah_losses import discriminator_loss, memory_pairs, network_loss
from dseh_tf.methods.cross_modal.ssah_networks import Networks
from dseh_tf.methods.cross_modal.ssah_settings import PAIR_LOSSES, PRESETS, SSAHSettings, trunk_changes
from dseh_tf.methods.deep.settings import OPTIMIZERS
from dseh_tf.methods.settings import Layer, check_choices, check_numbers
from dseh_tf.methods.trained import TrainedMethod
from dseh_tf.models.textnet import dense_texts
from dseh_tf.retrieval import code_health
from dseh_tf.seeding import bank_seed
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.recipe import Phase, Recipe, Stage, Tensors, Terms, Work
from dseh_tf.training.trainer import Trainer

ADVICE = "try smaller learning rates, fewer rounds, or another weight of the features (feature_weight)"


class SSAHRecipe(Recipe[CrossModalEncoder]):
    """In every round, the label network learns from labels and its banks, and then images and texts learn from these
    banks.

    The banks store the latest features and codes of the label network for each training row. They are random before the
    first round, and are never reset (lelan-li/SSAH:SSAH.py:train_lab_net).
    """

    def __init__(self, method: SSAH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = self.settings = method.settings
        self.seed, self.train = method.seed, dataset.train
        self.distinct = distinct_rows(dataset.train.labels)
        check_similarities(self.distinct)
        self.networks = Networks(dataset, method.bits, s, self.seed, method.trunk, runtime)
        text_encoder = TextEncoder(self.networks.texts, dataset.vocabulary, runtime)
        images, backbone = self.networks.images, self.networks.backbone
        self.encoder = CrossModalEncoder(method.bits, images, backbone, text_encoder, runtime)
        self.memory = SemanticMemory(runtime.strategy, dataset.train.labels, s.feature_dim, method.bits)
        self.trainer = Trainer(runtime, self.tracked, self.seed, self.spread)

    @property
    def tracked(self) -> dict[str, object]:
        return {**self.networks.tracked, **self.memory.checkpointed()}

    def spread(self) -> None:
        self.memory.spread()

    def stages(self) -> Iterator[Stage]:
        s, networks = self.settings, self.networks
        yield Work("banks", 0, lambda: self.memory.fill_normal(bank_seed(self.seed, 0)))
        for round_ in range(s.rounds):
            yield self.phase("labels", round_, (), s.label_passes, s.label_stages, s.label_learning_rate)
            if networks.discriminators:
                passes, stages, rate = s.discriminator_passes, s.discriminator_stages, s.discriminator_learning_rate
                read = ("inputs", "columns", "values")
                yield self.phase("discriminators", round_, read, passes, stages, rate)
            yield self.phase("images", round_, ("inputs",), s.passes, s.stages, s.learning_rate)
            yield self.phase("texts", round_, ("columns", "values"), s.text_passes, s.stages, s.text_learning_rate)

    def phase(self, name: str, round_: int, read: Iterable[str], passes: int, stages: int, rate: float) -> Phase:
        """All stages of a network in a round.

        Args:
            name: "labels", "discriminators", "images" or "texts".
            round_: From 0.
            read: What the networks read in addition to labels.
            passes: Number of passes of the first stage, as `SSAHSettings.label_passes`.
            stages: Their number.
            rate: Learning rate of the first stage of round 0.
        """
        s = self.settings
        ends = list(accumulate(stage_passes(passes, stages)))

        def learning_rate(epoch: int) -> float:
            stage = sum(epoch >= end for end in ends[:-1])
            return rate * 10.0 ** (-s.decay * (round_ + stage))

        forward = {
            "labels": self.label_outputs,
            "discriminators": self.source_logits,
            "images": self.image_outputs,
            "texts": self.text_outputs,
        }[name]
        return Phase(
            name=name,
            round=round_,
            rows=self.networks.rows(name, tuple(read), s.batch, self.seed, round_),
            epochs=ends[-1],
            forward=forward,
            loss=self.source_loss if name == "discriminators" else partial(self.loss, name),
            groups=self.networks.groups[name],
            learning_rate=learning_rate,
            private=("inputs", "columns", "values"),
        )

    def label_outputs(self, batch: Tensors) -> Tensors:
        return coded(self.networks.labels(batch["labels"], training=True))

    def image_outputs(self, batch: Tensors) -> Tensors:
        return self.judged("image", coded(self.networks.images(batch["inputs"], training=True)))

    def text_outputs(self, batch: Tensors) -> Tensors:
        texts = dense_texts(batch["columns"], batch["values"], self.networks.words)
        return self.judged("text", coded(self.networks.texts(texts, training=True)))

    def judged(self, kind: str, outputs: Tensors) -> Tensors:
        """The outputs, with a discriminator's logits of the features if there is one."""
        discriminator = self.networks.discriminators.get(kind)
        return outputs if discriminator is None else {**outputs, "source": discriminator(outputs["feature"])}

    def source_logits(self, batch: Tensors) -> Tensors:
        """The logits of both discriminators for a batch's features, and for the label network's."""
        networks = self.networks
        texts = dense_texts(batch["columns"], batch["values"], networks.words)
        features = {
            "image": networks.images(batch["inputs"], training=False)["feature"],
            "text": networks.texts(texts, training=False)["feature"],
        }
        labels = networks.labels(batch["labels"], training=False)["feature"]
        found = {}
        for kind, discriminator in networks.discriminators.items():
            found[kind], found[f"{kind}_labels"] = discriminator(features[kind]), discriminator(labels)
        return found

    def loss(self, name: str, outputs: Tensors, batch: Tensors) -> Terms:
        """A network's loss. The label network's banks get the batch's rows first."""
        if name == "labels":
            self.memory.write(batch["rows"], {each: outputs[each] for each in ("feature", "code")})
        pairs = memory_pairs(self.settings, self.memory, batch["labels"])
        return network_loss(self.settings, pairs, outputs, batch["labels"], outputs.get("source"))

    def source_loss(self, outputs: Tensors, _: Tensors) -> Terms:
        return discriminator_loss(outputs)

    def fitted(self) -> CrossModalEncoder:
        encoder, networks = self.encoder, self.networks
        encoder.train_seconds, encoder.traces, encoder.advice = self.trainer.seconds, self.trainer.traces, ADVICE
        encoder.labnet = networks.labels
        label_codes = networks.label_codes(self.distinct.vectors)
        encoder.health["labnet"] = code_health(label_codes, self.distinct.vectors)
        encoder.measure_health(networks.inputs.plain, self.train)
        self.trainer.summaries.flush()
        return encoder


def coded(outputs: Tensors) -> Tensors:
    """A network's outputs with "code", the tanh of its logits, in their place."""
    return {"feature": outputs["feature"], "code": tf.tanh(outputs["logits"]), "label": outputs["label"]}


def stage_passes(passes: int, stages: int) -> list[int]:
    """Passes of each stage: 15 in 3 stages are 15, 7 and 5; each stage has at least one."""
    return [max(1, passes // (stage + 1)) for stage in range(stages)]


class SSAH(TrainedMethod[SSAHRecipe, CrossModalEncoder]):
    """Codes for images and texts, learned from the codes of labels: `SSAH(bits=32, seed=0).fit(dataset)`."""

    name = "ssah"
    Settings = SSAHSettings
    OPTIONS = ("trunk", "preset")
    Recipe = SSAHRecipe
    needs_texts = True

    def __init__(
        self, bits: int, seed: int = 0, preset: str | None = None, trunk: Trunk | None = None, **settings: Any
    ) -> None:
        """Checks the settings.

        Args:
            bits: Code length K.
            seed: Seed of weights, banks, batches and augmentation.
            preset: "paper" (the default) or "release".
            trunk: The backbone of the image network, if the data set has images and no features.
            **settings: Fields of `SSAHSettings`.
        """
        if preset not in (None, *PRESETS):
            raise InputError(f"preset: found {preset!r}, expected one of {', '.join(PRESETS)}")
        self.preset, self.trunk = preset or "paper", trunk or Trunk()
        super().__init__(bits, seed, **settings)

    def published(self) -> tuple[SSAHSettings, str]:
        return PRESETS[self.preset], f"preset {self.preset}"

    def layers(self, features: bool) -> Iterable[Layer]:
        kind = "features" if features else self.trunk.kind
        yield Layer(f"trunk: {kind}", trunk_changes(kind))

    def checked(self, settings: SSAHSettings) -> SSAHSettings:
        check_choices(settings, {"optimizer": OPTIMIZERS, "pair_loss": PAIR_LOSSES})
        counts = ("batch", "rounds", "label_passes", "label_stages", "passes", "text_passes", "stages",
                  "discriminator_passes", "discriminator_stages", "feature_dim", "label_hidden", "text_hidden",
                  "text_windows", "discriminator_widths")  # fmt: skip
        rates = ("learning_rate", "label_learning_rate", "text_learning_rate", "discriminator_learning_rate")
        check_numbers(settings, dict.fromkeys(counts, 1), ("dropout", "momentum"), rates)
        return settings

    def config(self) -> dict[str, Any]:
        return {"preset": self.preset}

    def check_data(self, dataset: RetrievalDataset) -> None:
        check_texts(dataset, self.name)
