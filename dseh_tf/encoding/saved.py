"""Reads the encoder files of shallow methods, and checks their content. Does not import TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import shown
from dseh_tf.encoding.shallow import FORMAT, BiasedKernel, CentredKernel, Projection, Rows, ShallowEncoder, Sinusoids
from dseh_tf.encoding.trees import Trees
from dseh_tf.errors import InputError
from dseh_tf.files import read_npz

KINDS: dict[str, type[ShallowEncoder]] = {
    kind.kind: kind for kind in (Projection, Sinusoids, CentredKernel, BiasedKernel, Trees)
}


def load(path: Path | str) -> ShallowEncoder:
    """The encoder that `ShallowEncoder.save` wrote: the same codes, bit for bit.

    Raises:
        InputError: A file that is missing or damaged, of a later format, or with arrays that make no encoder.
    """
    arrays = read_npz(path, ("format", "encoder", "normalise", "mean"))
    number, kind = arrays["format"], KINDS.get(str(arrays["encoder"]))
    if number.dtype.kind != "i" or number.ndim or number != FORMAT:
        raise InputError(f"{path}: format: found {_told(number)}, expected {FORMAT}, of this version")
    if kind is None:
        raise InputError(f"{path}: encoder: found {_told(arrays['encoder'])}, expected one of {', '.join(KINDS)}")
    arrays |= read_npz(path, kind.ARRAYS, optional=("image_shape",))
    sizes: dict[str, int] = {}
    expected = {"normalise": ("?", ""), "mean": ("f8", "d"), **kind.ARRAYS}
    if "image_shape" in arrays:
        expected["image_shape"] = ("i8", "2")
        sizes["2"] = 2
    for name, (dtype, shape) in expected.items():
        _check(f"{path}: {name}", arrays[name], dtype, shape, sizes)
    found: dict[str, Any] = {name: arrays[name] for name in kind.ARRAYS}
    if "image_shape" in arrays:
        height, width = map(int, arrays["image_shape"])
        if min(height, width) < 1 or 3 * height * width != sizes["d"]:
            raise InputError(f"{path}: image_shape: found {height} x {width}, expected images of {sizes['d']} numbers")
        found["image_shape"] = height, width
    encoder = kind(rows=Rows(bool(arrays["normalise"]), arrays["mean"]), **found)
    fault = encoder.fault()
    if fault:
        raise InputError(f"{path}: {fault}")
    return encoder


def _check(where: str, array: np.ndarray, dtype: str, shape: str, sizes: dict[str, int]) -> None:
    """Raises InputError on a different type, on a size that its letter has not elsewhere, and on numbers that are not finite."""
    fits = array.dtype == np.dtype(dtype) and array.ndim == len(shape)
    if not fits or any(sizes.setdefault(letter, size) != size for letter, size in zip(shape, array.shape, strict=True)):
        told = ", ".join(str(sizes.get(letter, letter)) for letter in shape)
        raise InputError(f"{where}: found {shown(array)}, expected {np.dtype(dtype)} [{told}]")
    if shape and not array.size and "N" not in shape and "t" not in shape:
        raise InputError(f"{where}: found {shown(array)}, expected at least one number")
    if dtype.startswith("f") and not np.isfinite(array).all():
        raise InputError(f"{where}: found {array[~np.isfinite(array)].flat[0]}, expected finite numbers")


def _told(array: np.ndarray) -> str:
    return repr(array.item()) if not array.ndim else shown(array)
