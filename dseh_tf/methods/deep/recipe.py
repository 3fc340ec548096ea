"""The training of a deep baseline: one network, one phase, and a bank if the method has one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.deep.settings import DeepSettings
from dseh_tf.methods.image_encoder import ImageEncoder, training_inputs
from dseh_tf.models.backbones import Backbone
from dseh_tf.models.trunks import split_variables, trunk_outputs
from dseh_tf.retrieval import sign
from dseh_tf.retrieval.health import CodeHealth, code_health
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.health_watch import HealthWatch
from dseh_tf.training.optimizers import VariableGroup, build_optimizer
from dseh_tf.training.recipe import Phase, Recipe, Stage, Tensors, Terms, Work
from dseh_tf.training.trainer import Trainer

if TYPE_CHECKING:
    from dseh_tf.methods.deep.base import DeepMethod

ADVICE = "try a smaller learning_rate, or normalize_outputs=True"

# During training, the codes of at most this number of rows are checked after these shares of the epochs.
_WATCHED_ROWS, _WATCHED = 512, (0.1, 0.2, 0.4, 0.7)
_WATCHED_COST = 0.02  # checked rows / rows of all epochs: 1 % of the time, as a step takes twice a forward pass or more


class DeepRecipe(Recipe[ImageEncoder]):
    """One fit of a method: fill its bank if it has one, then train its network."""

    def __init__(self, method: DeepMethod, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = method.settings
        self.method, self.labels = method, dataset.train.labels.astype(np.float32)
        self.inputs = training_inputs(dataset.train, method.trunk, runtime)
        method.prepare(self.labels)
        with runtime.networks():
            backbone = None if dataset.has_features else method.trunk.build(method.seed, s.dropout)
            features = None if dataset.train.features is None else dataset.train.features.shape[1]
            self.network = build_network(method, backbone, features)
            self.groups = variable_groups(self.network, backbone, s)
            self.encoder = ImageEncoder(method.bits, self.network, backbone, runtime)
        self.build_banks(runtime)  # not in the scope, which would mirror each replica's copy onto all replicas
        self._kernels = [v for v in self.network.trainable_variables if len(v.shape) > 1]
        self.watch = HealthWatch(ADVICE)
        self.trainer = Trainer(runtime, self.tracked, method.seed, self.spread)

    def build_banks(self, runtime: Runtime) -> None:
        """Makes what the method keeps of the training rows."""
        self.bank = self.method.bank(self.labels, runtime.strategy)

    @property
    def tracked(self) -> dict[str, object]:
        tracked = {"network": self.network, **{f"optimizer_{i}": g.optimizer for i, g in enumerate(self.groups)}}
        return tracked | (self.bank.checkpointed() if self.bank else {})

    def spread(self) -> None:
        if self.bank:
            self.bank.spread()

    def stages(self) -> Iterator[Stage]:
        if self.bank:
            yield Work("bank", 0, partial(self.method.fill, self.bank, self.labels))
        self._last = self.phase()
        yield self._last

    def phase(self) -> Phase:
        method, s = self.method, self.method.settings
        watched = watched_epochs(s.epochs)
        sample = watched_rows(len(self.labels), s.epochs, len(watched), self.encoder.runtime.encode_batch)

        def on_epoch(done: int) -> None:
            if done in watched and len(sample):
                with self.trainer.aside():
                    logits = self.encoder.forward(self.inputs.plain[sample])["logits"]
                    self.watch.check(phase, done, _health(logits, self.labels[sample]), sampled=True)

        arrays = {"inputs": self.inputs.plain, "labels": self.labels}
        flipped = {"inputs": self.inputs.flipped} if self.inputs.mirrors else {}
        phase = Phase(
            name=method.name,
            round=0,
            rows=TrainingRows(arrays, s.batch, method.seed, method.name, 0, flipped),
            epochs=s.epochs,
            forward=lambda batch: self.network(batch["inputs"], training=True),
            loss=self.loss,
            groups=self.groups,
            learning_rate=lambda epoch: s.learning_rate * s.decay ** (epoch // s.decay_epochs),
            on_epoch=on_epoch,
        )
        return phase

    def loss(self, outputs: Tensors, batch: Tensors) -> Terms:
        """The method's loss of the global batch, and the weight decay."""
        terms = dict(self.method.loss(outputs, batch, self.bank))
        if self.method.settings.weight_decay:
            squares = tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(kernel)) for kernel in self._kernels])
            terms["total"] += self.method.settings.weight_decay * squares
        return terms

    def fitted(self) -> ImageEncoder:
        name, encoder, summaries = self.method.name, self.encoder, self.trainer.summaries
        encoder.train_seconds = self.trainer.seconds
        encoder.traces = self.trainer.traces
        logits = encoder.forward(self.inputs.plain)["logits"]
        health = _health(logits, self.labels)
        self.watch.check(self._last, self._last.epochs, health)
        encoder.advice, encoder.health["train"] = ADVICE, health
        summaries.histogram(f"{name}/logits", logits, 0)
        summaries.scalars({f"health/train/{key}": value for key, value in health.scalars().items()}, 0)
        summaries.flush()
        return encoder


def _health(logits: np.ndarray, labels: np.ndarray) -> CodeHealth:
    return code_health(sign(logits), labels)


def build_network(method: DeepMethod, backbone: Backbone | None, features: int | None) -> keras.Model:
    """Trunk and the method's head; inputs and outputs as in `dseh_tf.models.imgnet.build_imgnet`."""
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
