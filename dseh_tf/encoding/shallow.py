"""Encoders of the shallow methods: arrays and one formula each, saved as one npz file. No TensorFlow here.

Rows are scaled to unit length where asked, and centred by the training mean; each class below turns them into real values
[n, K], whose signs are the code.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dseh_tf.arrays import shown, unit_rows
from dseh_tf.data import Split
from dseh_tf.data.retrieval_dataset import as_split
from dseh_tf.encoding.inputs import checked_rows
from dseh_tf.errors import InputError
from dseh_tf.files import read_npz, write_npz
from dseh_tf.retrieval import sign

BLOCK_ROWS = 4096
LEVELS = 255  # of a tree's input: eight bits, as in FastH's release, need no binning by the trees
FORMAT = 1


class Rows:
    """What happens to rows before a formula sees them.

    Args:
        normalise: Divide each row by its length.
        mean: Of the training rows so scaled, float64 [d].
    """

    def __init__(self, normalise: bool, mean: np.ndarray) -> None:
        self.normalise, self.mean = normalise, mean

    @property
    def width(self) -> int:
        return len(self.mean)

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """float32 [n, d], rows of unit length where asked, not centred."""
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
        image_shape: (height, width) of the training images where raw images were learnt from, else None.
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

        Raises InputError on values that are not finite, and on another width.
        """
        split = as_split(split)
        codes = np.empty((len(split), self.bits), np.int8)
        done = 0
        for block in self.values(split):
            codes[done : done + len(block)] = sign(block)
            done += len(block)
        return codes

    def values(self, split: Split) -> Iterator[np.ndarray]:
        """Yields the real values before their signs, float64 [b, K], in blocks: the rows need not fit in memory."""
        split = as_split(split)
        for start in range(0, len(split), BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, len(split)))
            yield self.project(checked_rows(split.take(rows), "encoded", self.rows.width))

    def save(self, path: Path | str) -> None:
        """Writes all arrays to one npz file, whole or not at all; `load` reads it."""
        arrays = {"format": np.array(FORMAT), "encoder": np.array(self.kind)}
        arrays |= {"normalise": np.array(self.rows.normalise), "mean": self.rows.mean}
        if self.image_shape is not None:
            arrays["image_shape"] = np.array(self.image_shape, np.int64)
        write_npz(path, arrays | {name: np.asarray(getattr(self, name)) for name in self.ARRAYS})

    def fault(self) -> str:
        """What is wrong with arrays of the right types and shapes; empty where nothing is."""
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
        return _outside("direction", self.direction, len(self.lowest))


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
            return f"weights: found {len(self.weights)} rows, expected {len(self.anchors) + 1}, one an anchor and one more"
        return _not_negative(self.divisor)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trees(ShallowEncoder):
    """Sums of regression trees, as many for a bit as it has, on quantised projections of the centred row.

    A row's projection on each direction becomes one of `LEVELS` levels between the training rows' extremes. A tree is a
    run of nodes; a row goes to `left` where the level of `feature` is at most `threshold`, else to `right`, until a leaf.

    directions: float64 [d, p]. lowest, step: float64 [p], of the levels. baseline: float64 [K], what a bit's sum begins
    with. roots: int64 [trees], the first node of each. first_tree: int64 [K + 1], bit k has the trees first_tree[k] to
    first_tree[k + 1] - 1. Of the nodes, [N]: feature int64; threshold float64; left and right int64, -1 at a leaf; value
    float64, of a leaf.
    """

    directions: np.ndarray
    lowest: np.ndarray
    step: np.ndarray
    baseline: np.ndarray
    first_tree: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    kind = "trees"
    ARRAYS: ClassVar = {
        "directions": ("f8", "dp"),
        "lowest": ("f8", "p"),
        "step": ("f8", "p"),
        "baseline": ("f8", "K"),
        "first_tree": ("i8", "k"),
        "roots": ("i8", "t"),
        "feature": ("i8", "N"),
        "threshold": ("f8", "N"),
        "left": ("i8", "N"),
        "right": ("i8", "N"),
        "value": ("f8", "N"),
    }

    @property
    def bits(self) -> int:
        return len(self.baseline)

    def project(self, x: np.ndarray) -> np.ndarray:
        from dseh_tf.encoding.tree_sums import tree_sums  # compiled: only where there are trees

        seen = levels(self.rows.projected(x, self.directions), self.lowest, self.step)
        nodes = (self.feature, self.threshold, self.left, self.right, self.value)
        return tree_sums(seen, self.baseline, self.first_tree, self.roots, *nodes)

    def fault(self) -> str:
        """The compiled loop checks no index, so each is checked here; a child comes after its parent, so none loops."""
        nodes = len(self.feature)
        inner = np.flatnonzero(self.left >= 0)
        for name in ("left", "right"):
            children = getattr(self, name)[inner]
            if (children <= inner).any() or (children >= nodes).any():
                return f"{name}: found a node that is not among those after its parent, expected one of them"
        counts = self.first_tree
        if len(counts) != self.bits + 1 or counts[0] or counts[-1] != len(self.roots) or (np.diff(counts) < 0).any():
            return f"first_tree: found {shown(counts)}, expected {self.bits + 1} rising numbers from 0 to the number of trees"
        return _outside("roots", self.roots, nodes) or _outside("feature", self.feature, len(self.lowest))


KINDS: dict[str, type[ShallowEncoder]] = {
    kind.kind: kind for kind in (Projection, Sinusoids, CentredKernel, BiasedKernel, Trees)
}


def load(path: Path | str) -> ShallowEncoder:
    """The encoder that `ShallowEncoder.save` wrote: the same codes, bit for bit.

    Raises:
        InputError: A file that is missing or damaged, of a later format, or with arrays that make no encoder.
    """
    arrays = read_npz(path, ("format", "encoder", "normalise", "mean"))
    number, kind = arrays["format"], KINDS.get(str(arrays["encoder"]))
    if number.dtype.kind != "i" or number.ndim or number != FORMAT:
        raise InputError(f"{path}: format: found {_told(number)}, expected {FORMAT}, of this version")
    if kind is None:
        raise InputError(f"{path}: encoder: found {_told(arrays['encoder'])}, expected one of {', '.join(KINDS)}")
    arrays |= read_npz(path, kind.ARRAYS, optional=("image_shape",))
    sizes: dict[str, int] = {}
    expected = {"normalise": ("?", ""), "mean": ("f8", "d"), **kind.ARRAYS}
    if "image_shape" in arrays:
        expected["image_shape"] = ("i8", "2")
        sizes["2"] = 2
    for name, (dtype, shape) in expected.items():
        _check(f"{path}: {name}", arrays[name], dtype, shape, sizes)
    found: dict[str, Any] = {name: arrays[name] for name in kind.ARRAYS}
    if "image_shape" in arrays:
        height, width = map(int, arrays["image_shape"])
        if min(height, width) < 1 or 3 * height * width != sizes["d"]:
            raise InputError(f"{path}: image_shape: found {height} x {width}, expected images of {sizes['d']} numbers")
        found["image_shape"] = height, width
    encoder = kind(rows=Rows(bool(arrays["normalise"]), arrays["mean"]), **found)
    fault = encoder.fault()
    if fault:
        raise InputError(f"{path}: {fault}")
    return encoder


def _check(where: str, array: np.ndarray, dtype: str, shape: str, sizes: dict[str, int]) -> None:
    """Raises InputError on another type, on a size that its letter has not elsewhere, and on numbers that are not finite."""
    fits = array.dtype == np.dtype(dtype) and array.ndim == len(shape)
    if not fits or any(sizes.setdefault(letter, size) != size for letter, size in zip(shape, array.shape, strict=True)):
        told = ", ".join(str(sizes.get(letter, letter)) for letter in shape)
        raise InputError(f"{where}: found {shown(array)}, expected {np.dtype(dtype)} [{told}]")
    if shape and not array.size and "N" not in shape and "t" not in shape:
        raise InputError(f"{where}: found {shown(array)}, expected at least one number")
    if dtype.startswith("f") and not np.isfinite(array).all():
        raise InputError(f"{where}: found {array[~np.isfinite(array)].flat[0]}, expected finite numbers")


def _told(array: np.ndarray) -> str:
    return repr(array.item()) if not array.ndim else shown(array)


def _outside(name: str, rows: np.ndarray, count: int) -> str:
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


def levels(projected: np.ndarray, lowest: np.ndarray, step: np.ndarray) -> np.ndarray:
    """float32 [n, p] of whole numbers 0 to LEVELS - 1: how many steps a projection is above the lowest."""
    return np.clip((projected - lowest) // step, 0, LEVELS - 1).astype(np.float32)
