"""The interface of backbones: networks that turn images into one vector each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError

# Where the classes of layers were when the first features were extracted. Keras writes a class's module into a model's
# JSON; with these names in its place a fingerprint stays the same when a class moves.
_MODULES = {
    "dseh_tf.models.backbones.backbone": "dseh_tf.models.backbones",
    "dseh_tf.models.backbones.cnn_f": "dseh_tf.models.cnn_f",
    "dseh_tf.models.backbones.applications": "dseh_tf.models.applications",
}


@dataclass(frozen=True)
class Backbone:
    """A trunk that turns RGB images 0..255 of [b, image_size, image_size, 3] into [b, dim].

    pretrained: its variables learn at the lower rate. trained: False for a frozen trunk, whose features are extracted
    once. has_dropout: the trunk drops units itself. mean: what it subtracts from an image, for the release's bug of
    not doing so (`DSEHSettings.bank_reinit_mean_subtract`); None if it scales in another way.
    """

    name: str
    model: keras.Model
    image_size: int
    pretrained: bool
    trained: bool
    has_dropout: bool = False
    mean: np.ndarray | None = None

    @property
    def dim(self) -> int:
        return int(self.model.output_shape[-1])

    def fingerprint(self) -> str:
        """A digest of architecture and weights; backbones with equal fingerprints give equal features."""
        return self._digest(_MODULES)

    def is_known_as(self, fingerprint: str) -> bool:
        """Whether the fingerprint is this backbone's, also as the version of 2026-11-27 wrote it (with today's modules)."""
        return fingerprint in (self._digest(_MODULES), self._digest({}))

    def _digest(self, modules: Mapping[str, str]) -> str:
        text = _without_names(self.model.to_json())
        for now, then in modules.items():
            text = text.replace(f'"module": "{now}"', f'"module": "{then}"')
        digest = hashlib.sha256(text.encode())
        for weight in self.model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).data)
        return digest.hexdigest()


def _without_names(model: str) -> str:
    """A model's JSON with its layers numbered: Keras counts unnamed layers up through the life of a process."""
    numbers: dict[str, str] = {}
    for name in re.findall(r'"name": ("(?:[^"\\]|\\.)*")', model):
        numbers.setdefault(name, json.dumps(f"#{len(numbers)}"))
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda text: numbers.get(text[0], text[0]), model)


def freeze_before(model: keras.Model, layer: str) -> None:
    """Freezes the layers that come before the one called `layer`, in the networks inside the model too.

    Layers come in the order Keras has them in: none before its inputs. Raises InputError if no layer with weights
    has that name, naming the last that do.
    """
    layers = list(_inner_layers(model))
    names = [each.name for each in layers]
    if layer not in names:
        raise InputError(
            f"train_backbone_from: found {layer!r}, expected a layer with weights, the last of which are {', '.join(names[-12:])}"
        )
    for each in layers[: names.index(layer)]:
        each.trainable = False


def _inner_layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layers with weights of their own, those of networks inside included."""
    if isinstance(layer, InferenceMode):
        yield from _inner_layers(layer.network)
    elif isinstance(layer, keras.Model):
        for each in layer.layers:
            yield from _inner_layers(each)
    elif layer.weights:
        yield layer


@keras.saving.register_keras_serializable("dseh_tf")
class InferenceMode(keras.layers.Layer):
    """A pretrained network that runs in inference mode even while it is fine-tuned.

    Its batch normalisation keeps the statistics it came with (those of a replica's share of a batch would make the run
    depend on the number of replicas), and its own dropout, whose masks would be equal on all replicas, stays off.
    `network(x, training=False)` in a functional model is not enough: Keras 3 overrides it with the outer call's value.
    """

    def __init__(self, network: keras.Model, **kwargs) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.network(x, training=False)

    def get_config(self) -> dict:
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config: dict) -> InferenceMode:
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})
