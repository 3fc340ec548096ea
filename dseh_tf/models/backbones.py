"""The convolutional trunks of ImgNet, by name: `compact` and Keras files here, the others in modules of their own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError


@dataclass(frozen=True)
class Backbone:
    """A trunk that turns RGB images 0..255 of [b, image_size, image_size, 3] into [b, dim].

    pretrained: its variables learn at the lower rate. trained: False for a frozen trunk, whose features are extracted
    once. has_dropout: the trunk drops units itself. mean: what it subtracts from an image, for the release's bug of
    not doing so (`DSEHSettings.bank_reinit_mean_subtract`); None where it scales in another way.
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
        """Of the architecture and the weights: equal where features are equal."""
        digest = hashlib.sha256(_without_names(self.model.to_json()).encode())
        for weight in self.model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()))
        return digest.hexdigest()


def _without_names(model: str) -> str:
    """A model's JSON with its layers numbered: Keras counts unnamed layers up through the life of a process."""
    numbers: dict[str, str] = {}
    for name in re.findall(r'"name": ("(?:[^"\\]|\\.)*")', model):
        numbers.setdefault(name, json.dumps(f"#{len(numbers)}"))
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda text: numbers.get(text[0], text[0]), model)


def build_backbone(
    name: str,
    image_size: int,
    train: bool = False,
    scaling: tuple[float, float] | None = None,
    seed: int = 0,
    weights: str | None = None,
    dropout: float = 0.5,
    train_from: str | None = None,
) -> Backbone:
    """The trunk called `name`: `compact`, `cnn_f`, a network of `keras.applications`, or the path of a `.keras` file.

    train: fine-tune a pretrained trunk (`compact` is always trained). scaling: (mean, scale) applied to pixels before a
    file's model, (x - mean) * scale, where it does not scale by itself. seed: of weights that are drawn. weights: the
    `.mat` file of CNN-F; "imagenet" (default) or a file for `keras.applications`; "random" for both. dropout: CNN-F's.
    train_from: the first of the pretrained trunk's layers to be fine-tuned; those before it stay frozen. Raises
    InputError for an unknown name, weights that are missing or do not fit, a missing or unreadable file, a model that
    does not turn images into one vector each, or a layer that the trunk has not.
    """
    backbone = _named(name, image_size, train, scaling, seed, weights, dropout)
    if train_from is not None:
        if name == "compact" or not train:
            why = "is trained from scratch" if name == "compact" else "is frozen without train_backbone"
            raise InputError(f"train_backbone_from: found {train_from!r}, but the backbone {name} {why}")
        freeze_before(backbone.model, train_from)
    return backbone


def _named(
    name: str,
    image_size: int,
    train: bool,
    scaling: tuple[float, float] | None,
    seed: int,
    weights: str | None,
    dropout: float,
) -> Backbone:
    # Here, since both modules need what this one defines.
    from dseh_tf.models.applications import APPLICATIONS, application
    from dseh_tf.models.cnn_f import cnn_f

    if name == "cnn_f":
        return cnn_f(weights, image_size, train, seed, dropout)
    if name in APPLICATIONS:
        return application(name, image_size, train, seed, weights)
    if weights is not None:
        raise InputError(f"backbone_weights: found {weights!r}, but the backbone {name!r} takes none")
    if name == "compact":
        return compact(image_size, seed)
    if name.endswith(".keras"):
        return from_file(Path(name), image_size, train, scaling)
    raise InputError(
        f"backbone: found {name!r}, expected compact, cnn_f, the path of a .keras file, or one of {', '.join(APPLICATIONS)}"
    )


def compact(image_size: int, seed: int = 0) -> Backbone:
    """Six 3x3 convolutions for small images, trained from scratch; [b, size, size, 3] to [b, 128].

    Each with batch statistics over all replicas; the first, third and fifth are followed by a 2x2 maximum, the last
    maps are averaged. Weights start as He proposed.
    """
    if image_size < 8:
        raise InputError(f"image_size: found {image_size}, expected at least 8 for compact, which halves it three times")
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for index, filters in enumerate((16, 32, 32, 64, 64, 128), start=1):
        init = keras.initializers.HeNormal(1000 * seed + index)
        x = keras.layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=init, name=f"conv{index}"
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name=f"norm{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
        if index % 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return Backbone("compact", keras.Model(inputs, x, name="compact"), image_size, pretrained=False, trained=True)


def from_file(path: Path, image_size: int, train: bool, scaling: tuple[float, float] | None) -> Backbone:
    """A trunk saved by Keras: float RGB 0..255 in, one vector an image out; frozen unless `train`.

    Fine-tuned or not it runs in inference mode (see `InferenceMode`).
    """
    if not path.is_file():
        raise InputError(f"backbone: {path}: found no such file, expected a .keras file")
    try:
        loaded = keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"backbone: {path}: found no readable Keras model ({reason}), expected a .keras file"
        ) from error
    loaded.trainable = train
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = inputs if scaling is None else keras.layers.Rescaling(scaling[1], offset=-scaling[0] * scaling[1])(inputs)
    try:
        x = InferenceMode(loaded, name="network")(x)
    except ValueError as error:
        raise InputError(
            f"backbone: {path}: found input {loaded.input_shape}, expected images of {image_size} x {image_size} x 3"
        ) from error
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) != 2:
        raise InputError(f"backbone: {path}: found output {tuple(x.shape)}, expected one vector an image")
    return Backbone(path.stem, keras.Model(inputs, x, name="trunk"), image_size, pretrained=True, trained=train)


def freeze_before(model: keras.Model, layer: str) -> None:
    """Freezes the layers that come before the one called `layer`, in the networks inside the model too.

    Layers come in the order Keras has them in: none before its inputs. Raises InputError where no layer with weights
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
