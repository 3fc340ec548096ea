"""Writes an encoder's graph as a SavedModel, an ONNX file or a LiteRT file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from dseh_tf.encoding import RunEncoder
from dseh_tf.errors import InputError
from dseh_tf.export import resizing
from dseh_tf.export.graph import EncoderGraph
from dseh_tf.export.runtimes import needed
from dseh_tf.files.read import reason

_OPSET = 17


def check_packages(model_format: str) -> None:
    """Raises InputError if a package that the format needs is not installed."""
    if model_format == "onnx":
        for module in ("tf2onnx", "onnxruntime"):
            needed(module, "onnx")
    elif model_format.startswith("litert"):
        needed("ai_edge_litert.interpreter", "litert")


def write(run: RunEncoder, model_format: str, path: Path, calibration: np.ndarray | None = None) -> EncoderGraph:
    """Writes the model and returns its graph.

    Args:
        run: The encoder of a run.
        model_format: One of `description.MODELS`.
        path: The file, or the folder of a SavedModel.
        calibration: For int8: images uint8 [n, height, width, 3] of the run's size, which the ranges are taken from.

    Raises:
        InputError: The format's converter does not accept the graph.
    """
    if model_format == "saved_model":
        graph = EncoderGraph(run, tf.float64, resizing.begins_with_rows())
        graph.save(path)
        return graph
    # ONNX Runtime computes in float64 too. LiteRT has no matrix product of float64.
    graph = EncoderGraph(run, tf.float64 if model_format == "onnx" else tf.float32)
    try:
        if model_format == "onnx":
            _onnx(graph, path)
        else:
            _litert(graph, model_format, path, calibration)
    except OSError:
        raise
    except Exception as error:  # each converter raises its own
        raise InputError(
            f"format: {model_format}: found a graph that cannot be converted ({reason(error)}), expected one that can"
        ) from error
    return graph


def _onnx(graph: EncoderGraph, path: Path) -> None:
    signature = graph.encode.input_signature
    needed("tf2onnx.convert", "onnx").from_function(graph.encode, signature, opset=_OPSET, output_path=str(path))


def _litert(graph: EncoderGraph, model_format: str, path: Path, calibration: np.ndarray | None = None) -> None:
    # From a SavedModel: from_concrete_functions writes a file without weights where the model is Keras 3's.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        graph.save(Path(folder) / "saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(folder) / "saved_model"), ["encode"])
        if model_format != "litert":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if model_format == "litert_float16":
            converter.target_spec.supported_types = [tf.float16]
        if model_format == "litert_int8":

            def images() -> Iterator[dict[str, np.ndarray]]:
                for image in calibration if calibration is not None else ():
                    yield {"images": image[None]}

            converter.representative_dataset = images
        path.write_bytes(converter.convert())
