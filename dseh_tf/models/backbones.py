"""The convolutional trunks of ImgNet, by name: `compact` and Keras files here, the others in modules of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError, positive
from dseh_tf.models import keras_file
from dseh_tf.retrieval.codes import naming

MAX_IMAGE_SIZE = 8192

# Dtypes of a model's input that hold 0..255 exactly.
_PIXEL_DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                 "bfloat16", "float16", "float32", "float64")  # fmt: skip


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
    name: str | os.PathLike[str],
    image_size: int,
    train: bool = False,
    scaling: tuple[float, float] | None = None,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
    dropout: float = 0.5,
    train_from: str | None = None,
    import_modules: Sequence[str] = (),
) -> Backbone:
    """Builds the trunk called `name`.

    Args:
        name: `compact`, `cnn_f`, a network of `keras.applications`, or the path of a `.keras` file (see `from_file`).
        image_size: Height and width of the images, at most `MAX_IMAGE_SIZE`.
        train: Fine-tune a pretrained trunk. `compact` is always trained.
        scaling: (mean, scale), applied to pixels before a file's model: (x - mean) * scale.
        seed: Of weights that are drawn.
        weights: The `.mat` file of CNN-F; "imagenet" (default) or a file for `keras.applications`; "random" for both.
        dropout: CNN-F's.
        train_from: The first of the pretrained trunk's layers to be fine-tuned. Those before it stay frozen.
        import_modules: Modules that register the layer classes of a `.keras` file's model; imported first.

    Raises:
        InputError: An unknown name; weights that are missing or do not fit; a file that cannot be read; a model that does
            not turn images into one vector each; no such layer.
    """
    name, weights = os.fspath(name), None if weights is None else os.fspath(weights)
    if positive(image_size, "image_size") > MAX_IMAGE_SIZE:
        raise InputError(f"image_size: found {image_size}, expected at most {MAX_IMAGE_SIZE}")
    if scaling is not None and not (len(scaling) == 2 and np.isfinite(scaling).all() and scaling[1]):
        raise InputError(f"backbone_scaling: found {scaling}, expected a mean and a scale, finite and the scale not 0")
    backbone = _named(name, image_size, train, scaling, seed, weights, dropout, import_modules)
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
    import_modules: Sequence[str],
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
        return from_file(Path(name), image_size, train, scaling, import_modules)
    raise InputError(
        f"backbone: found {name!r}{_kind(Path(name))}, expected compact, cnn_f, the path of a .keras file, or one of "
        f"{', '.join(APPLICATIONS)}"
    )


def _kind(path: Path) -> str:
    """What a path is whose name does not end in .keras, for messages."""
    if (path / "saved_model.pb").is_file():
        return ", a SavedModel's folder"
    if path.name.endswith((".h5", ".hdf5")):
        return ", an HDF5 file (load it with Keras and save it as .keras)"
    return ", a file whose name does not end in .keras" if path.is_file() else ""


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


def from_file(
    path: Path,
    image_size: int,
    train: bool = False,
    scaling: tuple[float, float] | None = None,
    import_modules: Sequence[str] = (),
) -> Backbone:
    """A trunk saved by Keras 3 as a `.keras` file; frozen unless `train`.

    The model has one input of images, RGB 0..255: [b, h, w, 3], or [b, 3, h, w], of any size or of `image_size`, in any
    dtype that holds 0..255. It has one output, alone or as the only item of a dict or a list: a vector [b, d], or a
    feature map, which is averaged over its positions. Fine-tuned or not it runs in inference mode (see `InferenceMode`).

    Args:
        path: The file. Its layers run no code that comes with it.
        image_size: Height and width of the images.
        train: Whether the weights are fine-tuned.
        scaling: (mean, scale), applied to pixels before the model: (x - mean) * scale.
        import_modules: Modules to import first, which register the model's own layer classes.

    Raises:
        InputError: The file cannot be read (see `keras_file.load`), lacks weights or has NaN in them, or holds a model of
            another kind. A model is run once, on two images of noise, to see that its output is finite.
    """
    keras_file.import_modules(import_modules)
    with naming(f"backbone: {path}"):
        loaded = keras_file.load(path)
        channels_first = _check_input(loaded, image_size, scaling)
        loaded.trainable = train
        inputs = x = keras.Input((image_size, image_size, 3), name="pixels")
        if scaling is not None:
            x = keras.layers.Rescaling(scaling[1], offset=-scaling[0] * scaling[1])(x)
        if channels_first:
            x = keras.layers.Permute((3, 1, 2), name="channels_first")(x)
        try:
            outputs = InferenceMode(loaded, name="network")(x)
        except Exception as error:  # Keras, TensorFlow and custom layers each raise their own
            raise InputError(
                f"found a model that cannot be applied to {tuple(x.shape)} ({keras_file.reason(error)}), expected one of images"
            ) from error
        keras_file.check_weights(loaded, path)
        x = _one_vector(_only_output(loaded, outputs), channels_first)
        trunk = keras.Model(inputs, x, name="trunk")
        _check_run(trunk, image_size)
    return Backbone(path.stem, trunk, image_size, pretrained=True, trained=train)


def _check_input(model: keras.Model, image_size: int, scaling: tuple[float, float] | None) -> bool:
    """Checks the model's input; returns whether its channels come first. A subclassed model does not state its input."""
    inputs = list(getattr(model, "inputs", None) or ())
    if not inputs:
        return False
    if len(inputs) > 1:
        raise InputError(f"found {len(inputs)} inputs ({_listed((x.name, x) for x in inputs)}), expected one, of images")
    (x,) = inputs
    shape = tuple(x.shape)
    if len(shape) != 4:
        raise InputError(f"found input {shape}, expected images (None, {image_size}, {image_size}, 3)")
    if x.dtype not in _PIXEL_DTYPES:
        raise InputError(f"found input of {x.dtype}, expected a dtype that holds 0..255, such as uint8 or float32")
    if scaling is not None and "int" in x.dtype:
        raise InputError(f"found input of {x.dtype} and scaling {scaling}, which it cannot hold, expected a float input")
    channels_first = shape[1] == 3 and shape[3] != 3
    height, width, channels = (shape[2], shape[3], 3) if channels_first else shape[1:]
    if channels not in (3, None):
        gray = " (grayscale)" if channels == 1 or shape[1] == 1 else ""
        raise InputError(f"found input {shape}{gray}, expected 3 channels (RGB)")
    for size in (height, width):
        if size not in (image_size, None):
            raise InputError(
                f"image_size: found {image_size}, expected {height} x {width}, the size that this model was built for"
            )
    return channels_first


def _only_output(model: keras.Model, outputs: Any) -> keras.KerasTensor:
    """The one tensor in what the model returns. Raises InputError, naming them, where there are several."""
    found = list(_outputs(outputs))
    if len(found) != 1:
        names = getattr(model, "output_names", None) or ()
        if isinstance(outputs, (list, tuple)) and len(names) == len(found):
            found = [(name, x) for name, (_, x) in zip(names, found, strict=True)]
        raise InputError(
            f"found {len(found)} outputs ({_listed(found)}), expected one; save keras.Model(model.input, ...) of that one"
        )
    return found[0][1]


def _outputs(outputs: Any, name: str = "") -> Iterator[tuple[str, keras.KerasTensor]]:
    """Every tensor in nested dicts, lists and tuples, with its keys."""
    if isinstance(outputs, (dict, list, tuple)):
        for key, value in outputs.items() if isinstance(outputs, dict) else enumerate(outputs):
            yield from _outputs(value, f"{name}/{key}" if name else str(key))
    else:
        yield name, outputs


def _listed(tensors: Iterable[tuple[str, keras.KerasTensor]]) -> str:
    return ", ".join(f"{name} {getattr(x, 'shape', x)}" for name, x in tensors)


def _one_vector(x: keras.KerasTensor, channels_first: bool) -> keras.KerasTensor:
    """The output as float32 [b, d]; a feature map is averaged. Raises InputError on another shape or dtype."""
    shape, dtype = tuple(x.shape), keras.backend.standardize_dtype(x.dtype)
    if dtype in ("bool", "string") or "complex" in dtype:
        raise InputError(f"found output of {dtype}, expected numbers")
    if dtype != "float32":
        x = keras.ops.cast(x, "float32")
    if len(shape) == 4:
        x = keras.layers.GlobalAveragePooling2D("channels_first" if channels_first else "channels_last", name="pool")(x)
    if len(x.shape) != 2 or not x.shape[-1]:
        what = " (tokens)" if len(shape) == 3 else ""
        raise InputError(
            f"found output {shape}{what}, expected one vector an image, (None, d); add pooling to the model and save it again"
        )
    return x


def _check_run(trunk: keras.Model, image_size: int) -> None:
    """Runs two images of noise. Raises InputError where that fails, mixes images, or gives values that are not finite."""
    images = np.random.default_rng(0).integers(0, 256, (2, image_size, image_size, 3)).astype(np.float32)
    try:
        found = np.asarray(trunk(images, training=False))
    except Exception as error:  # TensorFlow and custom layers each raise their own
        raise InputError(f"found a model that fails on images ({keras_file.reason(error)}), expected one that runs") from error
    if found.shape != (2, trunk.output_shape[-1]):
        raise InputError(f"found output {found.shape} for 2 images, expected (2, {trunk.output_shape[-1]})")
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)][0]
        raise InputError(f"found {bad} in the output for images of noise, expected finite numbers; check its input scaling")


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
