"""The convolutional trunks of ImgNet: `compact`, or any Keras file; CNN-F has a module of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from dseh_tf.errors import InputError


@dataclass(frozen=True)
class Backbone:
    """A trunk that turns RGB images 0..255 of [b, image_size, image_size, 3] into [b, dim].

    pretrained: its variables learn at the lower rate. trained: False for a frozen trunk, whose features are extracted
    once. has_dropout: the trunk drops units itself. mean: what it subtracts from an image, for the release's bug of
    not doing so (SPEC of `bank_reinit_mean_subtract`); None where it scales in another way.
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
        digest = hashlib.sha256(self.model.to_json().encode())
        for weight in self.model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()))
        return digest.hexdigest()


def build_backbone(
    name: str,
    image_size: int,
    train: bool = False,
    scaling: tuple[float, float] | None = None,
    seed: int = 0,
) -> Backbone:
    """The trunk called `name`: `compact`, or the path of a `.keras` file.

    train: fine-tune a pretrained trunk (`compact` is always trained). scaling: (mean, scale) applied to pixels before a
    file's model, (x - mean) * scale, where it does not scale by itself. Raises InputError for an unknown name, a
    missing or unreadable file, or a model that does not turn images into one vector each.
    """
    if name == "compact":
        return compact(image_size, seed)
    if name.endswith(".keras"):
        return from_file(Path(name), image_size, train, scaling)
    raise InputError(f"backbone: found {name!r}, expected compact or the path of a .keras file")


def compact(image_size: int, seed: int = 0) -> Backbone:
    """Six 3x3 convolutions for small images, trained from scratch; [b, size, size, 3] to [b, 256].

    Every second one is followed by a 2x2 maximum; the last maps are averaged. Weights start as He proposed.
    """
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for index, filters in enumerate((32, 32, 64, 64, 128, 256)):
        init = keras.initializers.HeNormal(1000 * seed + index)
        x = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer=init, name=f"conv{index + 1}"
        )(x)
        if index % 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{index + 1}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return Backbone("compact", keras.Model(inputs, x, name="compact"), image_size, pretrained=False, trained=True)


def from_file(path: Path, image_size: int, train: bool, scaling: tuple[float, float] | None) -> Backbone:
    """A trunk saved by Keras: float RGB 0..255 in, one vector an image out; frozen unless `train`."""
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
        x = loaded(x, training=False) if not train else loaded(x)
    except ValueError as error:
        raise InputError(
            f"backbone: {path}: found input {loaded.input_shape}, expected images of {image_size} x {image_size} x 3"
        ) from error
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) != 2:
        raise InputError(f"backbone: {path}: found output {tuple(x.shape)}, expected one vector an image")
    return Backbone(path.stem, keras.Model(inputs, x, name="trunk"), image_size, pretrained=True, trained=train)
