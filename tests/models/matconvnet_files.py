"""Writes small networks as MatConvNet's `.mat` files, in the layouts in circulation, and computes them by loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat
from scipy.signal import correlate

Struct = dict[str, Any]


def small_cnn_f(rng: np.random.Generator, fc6: int = 6, mean_size: int = 224, filters: int = 3) -> list[Struct]:
    """The layers of CNN-F with its geometry and few filters; `fc6` is the size of the maps that reach it."""

    def conv(name: str, size: int, inputs: int, outputs: int, stride: int = 1, pad: Any = 0) -> Struct:
        kernel = rng.normal(size=(size, size, inputs, outputs)) * np.sqrt(2 / (size * size * inputs))
        return {
            "name": name, "type": "conv", "stride": stride, "pad": pad,
            "filters": kernel.astype(np.float32), "biases": rng.normal(size=(1, outputs)).astype(np.float32),
        }  # fmt: skip

    def relu(name: str) -> Struct:
        return {"name": name, "type": "relu"}

    def lrn(name: str) -> Struct:
        # alpha far above the real 1e-4, so that a mistake in the normalisation is seen
        return {"name": name, "type": "lrn", "param": np.array([[5, 2, 0.01, 0.75]])}

    def pool(name: str, pad: Any) -> Struct:
        return {"name": name, "type": "pool", "method": "max", "pool": [[3, 3]], "stride": [[2, 2]], "pad": pad}

    f = filters
    return [
        conv("conv1", 11, 3, f, stride=4), relu("relu1"), lrn("norm1"), pool("pool1", [[0, 1, 0, 1]]),
        conv("conv2", 5, f, f + 1, pad=2), relu("relu2"), lrn("norm2"), pool("pool2", 0),
        conv("conv3", 3, f + 1, f, pad=1), relu("relu3"),
        conv("conv4", 3, f, f + 2, pad=[[1, 1, 1, 1]]), relu("relu4"),
        conv("conv5", 3, f + 2, f, pad=1), relu("relu5"), pool("pool5", [[0, 1, 0, 1]]),
        conv("fc6", fc6, f, 8), relu("relu6"), conv("fc7", 1, 8, 7), relu("relu7"),
        conv("fc8", 1, 7, 5), {"name": "prob", "type": "softmax"},
    ]  # fmt: skip


def save(path: Path, layers: list[Struct], mean: Any, layout: str = "current", **options: Any) -> Path:
    """layout: "current" or "older", each also as "... in net"; see dseh_tf.models.backbones.matconvnet."""
    cell = np.empty((1, len(layers)), object)
    for index, layer in enumerate(layers):
        cell[0, index] = _current(layer) if layout.startswith("current") else _older(layer)
    normalization = {"averageImage": np.asarray(mean), "imageSize": [[224, 224, 3]], "interpolation": "bicubic"}
    classes = {"description": "none"}
    if layout.startswith("current"):
        content = {"layers": cell, "meta": {"normalization": normalization, "classes": classes}}
    else:
        content = {"classes": classes, "normalization": normalization, "layers": cell}
    savemat(path, {"net": content} if layout.endswith("in net") else content, **options)
    return path


def _current(layer: Struct) -> Struct:
    if layer["type"] != "conv":
        return layer
    weights = np.empty((1, 2), object)
    weights[0, 0], weights[0, 1] = layer["filters"], layer["biases"]
    return {
        "name": layer["name"], "type": "conv", "weights": weights, "size": layer["filters"].shape,
        "pad": layer["pad"], "stride": layer["stride"], "dilate": 1, "opts": np.empty((0, 0), object),
    }  # fmt: skip


def _older(layer: Struct) -> Struct:
    """Other names, another order, nothing that has a default."""
    layer = dict(layer)
    if layer.get("type") == "lrn":
        layer["type"] = "normalize"
    if layer.get("stride") == 1:
        del layer["stride"]
    if layer.get("pad") == 0:
        del layer["pad"]
    return dict(reversed(layer.items()))


def forward(layers: list[Struct], mean: np.ndarray, image: np.ndarray, last: str) -> np.ndarray:
    """One image [h, w, 3] through `layers` up to the one called `last`, in float64, by scipy and loops."""
    x = image.astype(np.float64) - mean
    for layer in layers:
        x = {"conv": _conv, "relu": lambda x, _: np.maximum(x, 0), "lrn": _lrn, "pool": _pool}[layer["type"]](x, layer)
        if layer["name"] == last:
            return x
    raise AssertionError(last)


def _padded(x: np.ndarray, pad: Any, value: float) -> np.ndarray:
    top, bottom, left, right = np.broadcast_to(np.ravel(pad), 4) if np.size(pad) == 1 else np.ravel(pad)
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)


def _conv(x: np.ndarray, layer: Struct) -> np.ndarray:
    x, step = _padded(x, layer["pad"], 0), layer["stride"]
    kernel = layer["filters"].astype(np.float64)
    maps = [
        correlate(x, kernel[..., k], mode="valid", method="direct")[::step, ::step, 0] + layer["biases"].ravel()[k]
        for k in range(kernel.shape[3])
    ]
    return np.stack(maps, axis=-1)


def _pool(x: np.ndarray, layer: Struct) -> np.ndarray:
    x = _padded(x, layer["pad"], -np.inf)
    size, step = np.ravel(layer["pool"])[0], np.ravel(layer["stride"])[0]
    rows, columns = ((n - size) // step + 1 for n in x.shape[:2])
    out = np.empty((rows, columns, x.shape[2]))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = x[i * step : i * step + size, j * step : j * step + size].max(axis=(0, 1))
    return out


def _lrn(x: np.ndarray, layer: Struct) -> np.ndarray:
    size, kappa, alpha, beta = np.ravel(layer["param"])
    out = np.empty_like(x)
    for channel in range(x.shape[-1]):
        low, high = max(0, channel - int(size) // 2), channel + int(size) // 2 + 1
        out[..., channel] = x[..., channel] / (kappa + alpha * (x[..., low:high] ** 2).sum(-1)) ** beta
    return out
