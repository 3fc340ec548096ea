"""Backbones by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dseh_tf.errors import InputError, positive
from dseh_tf.models.backbones.applications import APPLICATIONS, application
from dseh_tf.models.backbones.backbone import Backbone, freeze_before
from dseh_tf.models.backbones.cnn_f import cnn_f
from dseh_tf.models.backbones.compact import compact
from dseh_tf.models.backbones.saved import from_file

MAX_IMAGE_SIZE = 8192


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
        seed: Seed of weights that are drawn.
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
