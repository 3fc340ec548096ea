"""Encoders of shallow methods: arrays and one formula each, saved as one npz file. Does not import TensorFlow.

Rows are scaled to unit length if requested, and centred by the training mean; each class below maps them to real values
[n, K], whose signs are the code.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dseh_tf.arrays import unit_rows
from dseh_tf.data import Split
from dseh_tf.data.retrieval_dataset import as_split
from dseh_tf.encoding.inputs import checked_rows
from dseh_tf.files import write_npz
from dseh_tf.retrieval import sign

BLOCK_ROWS = 4096
FORMAT = 1  # of the file


class Rows:
    """The scaling and centring of rows before a formula is applied.

    Args:
        normalise: Divide each row by its length.
        mean: Mean of the training rows so scaled, float64 [d].
    """

    def __init__(self, normalise: bool, mean: np.ndarray) -> None:
        self.normalise, self.mean = normalise, mean

    @property
    def width(self) -> int:
        return len(self.mean)

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """float32 [n, d], scaled to unit length if requested, not centred."""
        return unit_rows(x) if self.normalise else x

    def centred(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, d], scaled and centred by the training mean."""
        return self.scaled(x).astype(np.float64) - self.mean

    def projected(self, x: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """float64 [n, p]: the centred rows times directions [d, p], block by block."""
        out = np.empty((len(x), directions.shape[1]))
        for start in range(0, len(x), BLOCK_ROWS):
            out[start : start + BLOCK_ROWS] = self.centred(x[start : start + BLOCK_ROWS]) @ directions
        return out


@dataclass(frozen=True, eq=False, kw_only=True)
class ShallowEncoder(abc.ABC):
    """Features, or raw images of one size, to codes.

    Attributes:
        rows: What happens to rows first.
        image_shape: (height, width) of the training images if the method was trained on raw images, else None.
    """

    rows: Rows
    image_shape: tuple[int, int] | None = None

    kind: ClassVar[str]
    # Of each array in the file: its dtype, and its shape by letters (d columns of a row, K bits; the rest by the class).
    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]]

    @property
    @abc.abstractmethod
    def bits(self) -> int:
        """Code length K."""

    @abc.abstractmethod
    def project(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, K] of raw rows float32 [n, d]."""

    def encode(self, split: Split) -> np.ndarray:
        """int8 ±1 [n, K] of a split, or of an array of features [n, d] or images uint8 [n, height, width, 3].

        Raises InputError on values that are not finite, and on a different width.
        """
        split = as_split(split)
        codes = np.empty((len(split), self.bits), np.int8)
        done = 0
        for block in self.values(split):
            codes[done : done + len(block)] = sign(block)
            done += len(block)
        return codes

    def values(self, split: Split) -> Iterator[np.ndarray]:
        """Yields the real-valued outputs before the sign, float64 [b, K], in blocks, so that the rows need not fit in
        memory."""
        split = as_split(split)
        for start in range(0, len(split), BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, len(split)))
            yield self.project(checked_rows(split.take(rows), "encoded", self.rows.width))

    def save(self, path: Path | str) -> None:
        """Writes all arrays to one npz file atomically; `dseh_tf.encoding.saved.load` reads it."""
        arrays = {"format": np.array(FORMAT), "encoder": np.array(self.kind)}
        arrays |= {"normalise": np.array(self.rows.normalise), "mean": self.rows.mean}
        if self.image_shape is not None:
            arrays["image_shape"] = np.array(self.image_shape, np.int64)
        write_npz(path, arrays | {name: np.asarray(getattr(self, name)) for name in self.ARRAYS})

    def fault(self) -> str:
        """What is wrong with arrays of the right types and shapes; empty if nothing is."""
        return ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection(ShallowEncoder):
    """x W of the centred rows. weights: W, float64 [d, K]."""

    weights: np.ndarray

    kind = "projection"
    ARRAYS: ClassVar = {"weights": ("f8", "dK")}

    @property
    def bits(self) -> int:
        return self.weights.shape[1]

    def project(self, x: np.ndarray) -> np.ndarray:
        return self.rows.centred(x) @ self.weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Sinusoids(ShallowEncoder):
    """sin(frequency * v + pi / 2), v the centred row along one direction, counted from its lowest training value.

    directions: float64 [d, p]. lowest: float64 [p]. direction: int64 [K], which one a bit reads. frequency: float64 [K].
    """

    directions: np.ndarray
    lowest: np.ndarray
    direction: np.ndarray
    frequency: np.ndarray

    kind = "sinusoids"
    ARRAYS: ClassVar = {
        "directions": ("f8", "dp"),
        "lowest": ("f8", "p"),
        "direction": ("i8", "K"),
        "frequency": ("f8", "K"),
    }

    @property
    def bits(self) -> int:
        return len(self.frequency)

    def project(self, x: np.ndarray) -> np.ndarray:
        values = (self.rows.centred(x) @ self.directions - self.lowest)[:, self.direction]
        return np.sin(self.frequency * values + np.pi / 2)

    def fault(self) -> str:
        return outside("direction", self.direction, len(self.lowest))


@dataclass(frozen=True, eq=False, kw_only=True)
class CentredKernel(ShallowEncoder):
    """(exp(d^2 / divisor) - centre) W, d the distances of the scaled row to the anchors.

    anchors: float32 [m, d], scaled. divisor: a negative number. centre: float64 [m]. weights: W, float64 [m, K].
    """

    anchors: np.ndarray
    divisor: float
    centre: np.ndarray
    weights: np.ndarray

    kind = "centred_kernel"
    ARRAYS: ClassVar = {
        "anchors": ("f4", "md"),
        "divisor": ("f8", ""),
        "centre": ("f8", "m"),
        "weights": ("f8", "mK"),
    }

    @property
    def bits(self) -> int:
        return self.weights.shape[1]

    def project(self, x: np.ndarray) -> np.ndarray:
        return (rbf(squared_distances(self.rows.scaled(x), self.anchors), self.divisor) - self.centre) @ self.weights

    def fault(self) -> str:
        return _not_negative(self.divisor)


@dataclass(frozen=True, eq=False, kw_only=True)
class BiasedKernel(ShallowEncoder):
    """[exp(d^2 / divisor), 1] W, d the distances of the scaled row to the anchors.

    anchors: float32 [m, d], scaled. divisor: a negative number. weights: W, float64 [m + 1, K].
    """

    anchors: np.ndarray
    divisor: float
    weights: np.ndarray

    kind = "biased_kernel"
    ARRAYS: ClassVar = {"anchors": ("f4", "md"), "divisor": ("f8", ""), "weights": ("f8", "qK")}

    @property
    def bits(self) -> int:
        return self.weights.shape[1]

    def project(self, x: np.ndarray) -> np.ndarray:
        return with_ones(rbf(squared_distances(self.rows.scaled(x), self.anchors), self.divisor)) @ self.weights

    def fault(self) -> str:
        if len(self.weights) != len(self.anchors) + 1:
            return (
                f"weights: found {len(self.weights)} rows, expected {len(self.anchors) + 1}, one an anchor and one more"
            )
        return _not_negative(self.divisor)


def outside(name: str, rows: np.ndarray, count: int) -> str:
    if not len(rows) or (rows.min() >= 0 and rows.max() < count):
        return ""
    return f"{name}: found numbers from {rows.min()} to {rows.max()}, expected 0 to {count - 1}"


def _not_negative(divisor: float) -> str:
    return "" if divisor < 0 else f"divisor: found {float(divisor)}, expected a number below 0"


def squared_distances(x: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """float64 [n, m] of squared Euclidean distances, none below zero."""
    x, anchors = x.astype(np.float64), anchors.astype(np.float64)
    distances = x @ anchors.T
    distances *= -2
    distances += np.einsum("id,id->i", x, x)[:, None]
    distances += np.einsum("id,id->i", anchors, anchors)
    return np.maximum(distances, 0, out=distances)


def rbf(distances: np.ndarray, divisor: float) -> np.ndarray:
    """exp(d^2 / divisor) of squared distances [n, m]."""
    return np.exp(distances / divisor)


def with_ones(phi: np.ndarray) -> np.ndarray:
    """[n, m + 1]: the features [n, m] and a column of ones."""
    return np.hstack([phi, np.ones((len(phi), 1))])
