"""DSEH: Li et al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018. Release: lelan-li/DSEH at b40990a."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from absl import logging

from dseh_tf import losses
from dseh_tf.data import RetrievalDataset
from dseh_tf.data.label_vectors import check_similarities, distinct_rows
from dseh_tf.devices.replicas import RowStream, gather, joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method, check_numbers, training_split
from dseh_tf.methods.dseh import presets
from dseh_tf.methods.dseh.alternating import Outputs, alternate
from dseh_tf.methods.dseh.label_codes import CodeTargets, LabelEmbedding, solve_label_codes, unit_rows
from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.methods.dseh.presets import DSEHSettings
from dseh_tf.methods.image_encoder import ImageEncoder, Trunk, training_inputs
from dseh_tf.models.imgnet import build_imgnet, has_feature, split_variables
from dseh_tf.models.labnet import build_labnet
from dseh_tf.retrieval import evaluate, sign
from dseh_tf.retrieval.health import CodeHealth, code_health
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.batches import TrainingRows, array_batches
from dseh_tf.training.health_watch import HealthWatch
from dseh_tf.training.trainer import Phase, Trainer, VariableGroup, build_optimizer

ADVICE = "try --preset=modern, a larger labnet_code_similarity and labnet_feature_similarity, or smaller learning rates"

# Of the terms of LabNet's loss and of ImgNet's.
_WEIGHTS = (
    ("labnet_feature_weight", "labnet_code_weight", "labnet_target_weight", "quantization_weight", "label_weight"),
    ("imgnet_feature_weight", "imgnet_code_weight"),
)


class DSEH(Method):
    """LabNet and ImgNet, trained in turns.

    preset: "release", "paper" or "modern". preset_dataset: whose row of it. Without either the preset is `other_data_preset`;
    with a preset_dataset alone it is "release". `release` and `paper` without a preset_dataset are NUS-WIDE's row as
    `presets.for_other_data` changes it. Keyword settings override single ones. trunk: ImgNet's network below its own
    layers, used where the data set has images and no features. phases: "all", or "labnet" for the label side of round 0
    alone.
    """

    # Of data without published settings. The ablations of Table 2 are of the release's DSEH.
    other_data_preset: ClassVar[str] = "modern"
    name = "dseh"
    Settings = DSEHSettings
    trains_network = True
    has_presets = True

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        preset: str | None = None,
        preset_dataset: str | None = None,
        trunk: Trunk | None = None,
        phases: str = "all",
        **settings: Any,
    ) -> None:
        super().__init__(bits, seed, **settings)
        preset = preset or ("release" if preset_dataset else self.other_data_preset)
        if preset not in presets.PRESETS:
            raise InputError(f"preset: found {preset!r}, expected one of {', '.join(presets.PRESETS)}")
        if preset_dataset not in (None, *presets.ROWS):
            raise InputError(f"preset_dataset: found {preset_dataset!r}, expected one of {', '.join(presets.ROWS)}")
        if phases not in ("all", "labnet"):
            raise InputError(f"phases: found {phases!r}, expected all or labnet")
        self.preset, self.preset_dataset = preset, preset_dataset or "nus_wide"
        self._published = preset_dataset is not None
        self.trunk = trunk or Trunk()
        self.phases = phases
        self._given = settings
        self.settings = self._resolved(self.trunk.kind)

    def fit(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> ImageEncoder:
        """Trains on `dataset.train`; query and database rows are only reported on, after each round."""
        training_split(dataset)
        settings = self._resolved("features") if dataset.has_features else self.settings
        return _Training(self, settings, dataset, runtime or Runtime()).run()

    def _resolved(self, trunk: str) -> DSEHSettings:
        """The preset for that kind of trunk, with the settings that were given."""
        base = presets.PRESETS[self.preset][self.preset_dataset]
        if not self._published and self.preset != "modern":
            base = presets.for_other_data(base)
        base = presets.for_trunk(base, trunk)
        if "imgnet_epochs" in self._given:  # a number of epochs that is asked for is what it says
            base = replace(base, imgnet_least_steps=0)
        base = _over_given_rounds(base, self._given)
        return _checked(replace(base, **{**self.changes(base), **self._given}), self.phases)

    def changes(self, settings: DSEHSettings) -> dict[str, Any]:
        """What a variant's settings differ in from `settings`, DSEH's own, by name."""
        return {}


def _over_given_rounds(settings: DSEHSettings, given: Mapping[str, Any]) -> DSEHSettings:
    """Epochs of the preset over as many rounds as given ones: cut, or the last number repeated."""
    names = ("labnet_epochs", "imgnet_epochs")
    counts = {len(given[name]) for name in names if name in given}
    if len(counts) != 1:
        return settings
    (count,) = counts
    preset = {name: getattr(settings, name) for name in names}
    return replace(settings, **{name: (epochs + epochs[-1:] * count)[:count] for name, epochs in preset.items()})


def _checked(settings: DSEHSettings, phases: str) -> DSEHSettings:
    """The settings as they are used, or InputError for one that is none of its choices."""
    choices = {
        "feature_activation": ("relu", "linear", "tanh"),
        "hash_input": ("pre_activation", "feature", "trunk"),
        "label_head": ("sigmoid", "linear"),
        "pair_set": ("bank", "batch"),
        "normalization": ("mean", "rows"),
        "quantization_reduction": ("mean", "sum"),
        "optimizer": ("adam", "sgd"),
        "imgnet_schedule": ("steps", "cosine"),
        "label_codes": ("labnet", "solved"),
        "bank_reinit": ("imgnet", "keep", "random"),
    }
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"{name}: found {getattr(settings, name)!r}, expected one of {', '.join(allowed)}")
    least = {"labnet_batch": 1, "imgnet_batch": 1, "decay_epochs": 1}
    least |= {"labnet_width": 1, "feature_dim": 1}
    positive = ("labnet_learning_rate", "imgnet_learning_rate", "theta_scale", "logit_scale")
    check_numbers(settings, least, ("dropout", "momentum", "code_distance"), positive)
    if settings.labnet_target_weight and settings.label_codes != "solved":
        raise InputError(
            f"labnet_target_weight: found {settings.labnet_target_weight} with label_codes={settings.label_codes}, expected solved"
        )
    for terms in _WEIGHTS:
        if not any(getattr(settings, name) for name in terms):
            raise InputError(f"{', '.join(terms)}: found 0 in all, expected another number in one")
    if not settings.labnet_epochs:
        raise InputError("labnet_epochs: found 0 rounds, expected at least 1")
    if phases == "labnet":  # later rounds differ from more epochs only by ImgNet's rows in the memory
        settings = replace(settings, labnet_epochs=settings.labnet_epochs[:1], imgnet_epochs=())
    elif len(settings.imgnet_epochs) != len(settings.labnet_epochs):
        raise InputError(
            f"imgnet_epochs: found {len(settings.imgnet_epochs)} rounds, expected {len(settings.labnet_epochs)} as labnet_epochs"
        )
    if (
        settings.rounds > 1
        and _reads_banks(settings)
        and settings.bank_reinit == "imgnet"
        and not has_feature(settings)
    ):
        raise InputError(
            "bank_reinit: found imgnet where ImgNet learns no semantic feature (hash_input=trunk, imgnet_feature_weight=0), "
            "expected keep or random"
        )
    return settings


def _reads_banks(settings: DSEHSettings) -> bool:
    """Whether a term of LabNet's loss reads its memory banks."""
    return settings.pair_set == "bank" and bool(settings.labnet_feature_weight or settings.labnet_code_weight)


class _Training:
    """One fit: the networks, their losses and optimisers, and what `alternate` asks for."""

    def __init__(self, method: DSEH, settings: DSEHSettings, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = self.settings = settings
        self.method, self.dataset, self.runtime = method, dataset, runtime
        self.bits, self.seed = method.bits, method.seed
        self.rounds = s.rounds
        self.bank_reinit = s.bank_reinit if _reads_banks(s) else "keep"
        self.images = method.phases == "all"
        self.strategy = runtime.strategy
        self.labels = dataset.train.labels.astype(np.float32)
        self.distinct = distinct_rows(dataset.train.labels)
        check_similarities(self.distinct)
        with runtime.networks():
            self.labnet = build_labnet(dataset.classes, self.bits, s, self.seed)
            self.labnet_optimizer = build_optimizer(s.optimizer, self.labnet.trainable_variables, s.momentum)
            tracked: dict[str, Any] = {"labnet": self.labnet, "labnet_optimizer": self.labnet_optimizer}
            if self.images:
                self.inputs = training_inputs(dataset.train, method.trunk, runtime)
                backbone = None if dataset.has_features else method.trunk.build(self.seed, s.dropout)
                width = dataset.train.features.shape[1] if dataset.has_features else None
                subtracts = backbone is not None and backbone.mean is not None
                if not s.bank_reinit_mean_subtract and not subtracts:
                    raise InputError(
                        "bank_reinit_mean_subtract: found False, but this trunk subtracts no mean image from what trains, "
                        "expected True, or cnn_f fine-tuned on images"
                    )
                self.imgnet = build_imgnet(self.bits, s, self.seed, backbone, width)
                pretrained, new = split_variables(self.imgnet, backbone)
                self.imgnet_groups = [
                    VariableGroup(build_optimizer(s.optimizer, group, s.momentum), group, multiplier, s.imgnet_clip)
                    for group, multiplier in ((new, 1.0), (pretrained, s.pretrained_multiplier))
                    if group
                ]
                tracked["imgnet"] = self.imgnet
                tracked |= {f"imgnet_optimizer_{i}": g.optimizer for i, g in enumerate(self.imgnet_groups)}
                self.encoder = ImageEncoder(self.bits, self.imgnet, backbone, runtime)
        # Not in the scope, which would mirror each replica's copy of the banks onto all replicas.
        dim, bits = (s.feature_dim, self.bits) if _reads_banks(s) else (0, 0)
        self.memory = SemanticMemory(self.strategy, dataset.train.labels, dim, bits)
        self.targets = LabelTargets(self.strategy, self.distinct, s.feature_dim, self.bits)
        tracked |= self.memory.checkpointed()
        if s.label_codes == "solved":
            tracked |= self.targets.checkpointed()
        self.trainer = Trainer(runtime, tracked, self.seed, self._spread)
        self._label_forward = RowStream(self.strategy, lambda x: self.labnet(x, training=False))
        self.watch = HealthWatch(ADVICE)

    def run(self) -> ImageEncoder:
        rounds = alternate(self, self.trainer, self.memory, self.targets, self.seed, logging.info)
        fitted = self.encoder if self.images else ImageEncoder(self.bits, None, None, self.runtime)
        fitted.train_seconds = self.trainer.seconds
        last = {k: v for k, v in rounds[-1].items() if k not in ("round", "map")}
        fitted.results = {"rounds": rounds, **last}
        if self.trainer.notes.get("label_epochs"):
            fitted.results["label_epochs"] = self.trainer.notes["label_epochs"]
        fitted.traces = self.trainer.traces
        fitted.labnet = self.labnet
        labels = self.labnet_outputs()
        fitted.advice, fitted.health["labnet"] = ADVICE, self._labnet_health(labels)
        labnet = labels.features.astype(np.float16)[self.distinct.index]
        features = {"labnet": labnet, "train_ids": self.dataset.train.ids}
        if self.images:
            images = self.imgnet_outputs()
            fitted.health["train"] = self._imgnet_health(images)
            features["imgnet"] = images.features.astype(np.float16)
        fitted.arrays["semantic_features"] = features
        self.trainer.summaries.flush()
        return fitted

    def _spread(self) -> None:
        """After a restore, on every replica."""
        self.memory.spread()
        self.targets.spread()

    # Phases

    def open_round(self, round_: int) -> None:
        """Solves the label codes that both networks learn, once, where `label_codes` says so."""
        s = self.settings
        if s.label_codes != "solved" or round_:
            return
        if self.images and self.dataset.has_features:
            embedded = LabelEmbedding(self.dataset.train.features, self.dataset.train.labels)(self.distinct.vectors)
        else:  # no image is known before training: near are vectors with many labels in common
            embedded = unit_rows(self.distinct.vectors)
        wanted = CodeTargets(s.code_similarity, s.code_affinity, s.code_distance, s.code_class_balance)
        self.targets.fill_codes(solve_label_codes(self.distinct, self.bits, wanted, embedded, seed=self.seed))

    def labnet_phase(self, round_: int) -> Phase:
        s = self.settings
        every = self.runtime.label_report_epochs

        def on_epoch(done: int) -> None:
            if every and done % every == 0:
                with self.trainer.aside():
                    found = self._label_numbers()
                self.trainer.notes.setdefault("label_epochs", []).append({"round": round_, "epoch": done, **found})
                logging.info("round %d, epoch %d: %s", round_, done, found)
            with self.trainer.aside():
                self.watch.check(phase, done, self._labnet_health(self.labnet_outputs()), label_codes=True)

        phase = Phase(
            name="labnet",
            round=round_,
            rows=TrainingRows({"labels": self.labels}, s.labnet_batch, self.seed, "labnet", round_, {}),
            epochs=s.labnet_epochs[round_],
            loss=self.labnet_loss,
            groups=[
                VariableGroup(
                    self.labnet_optimizer, self.labnet.trainable_variables, 1.0, s.labnet_clip, s.labnet_clip_norm
                )
            ],
            learning_rate=lambda epoch: s.labnet_learning_rate * self._decay(epoch, round_),
            on_epoch=on_epoch,
        )
        return phase

    def imgnet_phase(self, round_: int) -> Phase:
        s = self.settings
        arrays = {"inputs": self.inputs.plain, "labels": self.labels}
        return Phase(
            name="imgnet",
            round=round_,
            rows=TrainingRows(
                arrays,
                s.imgnet_batch,
                self.seed,
                "imgnet",
                round_,
                {"inputs": self.inputs.flipped} if self.inputs.mirrors else {},
            ),
            epochs=self._imgnet_epochs(round_),
            loss=self.imgnet_loss,
            groups=self.imgnet_groups,
            learning_rate=lambda epoch: s.imgnet_learning_rate * self._imgnet_decay(epoch, round_),
        )

    def _decay(self, epoch: int, round_: int) -> float:
        """10^-(idx / 2), idx = floor(epoch / 10) + round, as lelan-li/DSEH:DSEH.py has it."""
        return 10.0 ** (-0.5 * (epoch // self.settings.decay_epochs + round_))

    def _imgnet_epochs(self, round_: int) -> int:
        s = self.settings
        steps = max(1, len(self.labels) // s.imgnet_batch)
        return max(s.imgnet_epochs[round_], math.ceil(s.imgnet_least_steps / steps)) if s.imgnet_epochs[round_] else 0

    def _imgnet_decay(self, epoch: int, round_: int) -> float:
        if self.settings.imgnet_schedule == "steps":
            return self._decay(epoch, round_)
        done = (epoch + 0.5) / self._imgnet_epochs(round_)
        return 10.0 ** (-0.5 * round_) * 0.5 * (1.0 + math.cos(math.pi * done))

    # Losses, each this replica's share of the global batch's

    def labnet_loss(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Equation 11: alpha J1 + J2 + beta J3 + gamma J4."""
        s, labels = self.settings, batch["labels"]
        size = s.labnet_batch
        out = self.labnet(labels, training=True)
        weights = {
            "feature": s.labnet_feature_weight,
            "code": s.labnet_code_weight,
            "target": s.labnet_target_weight,
            "quantization": s.quantization_weight,
            "label": s.label_weight,
        }
        pairs = self._labnet_pairs(out, batch)
        terms = {
            "feature": lambda: pairs("feature", s.labnet_feature_similarity),
            "code": lambda: pairs("code", s.labnet_code_similarity),
            "target": lambda: (
                losses.code_regression(out["code"], self.targets.codes_of(batch["rows"])) / (size * self.bits)
            ),
            "quantization": lambda: losses.absolute_distance(out["code"], s.quantization_reduction) / size,
            "label": lambda: losses.label_regression(out["label"], labels) / (size * labels.shape[1]),
        }
        return _weighted(weights, terms, self._batch_factor(size))

    def _labnet_pairs(
        self, out: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
    ) -> Callable[[str, float], tf.Tensor]:
        """LabNet's J1 ("feature") and J2 ("code"), means over their pairs, by output and what multiplies S."""
        s, labels = self.settings, batch["labels"]
        if s.pair_set == "bank":
            read = {name for name in ("feature", "code") if getattr(s, f"labnet_{name}_weight")}
            banks = self.memory.write(batch["rows"], {name: out[name] for name in read})
            others, likelihood = self.memory.labels, losses.bank_likelihood
        else:
            banks = {name: gather(out[name]) for name in ("feature", "code")}
            others, likelihood = gather(labels), _batch_likelihood
        similar = losses.similarity(tf.convert_to_tensor(others), labels)
        norm = self._pair_norm(s.labnet_batch)
        return lambda name, similarity: norm * likelihood(banks[name], out[name], similar, s.theta_scale, similarity)

    def imgnet_loss(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Equation 14: J1 + eta J2, against LabNet's features and signs."""
        s, size, rows = self.settings, self.settings.imgnet_batch, batch["rows"]
        out = self.imgnet(batch["inputs"], training=True)
        weights = {"feature": s.imgnet_feature_weight, "code": s.imgnet_code_weight}
        terms = {
            "feature": lambda: (
                self.targets.likelihood(rows, batch["labels"], out["feature"], s.theta_scale, s.imgnet_similarity)
                / (len(self.labels) * size)
            ),
            "code": lambda: (
                losses.code_cross_entropy(out["logits"], self.targets.codes_of(rows), s.logit_scale, s.target_smoothing)
                / (size * self.bits)
            ),
        }
        return _weighted(weights, terms, self._batch_factor(size))

    def _pair_norm(self, batch: int) -> float:
        """What LabNet's sums over pairs are multiplied by: 1 / their number."""
        return 1.0 / ((len(self.labels) if self.settings.pair_set == "bank" else batch) * batch)

    def _batch_factor(self, batch: int) -> float:
        """Algorithm 1 divides the sum over n x B pairs by n: B times the mean, and the terms of single rows alike."""
        return float(batch) if self.settings.normalization == "rows" else 1.0

    # Clean passes

    def _labnet(self, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        batches = (batch.astype(np.float32) for batch in array_batches(labels, 1024))
        return self._label_forward(batches, 1024)

    def _label_codes(self, labels: np.ndarray) -> np.ndarray:
        """int8 ±1 [n, K]: LabNet's signs, and of training label vectors the solved codes where there are any."""
        rows = distinct_rows(labels)
        # Codes alone: the semantic features of a whole database would take ten times the memory of its labels.
        codes = np.concatenate([sign(out["code"]) for out in self._labnet(rows.vectors)])
        if self.settings.label_codes == "solved":
            solved = dict(zip(map(bytes, self.distinct.vectors), sign(self.targets.codes_array()), strict=True))
            codes = np.stack(
                [solved.get(bytes(vector), code) for vector, code in zip(rows.vectors, codes, strict=True)]
            )
        return codes[rows.index]

    def labnet_outputs(self) -> Outputs:
        """LabNet on the distinct label vectors of the training rows; its codes are the solved ones where there are any."""
        out = joined(self._labnet(self.distinct.vectors))
        solved = self.settings.label_codes == "solved"
        return Outputs(out["feature"], self.targets.codes_array() if solved else out["code"])

    def imgnet_outputs(self, for_banks: bool = False) -> Outputs:
        mean = for_banks and not self.settings.bank_reinit_mean_subtract
        out = self.encoder.forward(self.inputs.plain, keep_mean=mean)
        return Outputs(out["feature"], out["logits"])

    # Reports

    def _labnet_health(self, outputs: Outputs) -> CodeHealth:
        """Of LabNet's codes and features of the distinct training label vectors."""
        return code_health(outputs.signs, self.distinct.vectors, features=outputs.features)

    def _imgnet_health(self, outputs: Outputs) -> CodeHealth:
        """Of ImgNet's codes and features of the training images."""
        return code_health(outputs.signs, self.dataset.train.labels, features=outputs.features)

    def _write_health(self, name: str, health: CodeHealth, round_: int) -> None:
        self.trainer.summaries.scalars({f"health/{name}/{k}": v for k, v in health.scalars().items()}, round_)

    def _label_numbers(self) -> dict[str, Any]:
        """n_h and map_l, as Table 2 of the paper has them."""
        data = self.dataset
        train_codes = self._label_codes(data.train.labels)
        rest = data.database.take(~data.database_is_train())
        where, rest = ("database_minus_train", rest) if len(rest) else ("database", data.database)
        report = evaluate(
            self._label_codes(data.query.labels),
            self._label_codes(rest.labels),
            data.query.labels,
            rest.labels,
        )
        return {
            "map_labels": float(report.map),
            "map_labels_database": where,
            "distinct_label_codes": len(np.unique(train_codes, axis=0)),
            "distinct_label_vectors": len(self.distinct.vectors),
        }

    def report_labels(self, round_: int) -> dict[str, Any]:
        with self.trainer.aside():
            found = self._label_numbers()
            write = self.trainer.summaries
            write.scalars({"round/map_l": found["map_labels"], "round/n_h": found["distinct_label_codes"]}, round_)
            labels = self.labnet_outputs()
            write.histogram("labnet/code", labels.activations[self.distinct.index], round_)
            self._write_health("labnet", self._labnet_health(labels), round_)
        return found

    def report_images(self, round_: int) -> dict[str, Any]:
        with self.trainer.aside():
            outputs, data = self.imgnet_outputs(), self.dataset
            health, phase = self._imgnet_health(outputs), self.imgnet_phase(round_)
            self.watch.check(phase, phase.epochs, health)
            self._write_health("train", health, round_)
            if not self.runtime.evaluate_rounds:
                return {}
            report = evaluate(
                self.encoder.encode(data.query),
                self.encoder.encode(data.database),
                data.query.labels,
                data.database.labels,
            )
            write = self.trainer.summaries
            write.scalars({"round/map_i": report.map}, round_)
            write.curve("round/precision_recall", *report.precision_recall(), round_)
            write.histogram("imgnet/logits", outputs.activations, round_)
        return {"map": float(report.map)}


def _weighted(
    weights: Mapping[str, float], terms: Mapping[str, Callable[[], tf.Tensor]], factor: float
) -> dict[str, tf.Tensor]:
    """The terms whose weight is not 0, and "total", `factor` times their weighted sum; the others are not computed."""
    found = {name: term() for name, term in terms.items() if weights[name]}
    return {"total": factor * sum(weights[name] * value for name, value in found.items()), **found}


def _batch_likelihood(
    others: tf.Tensor, outputs: tf.Tensor, similar: tf.Tensor, scale: float, similarity: float
) -> tf.Tensor:
    """The likelihood of the pairs within a batch, with a gradient for both rows of a pair."""
    return losses.pair_likelihood(losses.inner_products(others, outputs, scale), similarity * similar)
