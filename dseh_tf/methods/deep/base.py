"""What the deep rivals of DSEH share: trunk, one phase of training, resume, encoding. A method adds its loss.

All of them stand on the trunk that DSEH's ImgNet stands on, above frozen features the same ReLU layer included, then K
outputs; DSEH's 512 linear units between add no function a single layer would not have. So they have its capacity.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.replicas import gather, replica_count
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method, check_numbers, training_split
from dseh_tf.methods.dseh.presets import ROWS
from dseh_tf.methods.image_encoder import ImageEncoder, Trunk, training_inputs
from dseh_tf.models.backbones import Backbone
from dseh_tf.models.imgnet import split_variables, trunk_outputs
from dseh_tf.models.layers import new_layer
from dseh_tf.retrieval.health import CodeHealth, code_health
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.health_watch import HealthWatch
from dseh_tf.training.trainer import Phase, Terms, Trainer, VariableGroup, build_optimizer

OPTIMIZERS = ("adam", "rmsprop", "sgd")
ADVICE = "try a smaller learning_rate, or normalize_outputs=True"

# During training, the codes of at most this number of rows are checked after these shares of the epochs.
_WATCHED_ROWS, _WATCHED = 512, (0.1, 0.2, 0.4, 0.7)
_WATCHED_COST = 0.02  # checked rows / rows of all epochs: 1 % of the time, as a step takes twice a forward pass or more


@dataclass(frozen=True)
class DeepSettings:
    """Settings that every deep rival has.

    dropout: share of units dropped behind fc6 and fc7, or on frozen features. feature_layer: units of a ReLU layer above
    frozen features, 0 for none. normalize_outputs: every bit's output has mean 0 and variance 1 over a batch (all
    replicas), running statistics when encoding, so that no bit can be the same for all rows; variances far below 1e-3
    stay below 1, for first outputs that are blown up are noise, which a network from scratch does not leave.
    optimizer: "adam", "rmsprop" or "sgd"; momentum and nesterov belong to sgd.
    learning_rate: of the new layers, at the start; times `decay` every `decay_epochs` epochs. pretrained_multiplier,
    bias_multiplier: learning rate of pretrained layers against new ones, of biases against kernels.
    weight_decay: times the squares of all kernels, halved, in the loss. batch: of all replicas. epochs: of n / batch steps.
    """

    dropout: float = 0.5
    feature_layer: int = 0
    normalize_outputs: bool = False
    optimizer: str = "adam"
    momentum: float = 0.0
    nesterov: bool = False
    learning_rate: float = 1e-3
    decay: float = 1.0
    decay_epochs: int = 50
    pretrained_multiplier: float = 1.0
    bias_multiplier: float = 1.0
    weight_decay: float = 0.0
    batch: int = 128
    epochs: int = 60


def for_trunk(settings: DeepSettings, trunk: str) -> DeepSettings:
    """The settings for a trunk other than CNN-F, to whose kind (AlexNet's) the published optimisers belong.

    The same for all rivals, as `presets.for_trunk` does for DSEH: Adam at 1e-3, a fine-tuned trunk at a tenth of that,
    a ReLU layer of 2,048 units above frozen features, .3 of the units dropped there, batches of 32 without dropout
    for "compact". From scratch a likelihood of pairs starts at the constant code, its saddle, and "compact" stays there
    (multi_digits, 32 bits, held-out rows, MAP after 10 to 30 epochs: .42 to .44, hardly above chance); normalised outputs
    cannot be constant (DPSH after 24 epochs: .849). DSEH, which is told its codes by LabNet, has no such start.
    """
    if trunk == "cnn_f":
        return settings
    settings = replace(
        settings,
        optimizer="adam",
        momentum=0.0,
        nesterov=False,
        learning_rate=1e-3,
        decay=10**-0.5,
        decay_epochs=20,
        pretrained_multiplier=0.1 if trunk == "finetuned" else 1.0,
        bias_multiplier=1.0,
        weight_decay=0.0,
        batch=128,
        epochs=60,
    )
    if trunk == "features":
        settings = replace(settings, feature_layer=2048, dropout=0.3)
    if trunk == "compact":
        settings = replace(settings, batch=32, dropout=0.0, normalize_outputs=True)
    return settings


class DeepMethod(Method):
    """A method that trains one image network by one loss. A subclass gives name, Settings, PUBLISHED and `loss`.

    preset_dataset: whose row of PUBLISHED the settings start from, nus_wide's without one. trunk: the network below the
    method's own layers, used where the data set has images and no features. PUBLISHED: settings by row; a row that is
    missing is nus_wide's.
    UNTUNED: settings of this method for all trunks but CNN-F, behind `for_trunk`.
    """

    Settings: ClassVar[type] = DeepSettings
    PUBLISHED: ClassVar[Mapping[str, DeepSettings]]
    UNTUNED: ClassVar[Mapping[str, Any]] = {}
    trains_network = True
    has_rows = True

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        preset_dataset: str | None = None,
        trunk: Trunk | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(bits, seed, **settings)
        if preset_dataset not in (None, *ROWS):
            raise InputError(f"preset_dataset: found {preset_dataset!r}, expected one of {', '.join(ROWS)}")
        self.preset_dataset = preset_dataset or "nus_wide"
        self.trunk = trunk or Trunk()
        self._given = settings
        self.settings = self._resolved(self.trunk.kind)

    def _resolved(self, trunk: str) -> DeepSettings:
        settings = for_trunk(self.PUBLISHED.get(self.preset_dataset, self.PUBLISHED["nus_wide"]), trunk)
        if trunk != "cnn_f":
            settings = replace(settings, **self.UNTUNED)
        settings = replace(settings, **self._given)
        if settings.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer: found {settings.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
        least = {"batch": 1, "decay_epochs": 1, **self.LEAST}
        check_numbers(settings, least, ("dropout", "momentum"), ("learning_rate", "decay", *self.POSITIVE))
        self.check(settings)
        return settings

    # What a method is made of

    def check(self, settings: DeepSettings) -> None:
        """Raises InputError for a setting that is none of its choices."""

    def prepare(self, labels: np.ndarray) -> None:
        """Called once before the networks are built, for what follows from the classes: labels, float32 [n, c], of all rows."""

    def head(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """The method's own layers: [b, d] to {"logits": float32 [b, K]}, whose signs are the codes."""
        return {"logits": new_layer(self.bits, "hash", 10 * self.seed + 103, dtype="float32")(x)}

    def tail(self, outputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        """Layers above the logits, normalised or not, that a loss needs besides: returns all outputs of the network."""
        return outputs

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> CodeBank | None:
        """What the method remembers of every training row, if anything. labels: float32 [n, c]."""
        return None

    def fill(self, bank: CodeBank, labels: np.ndarray) -> None:
        """Fills the bank before the first step; a resumed run has it from its checkpoint."""

    @abc.abstractmethod
    def loss(self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor], bank: CodeBank | None) -> Terms:
        """{"total": scalar, other terms} of the global batch, as if there were one device.

        outputs: of `head` and `tail`, [B, ...].
        batch: "rows" int32 [B] among the training rows, "labels" float32 [B, c], "step" int64.
        """

    # How it is trained

    def fit(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> ImageEncoder:
        """Trains on `dataset.train` alone, from its features where it has any, else from its images."""
        training_split(dataset)
        method = copy.copy(self)
        method.settings = self._resolved("features" if dataset.has_features else self.trunk.kind)
        return Training(method, dataset, runtime or Runtime()).run()


def build_network(method: DeepMethod, backbone: Backbone | None, features: int | None) -> keras.Model:
    """Trunk and the method's head; inputs and outputs as `dseh_tf.models.imgnet.build_imgnet` has them."""
    s = method.settings
    inputs, x = trunk_outputs(s.dropout, s.feature_layer, method.seed, backbone, features)
    outputs = method.head(x)
    if s.normalize_outputs:
        normalize = keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=1e-3, momentum=0.9, synchronized=True, name="hash_norm", dtype="float32"
        )
        outputs = {**outputs, "logits": normalize(outputs["logits"])}
    return keras.Model(inputs, method.tail(outputs), name=method.name)


def variable_groups(network: keras.Model, backbone: Backbone | None, settings: DeepSettings) -> list[VariableGroup]:
    """New and pretrained kernels, new and pretrained biases, each at its own rate."""
    s, groups = settings, []
    pretrained, new = split_variables(network, backbone)
    for variables, rate in ((new, 1.0), (pretrained, s.pretrained_multiplier)):
        parts = {rate: variables}
        if s.bias_multiplier != 1.0:
            parts = {
                rate: [v for v in variables if len(v.shape) > 1],
                rate * s.bias_multiplier: [v for v in variables if len(v.shape) <= 1],
            }
        groups += [
            VariableGroup(build_optimizer(s.optimizer, part, s.momentum, s.nesterov), part, multiplier)
            for multiplier, part in parts.items()
            if part
        ]
    return groups


class Training:
    """One fit of a method: its network, bank and optimisers, its phase, and running it."""

    def __init__(self, method: DeepMethod, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s, strategy = method.settings, runtime.strategy
        self.method, self.labels = method, dataset.train.labels.astype(np.float32)
        self.inputs = training_inputs(dataset.train, method.trunk, runtime)
        method.prepare(self.labels)
        with runtime.networks():
            backbone = None if dataset.has_features else method.trunk.build(method.seed, s.dropout)
            features = dataset.train.features.shape[1] if dataset.has_features else None
            self.network = build_network(method, backbone, features)
            self.groups = variable_groups(self.network, backbone, s)
            self.encoder = ImageEncoder(method.bits, self.network, backbone, runtime)
        # Not in the scope, which would mirror each replica's copy of the bank onto all replicas.
        self.bank = method.bank(self.labels, strategy)
        tracked = {"network": self.network, **{f"optimizer_{i}": g.optimizer for i, g in enumerate(self.groups)}}
        tracked |= self.bank.checkpointed() if self.bank else {}
        self.trainer = Trainer(runtime, tracked, method.seed, self.bank.spread if self.bank else lambda: None)
        self._kernels = [v for v in self.network.trainable_variables if len(v.shape) > 1]
        self.watch = HealthWatch(ADVICE)

    def run(self) -> ImageEncoder:
        method = self.method
        if self.bank and not self.trainer.started(method.name, 0):
            method.fill(self.bank, self.labels)
        phase = self.phase()
        self.trainer.run(phase)
        self.encoder.train_seconds = self.trainer.seconds
        logits = self.encoder.forward(self.inputs.plain)["logits"]
        health = self._health(logits, self.labels)
        self.watch.check(phase, phase.epochs, health)
        self.encoder.advice, self.encoder.health["train"] = ADVICE, health
        self.trainer.summaries.histogram(f"{method.name}/logits", logits, 0)
        self.trainer.summaries.scalars({f"health/train/{k}": v for k, v in health.scalars().items()}, 0)
        self.trainer.summaries.flush()
        self.encoder.traces = self.trainer.traces
        return self.encoder

    def phase(self) -> Phase:
        method, s = self.method, self.method.settings
        watched = watched_epochs(s.epochs)
        sample = watched_rows(len(self.labels), s.epochs, len(watched), self.encoder.runtime.encode_batch)

        def on_epoch(done: int) -> None:
            if done in watched and len(sample):
                with self.trainer.aside():
                    logits = self.encoder.forward(self.inputs.plain[sample])["logits"]
                    self.watch.check(phase, done, self._health(logits, self.labels[sample]), sampled=True)

        phase = Phase(
            name=method.name,
            round=0,
            rows=TrainingRows(
                {"inputs": self.inputs.plain, "labels": self.labels},
                s.batch,
                method.seed,
                method.name,
                0,
                {"inputs": self.inputs.flipped} if self.inputs.mirrors else {},
            ),
            epochs=s.epochs,
            loss=self.share,
            groups=self.groups,
            learning_rate=lambda epoch: s.learning_rate * s.decay ** (epoch // s.decay_epochs),
            on_epoch=on_epoch,
        )
        return phase

    def _health(self, logits: np.ndarray, labels: np.ndarray) -> CodeHealth:
        return code_health(np.where(logits >= 0, np.int8(1), np.int8(-1)), labels)

    def share(self, local: dict[str, tf.Tensor]) -> Terms:
        """Each replica's equal share of the loss on the rows of all replicas.

        Every replica works out the whole, which next to a trunk costs nothing, and no method has to know of replicas.
        """
        s = self.method.settings
        outputs = {name: gather(value) for name, value in self.network(local["inputs"], training=True).items()}
        batch = {"rows": gather(local["rows"]), "labels": gather(local["labels"]), "step": local["step"]}
        terms = dict(self.method.loss(outputs, batch, self.bank))
        if s.weight_decay:
            squares = tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(kernel)) for kernel in self._kernels])
            terms["total"] += s.weight_decay * squares
        return {name: value / replica_count() for name, value in terms.items()}


def watched_epochs(epochs: int) -> tuple[int, ...]:
    """The numbers of finished epochs after which the codes of some rows are checked; the end of the phase is checked anyway."""
    return tuple(sorted({round(share * epochs) for share in _WATCHED} - {0, epochs}))


def watched_rows(rows: int, epochs: int, times: int, batch: int) -> np.ndarray:
    """The training rows to check, evenly spaced; none if that would take more than 1 % of the training time.

    Args:
        rows: number of training rows.
        epochs: of the phase.
        times: number of checks.
        batch: rows of a forward pass; its last batch is filled up.

    Returns:
        int64 [m], m at most 512 and a multiple of `batch`, or all rows.
    """
    most = min(_WATCHED_ROWS, int(_WATCHED_COST * epochs * rows / max(times, 1)) // batch * batch)
    return np.linspace(0, rows - 1, min(most, rows)).astype(np.int64)
