"""Exported models in their own runtimes: TensorFlow, ONNX Runtime and LiteRT."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files.read import reason

# Of images uint8 [n, height, width, 3]: packed codes uint8 [n, ceil(bits / 8)] and logits float32 [n, bits].
Runner = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def needed(module: str, extra: str) -> ModuleType:
    """The module of an optional package. Raises InputError, naming the extra, if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise
        package = module.partition(".")[0].replace("_", "-")
        raise InputError(
            f"format: found no package {package}, which {extra} needs: pip install 'dseh_tf[{extra}]'"
        ) from None


def load(model: Path, model_format: str) -> Runner:
    """The model in a file, or in a SavedModel's folder.

    Raises:
        InputError: The runtime's package is not installed, or cannot load the model.
    """
    loader = {"saved_model": _saved_model, "onnx": _onnx}.get(model_format, _litert)
    try:
        return loader(model)
    except InputError:
        raise
    except Exception as error:  # each runtime raises its own
        raise InputError(f"{model}: cannot be loaded ({reason(error)}), expected a model as it was exported") from error


def _saved_model(model: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    encode = loaded.signatures["encode"]

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = encode(images=tf.constant(images, tf.uint8))
        return found["code"].numpy(), found["logits"].numpy()

    run.model = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables
    return run


def _onnx(model: Path) -> Runner:
    runtime = needed("onnxruntime", "onnx")
    session = runtime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code, logits = session.run(["code", "logits"], {"images": images})
        return code, logits

    return run


def _litert(model: Path) -> Runner:
    interpreter = needed("ai_edge_litert.interpreter", "litert").Interpreter(model_path=str(model))
    encode = interpreter.get_signature_runner("encode")

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = encode(images=images)
        return found["code"], found["logits"]

    return run
