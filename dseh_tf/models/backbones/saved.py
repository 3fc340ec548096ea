"""A backbone from a `.keras` file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.models.backbones import keras_file
from dseh_tf.models.backbones.backbone import Backbone, InferenceMode
from dseh_tf.retrieval.codes import naming
from dseh_tf.seeding import default_generator

# Dtypes of a model's input that hold 0..255 exactly.
_PIXEL_DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                 "bfloat16", "float16", "float32", "float64")  # fmt: skip


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
            a different kind. A model is run once, on two images of noise, to see that its output is finite.
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
        raise InputError(
            f"found {len(inputs)} inputs ({_listed((x.name, x) for x in inputs)}), expected one, of images"
        )
    (x,) = inputs
    shape = tuple(x.shape)
    if len(shape) != 4:
        raise InputError(f"found input {shape}, expected images (None, {image_size}, {image_size}, 3)")
    if x.dtype not in _PIXEL_DTYPES:
        raise InputError(f"found input of {x.dtype}, expected a dtype that holds 0..255, such as uint8 or float32")
    if scaling is not None and "int" in x.dtype:
        raise InputError(
            f"found input of {x.dtype} and scaling {scaling}, which it cannot hold, expected a float input"
        )
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
    """The one tensor in what the model returns. Raises InputError, naming them, if there are several."""
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
    """The output as float32 [b, d]; a feature map is averaged. Raises InputError on a different shape or dtype."""
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
            f"found output {shape}{what}, expected one vector per image, (None, d); add pooling to the model and save it again"
        )
    return x


def _check_run(trunk: keras.Model, image_size: int) -> None:
    """Runs two images of noise. Raises InputError if that fails, mixes images, or gives values that are not finite."""
    images = default_generator(0).integers(0, 256, (2, image_size, image_size, 3)).astype(np.float32)
    try:
        found = np.asarray(trunk(images, training=False))
    except Exception as error:  # TensorFlow and custom layers each raise their own
        raise InputError(
            f"found a model that fails on images ({keras_file.reason(error)}), expected one that runs"
        ) from error
    if found.shape != (2, trunk.output_shape[-1]):
        raise InputError(f"found output {found.shape} for 2 images, expected (2, {trunk.output_shape[-1]})")
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)][0]
        raise InputError(
            f"found {bad} in the output for noise images, expected finite numbers; check its input scaling"
        )
