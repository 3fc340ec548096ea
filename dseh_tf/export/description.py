"""`model.json` of an export: what the model is, digests of its files, check images, and the result of the check.

Does not import TensorFlow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.files import check_regular, read_json, write_json

FORMAT = 1
NAME = "model.json"
MODELS = {  # format: (file or folder in an export, name of the encoder)
    "saved_model": ("saved_model", "float32"),
    "onnx": ("model.onnx", "float32"),
    "litert": ("model.tflite", "float32"),
    "litert_float16": ("model.tflite", "litert_float16"),
    "litert_int8": ("model.tflite", "litert_int8"),
}
_BLOCK = 1 << 20
_FIELDS: dict[str, type] = {
    "model_format": str,
    "encoder": str,
    "bits": int,
    "about": dict,
    "class_names": list,
    "image_size": list,
    "input": dict,
    "files": dict,
    "digest": str,
    "versions": dict,
    "check_images": list,
    "check": dict,
}


def is_export(folder: Path | str) -> bool:
    """Whether a folder has a `model.json`."""
    return (Path(folder) / NAME).is_file()


def read(folder: Path | str) -> dict[str, Any]:
    """The content of `model.json`, its fields checked.

    Raises:
        InputError: A file that is missing or damaged, of a different format number, or with a field of a different kind.
    """
    path = Path(folder) / NAME
    found = read_json(path, "the model.json of an export")
    number = found.get("format")
    if type(number) is not int or number != FORMAT:
        raise InputError(f"{path}: format: found {number!r}, expected {FORMAT}, of this version: export the run again")
    for name, kind in _FIELDS.items():
        value = found.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{path}: {name}: found {value!r:.60}, expected {kind.__name__}")
    if found["model_format"] not in MODELS:
        raise InputError(f"{path}: model_format: found {found['model_format']!r}, expected one of {', '.join(MODELS)}")
    expected = MODELS[found["model_format"]][1]
    if found["encoder"] != expected or found["about"].get("encoder", "float32") != expected:
        raise InputError(f"{path}: encoder: found {found['encoder']!r}, expected {expected!r} of this model_format")
    size = found["image_size"]
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise InputError(f"{path}: image_size: found {size!r:.60}, expected height and width")
    if found["bits"] < 1 or found["about"].get("bits") != found["bits"]:
        raise InputError(f"{path}: bits: found {found['bits']}, expected those of about, {found['about'].get('bits')}")
    return found


def write(folder: Path, content: Mapping[str, Any]) -> None:
    write_json(folder / NAME, {"format": FORMAT, **content})


def model_path(folder: Path | str, found: Mapping[str, Any]) -> Path:
    """The file, or the folder of a SavedModel, that holds the model."""
    return Path(folder) / MODELS[found["model_format"]][0]


def digests(model: Path) -> dict[str, dict[str, Any]]:
    """Bytes and SHA-256 of the file, or of all files of the folder, by their path below the export."""
    files = sorted(path for path in model.rglob("*") if path.is_file()) if model.is_dir() else [model]
    return {str(path.relative_to(model.parent)): _digest(path) for path in files}


def digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 of all files' names and digests."""
    return hashlib.sha256("".join(f"{name} {files[name]['sha256']}\n" for name in sorted(files)).encode()).hexdigest()


def check_files(folder: Path | str, found: Mapping[str, Any]) -> None:
    """Raises InputError if a file of the model is missing, has other content than `model.json` says, or was added."""
    folder = Path(folder)
    model = model_path(folder, found)
    for name, expected in found["files"].items():
        if not isinstance(expected, dict) or Path(name).parts[:1] != (model.name,) or ".." in Path(name).parts:
            raise InputError(f"{folder / NAME}: files: found {name!r:.60}, expected files of {model.name}")
        check_regular(folder / name, "a file of the exported model")
        size = (folder / name).stat().st_size
        if size != expected.get("bytes"):
            raise InputError(f"{folder / name}: found {size:,} bytes, expected {expected.get('bytes')} as in {NAME}")
    now = digests(model)
    for name in now:
        if name not in found["files"]:
            raise InputError(f"{folder / name}: found a file that {NAME} does not name, expected those of the export")
        if now[name]["sha256"] != found["files"][name].get("sha256"):
            raise InputError(f"{folder / name}: found a different digest than in {NAME}, expected the file as exported")
    if digest(now) != found["digest"]:
        raise InputError(f"{folder / NAME}: digest: found {found['digest']:.20}, expected that of the model's files")


def _digest(path: Path) -> dict[str, Any]:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return {"bytes": path.stat().st_size, "sha256": sha.hexdigest()}
