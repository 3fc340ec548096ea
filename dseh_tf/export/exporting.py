"""Exports the encoder of a run."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.files import expanded
from dseh_tf.encoding import RunEncoder, load_run
from dseh_tf.errors import InputError
from dseh_tf.export import check, check_images, description, formats, resizing, runtimes
from dseh_tf.export.identity import FLOAT32, about
from dseh_tf.export.model import image_shape
from dseh_tf.files import PARTIAL, writing

CALIBRATION = 128  # training images that int8 takes its ranges from
_PACKAGES = {
    "saved_model": (),
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "litert": ("ai-edge-litert",),
    "litert_float16": ("ai-edge-litert",),
    "litert_int8": ("ai-edge-litert",),
}


def export_run(
    run: RunEncoder | Path | str,
    out: Path | str,
    dataset: RetrievalDataset,
    model_format: str = "saved_model",
    class_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Exports a run's encoder as a single model, checks it in its own runtime, and writes `model.json`.

    Args:
        run: The encoder of a run (`load_run`), or the run folder.
        out: A new or empty folder. It has a temporary name until the export is complete.
        dataset: The run's data, with images: for the check, and for the calibration of int8.
        model_format: "saved_model", "onnx", "litert", "litert_float16" or "litert_int8".
        class_names: Names of the data set's classes, if they are known.

    Returns:
        The content of `model.json`.

    Raises:
        InputError: The run has no image encoder, the folder is not empty, a package is not installed, or the model
            fails the check.
    """
    out = expanded(Path(out))
    check_free(out)
    if model_format not in description.MODELS:
        raise InputError(f"format: found {model_format!r}, expected one of {', '.join(description.MODELS)}")
    formats.check_packages(model_format)
    if not isinstance(run, RunEncoder):
        run = load_run(run)
    shape = image_shape(run)
    partial = out.absolute().with_name(f"{PARTIAL}{os.getpid()}-{out.name}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with writing(out):
            partial.mkdir()
            content = _write(run, partial, dataset, model_format, class_names, shape)
            if out.exists():  # an empty folder that was made beforehand
                out.rmdir()
            partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return content


def check_free(out: Path) -> None:
    """Raises InputError unless a folder is new or empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: found files, expected a new or empty folder")


def _write(
    run: RunEncoder,
    folder: Path,
    dataset: RetrievalDataset,
    model_format: str,
    class_names: Sequence[str],
    shape: tuple[int, int],
) -> dict[str, Any]:
    name, encoder = description.MODELS[model_format]
    calibration = check.evenly(dataset.train, CALIBRATION, shape).images if encoder == "litert_int8" else None
    graph = formats.write(run, model_format, folder / name, calibration)
    files = description.digests(folder / name)
    runner = runtimes.load(folder / name, model_format)
    sizes = sum(file["bytes"] for file in files.values()), graph.weight_bytes
    result = check.check(run, dataset, runner, encoder, shape, sizes)
    content: dict[str, Any] = {
        "model_format": model_format,
        "encoder": encoder,
        "bits": run.bits,
        "about": about(run.config) | ({} if encoder == FLOAT32 else {"encoder": encoder}),
        "class_names": list(class_names),
        "image_size": list(shape),
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": [None, *((None, None) if graph.resizes else shape), 3],
            "colours": "RGB",
            "resizing": _resizing(graph.resizes, shape),
        },
        "outputs": {
            "code": f"uint8 [n, {-(-run.bits // 8)}]: bit k is bit k % 8 of byte k // 8, 1 where logit k >= 0",
            "logits": f"float32 [n, {run.bits}]",
        },
        "files": files,
        "digest": description.digest(files),
        "sizes": {"files": sizes[0], "weights": sizes[1]},
        "versions": _versions(model_format),
        "check_images": check_images.write(folder, runner, shape, graph.resizes),
        "check": result,
    }
    description.write(folder, content)
    return {"format": description.FORMAT, **content}


def _resizing(inside: bool, shape: tuple[int, int]) -> str:
    how = f"bilinear with antialiasing to {shape[0]} x {shape[1]}, stretched, as Pillow {resizing.pillow()} does"
    return f"{'inside the model' if inside else 'before the model'}: {how}"


def _versions(model_format: str) -> dict[str, str]:
    names = ("dseh_tf", "tensorflow", "keras", "numpy", "pillow", *_PACKAGES[model_format])
    return {name: importlib.metadata.version(name) for name in names}
