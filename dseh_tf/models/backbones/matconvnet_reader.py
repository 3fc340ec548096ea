"""Reads the structs of a MatConvNet `.mat` file, in this process; `matconvnet.read_network` does it in a child.

Struct fields are read by name, never by position, so that both layouts in circulation work: the current one (`layers`,
`meta.normalization`, weights in one cell; read so in lelan-li/DSEH:net_vggf.py) and the older one (`normalization` at
the top, `filters` and `biases` apart; vlfeat/matconvnet:matlab/simplenn/vl_simplenn_tidy.m), either of them inside a
struct `net` or not (WendellGul/DCMH:data_handler.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files import check_regular
from dseh_tf.models.backbones.matconvnet_layers import Conv, Layer, MaxPool, Network, Norm, Relu, Softmax


def read_here(path: Path) -> Network:
    """Like `matconvnet.read_network`, in this process."""
    content = _load(path)
    if "layers" not in content and "net" in content:
        content = _fields(_only(content["net"]))
    if "layers" not in content:
        found = ", ".join(sorted(name for name in content if not name.startswith("__"))) or "nothing"
        raise InputError(f"{path}: layers: found {found}, expected the field `layers` of a MatConvNet network")
    layers = tuple(_LayerReader(path, index, value).read() for index, value in enumerate(_items(content["layers"])))
    return Network(layers, _mean(path, content))


def _load(path: Path) -> dict[str, Any]:
    # scipy takes a second to import, and a run with another trunk has no use for it
    from scipy.io import loadmat

    check_regular(path, "a MatConvNet .mat file")
    try:
        return loadmat(path, struct_as_record=False, squeeze_me=False, chars_as_strings=True)
    except NotImplementedError as error:  # scipy's answer to MATLAB 7.3 files, which are HDF5
        raise InputError(
            f"{path}: format: found MATLAB 7.3 (HDF5), expected format 7 or older as MatConvNet publishes it "
            "(in MATLAB: save with -v7)"
        ) from error
    except Exception as error:  # scipy raises whatever its parser stumbles over, from TypeError to zlib.error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{path}: found a truncated or foreign file ({reason}), expected a MATLAB .mat file"
        ) from error


def _only(value: Any) -> Any:
    """The content of MATLAB's 1 x 1 arrays."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value


def _items(value: Any) -> list[Any]:
    """The elements of a cell or of an array of structs."""
    array = np.asarray(value, dtype=object)
    return [_only(item) for item in array.ravel(order="F")]


def _fields(struct: Any) -> dict[str, Any]:
    """The fields of a struct by name; none if it is not a struct."""
    return {name: getattr(struct, name) for name in getattr(struct, "_fieldnames", ())}


def _mean(path: Path, content: dict[str, Any]) -> np.ndarray:
    """averageImage as [h, w, 3] or [1, 1, 3]; a single channel or a single number holds for all three."""
    where = _fields(_only(content["meta"])) if "meta" in content else {}
    holder = where.get("normalization", content.get("normalization"))
    normalization = {} if holder is None else _fields(_only(holder))
    if "averageImage" not in normalization:
        found = ", ".join(normalization) or "no normalization"
        raise InputError(f"{path}: normalization.averageImage: found {found}, expected the mean image")
    mean = _numbers(path, "normalization.averageImage", normalization["averageImage"])
    if mean.size in (1, 3):
        mean = mean.reshape(1, 1, -1)
    elif mean.ndim == 2:
        mean = mean[:, :, None]
    if mean.ndim != 3 or mean.shape[2] not in (1, 3):
        raise InputError(
            f"{path}: normalization.averageImage: found shape {mean.shape}, expected height x width x 3 or 1 x 1 x 3"
        )
    return np.repeat(mean, 3, axis=2) if mean.shape[2] == 1 else mean


def _numbers(path: Path, field: str, value: Any) -> np.ndarray:
    """A finite float32 array."""
    value = _only(value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or not array.size:
        found = (
            {"U": "text", "O": "a cell or struct"}.get(array.dtype.kind, "no real numbers") if array.size else "nothing"
        )
        raise InputError(f"{path}: {field}: found {found}, expected numbers")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {field}: found NaN or infinite values, expected finite ones")
    return array


class _LayerReader:
    """One element of `layers`."""

    def __init__(self, path: Path, index: int, struct: Any) -> None:
        self.path, self.fields = path, _fields(struct)
        self.name = f"layers{{{index + 1}}}"
        self.kind = self._text("type")
        self.name = self._text("name") if "name" in self.fields else self.name

    def read(self) -> Layer:
        match self.kind:
            case "conv":
                return self._conv()
            case "relu":
                return Relu(self.name)
            case "normalize" | "lrn":
                return self._norm()
            case "pool":
                return self._pool()
            case "softmax" | "softmaxloss":
                return Softmax(self.name)
        raise self._error("type", repr(self.kind), "conv, relu, normalize, lrn, pool or softmax")

    def _conv(self) -> Conv:
        if "weights" in self.fields:
            weights = _items(self.fields["weights"])
            if len(weights) != 2:
                raise self._error("weights", f"{len(weights)} arrays", "filters and biases")
            filters, biases = weights
        else:
            filters, biases = self._field("filters"), self._field("biases")
        kernel = _numbers(self.path, f"{self.name}.filters", filters)
        if kernel.ndim > 4:
            raise self._error("filters", f"shape {kernel.shape}", "height x width x in x out")
        # MATLAB drops trailing dimensions of size 1
        kernel = kernel.reshape((*kernel.shape, *[1] * (4 - kernel.ndim)))
        bias = _numbers(self.path, f"{self.name}.biases", biases).reshape(-1)
        if len(bias) != kernel.shape[3]:
            raise self._error("biases", f"{len(bias)} numbers", f"{kernel.shape[3]}, one per filter")
        if any(dilation != 1 for dilation in self._integers("dilate", 1)):
            raise self._error("dilate", str(self._integers("dilate", 1)), "1")
        return Conv(self.name, kernel, bias, self._pair("stride", 1), self._pad())

    def _norm(self) -> Norm:
        values = _numbers(self.path, f"{self.name}.param", self._field("param")).reshape(-1)
        if len(values) != 4 or values[0] % 2 != 1:
            raise self._error("param", str(values.tolist()), "[N kappa alpha beta] with N odd")
        return Norm(self.name, int(values[0]), *map(float, values[1:]))

    def _pool(self) -> MaxPool:
        method = self._text("method") if "method" in self.fields else "max"
        if method != "max":
            raise self._error("method", repr(method), "max")
        self._field("pool")
        return MaxPool(self.name, self._pair("pool", 1), self._pair("stride", 1), self._pad())

    def _field(self, field: str) -> Any:
        if field not in self.fields:
            raise self._error(field, ", ".join(self.fields) or "no struct", f"the field `{field}`")
        return self.fields[field]

    def _text(self, field: str) -> str:
        text = np.asarray(self._field(field))
        if text.dtype.kind != "U" or text.size != 1:
            raise self._error(field, f"an array of shape {text.shape}", "a text")
        return str(text.item())

    def _integers(self, field: str, default: int) -> list[int]:
        if field not in self.fields:
            return [default]
        values = _numbers(self.path, f"{self.name}.{field}", self.fields[field]).reshape(-1)
        if (values < 0).any() or (values % 1).any():
            raise self._error(field, str(values.tolist()), "non-negative integers")
        return [int(value) for value in values]

    def _pair(self, field: str, default: int) -> tuple[int, int]:
        values = self._integers(field, default)
        if len(values) not in (1, 2) or 0 in values:
            raise self._error(field, str(values), "one positive number, or two: y and x")
        return values[0], values[-1]

    def _pad(self) -> tuple[int, int, int, int]:
        values = self._integers("pad", 0)
        if len(values) not in (1, 4):
            raise self._error("pad", str(values), "one number, or four: top, bottom, left and right")
        top, bottom, left, right = values * 4 if len(values) == 1 else values
        return top, bottom, left, right

    def _error(self, field: str, found: str, expected: str) -> InputError:
        return InputError(f"{self.path}: {self.name}.{field}: found {found}, expected {expected}")
