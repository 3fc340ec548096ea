"""The layers of a MatConvNet network, as its `.mat` files describe them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Conv:
    """A convolution: kernel float32 [height, width, in, out], bias [out], stride (y, x), pad (top, bottom, left, right)."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]


@dataclass(frozen=True)
class Relu:
    name: str


@dataclass(frozen=True)
class Norm:
    """Response normalisation over `size` neighbouring channels: x / (kappa + alpha * sum of squares) ** beta."""

    name: str
    size: int
    kappa: float
    alpha: float
    beta: float


@dataclass(frozen=True)
class MaxPool:
    """A maximum over windows of `size` (y, x)."""

    name: str
    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]


@dataclass(frozen=True)
class Softmax:
    name: str


Layer = Conv | Relu | Norm | MaxPool | Softmax


@dataclass(frozen=True)
class Network:
    """A chain of layers, and the mean image it expects to be subtracted: float32 [h, w, 3] or [1, 1, 3], RGB 0..255."""

    layers: tuple[Layer, ...]
    mean: np.ndarray
