"""Reads networks that MatConvNet saved as `.mat` files, such as `imagenet-vgg-f.mat`, in a separate process."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files.child import PATIENCE, read_in_child
from dseh_tf.models.backbones.matconvnet_layers import Conv, Layer, MaxPool, Network, Norm, Relu, Softmax
from dseh_tf.models.backbones.matconvnet_reader import read_here

__all__ = ["Conv", "Layer", "MaxPool", "Network", "Norm", "Relu", "Softmax", "read_here", "read_network", "send"]


def read_network(path: Path) -> Network:
    """The network in a `.mat` file of MATLAB's formats 4 to 7, read in a separate process.

    scipy's reader is compiled code that a damaged file can crash, or keep busy without end. There, that ends a child and
    not the program.

    Args:
        path: the file. A missing pad is 0, a missing stride 1; both are a scalar or a vector.

    Returns:
        The layers in order, and the mean image.

    Raises:
        InputError: a missing, truncated or foreign file, one of format 7.3 or one that ends its reader, a missing field, a
            value of a different shape or kind than its layer needs.
    """
    return _received(read_in_child(path, _CHILD, patience=_PATIENCE, expected="a MATLAB .mat file"))


_PATIENCE = PATIENCE
# What the child runs: its standard output is the network, or the message of an InputError.
_CHILD = "import sys; from dseh_tf.models.backbones.matconvnet import send; send(sys.argv[1])"


def send(path: str) -> None:
    """Writes the network of a file, or the line on what is wrong with it, to standard output: JSON, then its arrays."""
    arrays: list[np.ndarray] = []

    def described(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(np.ascontiguousarray(value, "<f4"))
        return {"shape": value.shape}

    try:
        network = read_here(Path(path))
    except InputError as error:
        head: dict[str, Any] = {"error": str(error)}
    else:
        layers = [
            {"kind": type(layer).__name__, **{k: described(v) for k, v in vars(layer).items()}}
            for layer in network.layers
        ]
        head = {"layers": layers, "mean": described(network.mean)}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(array.data)


def _received(data: bytes) -> Network:
    """What `send` wrote. Raises InputError with its message if the file was wrong."""
    end = data.index(b"\n")
    head, start = json.loads(data[:end]), end + 1

    def value_of(item: Any) -> Any:
        nonlocal start
        if not isinstance(item, dict):
            return tuple(item) if isinstance(item, list) else item
        count, first = math.prod(item["shape"]), start
        start += 4 * count
        return np.frombuffer(data, "<f4", count, first).reshape(item["shape"])

    if "error" in head:
        raise InputError(head["error"])
    kinds = {kind.__name__: kind for kind in (Conv, Relu, Norm, MaxPool, Softmax)}
    layers = [
        kinds[layer.pop("kind")](**{name: value_of(item) for name, item in layer.items()}) for layer in head["layers"]
    ]
    return Network(tuple(layers), value_of(head["mean"]))
