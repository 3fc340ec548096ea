"""Reads `.keras` files, with a clear error for anything wrong in them and a check that all weights were loaded."""

from __future__ import annotations

import importlib
import json
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dseh_tf.errors import InputError

_WEIGHTS = "model.weights.h5"
_MEMBERS = ("config.json", _WEIGHTS)

# The first bytes of files that are often given the name of a Keras file.
_SIGNATURES = (
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, the .h5 format of older Keras; load it there and save it as .keras with Keras 3",
    ),
    (b"PK\x03\x04", "a zip archive that is cut off"),
    (b"version https://git-lfs", "a Git LFS pointer; the file itself was not downloaded"),
    (b"<", "a web page or other text, not the download itself"),
    (b"", "no zip archive"),
)

_UNSAFE = re.compile(r"`(Lambda|TFSMLayer)`|Python lambda")
_UNKNOWN = re.compile(r"Could not (?:locate|deserialize) (class|function) '([^']*)'")
_WRAPPED = re.compile(r"(?:Error|Exception) encountered:\s")
_NOISE = re.compile(
    r"\x1b\[\d*m|^(Exception encountered when calling \S+|A total of \d+ objects could not .*)$", re.MULTILINE
)


def import_modules(names: Iterable[str]) -> None:
    """Imports the user's modules, whose classes register themselves with `keras.saving.register_keras_serializable`.

    Args:
        names: Module names as in an import statement.

    Raises:
        InputError: A module cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a module runs code of its own
            hint = " (a module name, not a file)" if name.endswith(".py") or "/" in name else ""
            raise InputError(
                f"import_module: {name}: found {type(error).__name__} ({reason(error)}), expected an importable module{hint}"
            ) from error


def load(path: Path) -> keras.Model:
    """Loads a model that Keras 3 saved, without running any code from the file (`safe_mode`).

    A model that was saved before it was built gets its weights when it is first applied. Apply it, then call
    `check_weights`.

    Raises:
        InputError: The file is missing, damaged, of a different format or an older Keras, or has layers that Keras does not
            know or refuses.
    """
    version = _check_archive(path)
    try:
        with warnings.catch_warnings():
            # Layers that an older Keras left out of the file; check_weights reports them.
            warnings.filterwarnings("ignore", "Skipping nested container")
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # json, h5py, Keras and custom layers each raise their own
        raise InputError(_refused(str(error), reason(error), version)) from error
    if not isinstance(model, keras.Model):
        raise InputError(f"found no readable Keras model (a {type(model).__name__}), expected a saved keras.Model")
    return model


def check_weights(model: keras.Model, path: Path) -> None:
    """Checks that every weight of a model from `load` is in the file, and that none is NaN.

    Keras leaves a weight at its random initial value if the model was saved before it was built, or by a version that
    did not save layers in nested lists. Such a weight differs at each load. It is found by loading twice: every weight
    is overwritten in between, and must be restored.

    Args:
        model: The model, after it was applied to an input.
        path: The file it was loaded from.

    Raises:
        InputError: A weight is missing or NaN. The first ones are named.
    """
    check_numbers(model)
    saved = [np.array(weight.numpy()) for weight in model.weights]
    for weight, values in zip(model.weights, saved, strict=True):
        weight.assign(np.full_like(values, np.nan) if _has_nan(values.dtype) else ~values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the weights that are missing
        model.load_weights(path, skip_mismatch=True)
    missing = [
        weight.path
        for weight, values in zip(model.weights, saved, strict=True)
        if not np.array_equal(weight.numpy(), values)
    ]
    if missing:
        raise InputError(
            f"found no values for {len(missing)} of {len(model.weights)} weights ({_first(missing)}), "
            "expected a model that was saved after it was built"
        )


def check_numbers(model: keras.Model) -> None:
    """Raises InputError if a weight of the model holds NaN, naming the first ones."""
    wrong = [weight.path for weight in model.weights if (weight.numpy() != weight.numpy()).any()]  # only NaN differs
    if wrong:
        raise InputError(
            f"found NaN in {len(wrong)} of {len(model.weights)} weights ({_first(wrong)}), expected numbers"
        )


def reason(error: BaseException) -> str:
    """The first line of an error's message that says something, in at most 200 characters."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _NOISE.sub("", _WRAPPED.split(text)[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]


def _check_archive(path: Path) -> str:
    """The version of Keras that wrote the file. Raises InputError unless it is a whole zip archive of a Keras model."""
    if path.is_dir():
        kind = "a SavedModel's folder" if (path / "saved_model.pb").exists() else "a folder"
        raise InputError(f"found {kind}, expected a .keras file")
    if not path.is_file():
        kind = "no regular file" if path.exists() else "no such file"
        raise InputError(f"found {kind}, expected a .keras file")
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                start = file.read(64)
            kind = (
                next(kind for signature, kind in _SIGNATURES if start.startswith(signature))
                if start
                else "an empty file"
            )
            raise InputError(f"found no readable Keras model ({kind}), expected a .keras file")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            absent = next((name for name in _MEMBERS if name not in names), None)
            if absent is not None:
                raise InputError(
                    f"found no readable Keras model (a zip archive without {absent}), expected a .keras file"
                )
            damaged = archive.testzip()
            if damaged is not None:
                raise InputError(f"found no readable Keras model ({damaged} is damaged), expected an undamaged file")
            return _version(archive)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and the disk each raise their own
        raise InputError(f"found no readable Keras model ({reason(error)}), expected a .keras file") from error


def _version(archive: zipfile.ZipFile) -> str:
    try:
        return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (KeyError, TypeError, ValueError):
        return "unknown"


def _refused(message: str, first: str, version: str) -> str:
    """The line for an error of Keras: `message`, whose first line is `first`."""
    unsafe, unknown = _UNSAFE.search(message), _UNKNOWN.search(message)
    if unsafe:
        layer = unsafe[1] or "Lambda"
        return (
            f"found a {layer} layer, which would run code that comes with the file, expected layers of Keras, or a layer "
            "class of yours that a module in import_module registers"
        )
    if version.startswith("2."):
        return f"found no readable Keras model (saved by Keras {version}: {first}), expected a file saved by Keras 3"
    if unknown:
        return (
            f"found the {unknown[1]} {unknown[2]!r}, which Keras does not know, expected import_module to name the module "
            "that registers it with keras.saving.register_keras_serializable"
        )
    return f"found no readable Keras model ({first}), expected a .keras file"


def _has_nan(dtype: Any) -> bool:
    return np.issubdtype(dtype, np.inexact) or dtype.kind == "V"  # ml_dtypes' floats are of kind V


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
