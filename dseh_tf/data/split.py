"""A split of a data set: rows with ids, labels, and images, features or texts. Does not import TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from dseh_tf.arrays import as_array, shown
from dseh_tf.data.images import ArrayImages, ImageSource
from dseh_tf.data.texts import text_rows
from dseh_tf.errors import InputError


@dataclass(frozen=True)
class Split:
    """Rows of a data set.

    Attributes:
        ids: Unicode [n], unique within the split and stable across runs.
        labels: uint8 multi-hot [n, c].
        images: The source of the images, or None (labels only, or features only).
        features: float32 [n, d] from a frozen backbone, or None.
        flipped_features: float32 [n, d] of the mirrored images, or None.
        texts: Text rows, sparse float32 [n, t] (see `texts.text_rows`, which dense arrays go through), or None.

    Raises:
        InputError: Other shapes, dtypes or numbers of rows.
    """

    ids: np.ndarray
    labels: np.ndarray
    images: ImageSource | None = None
    features: np.ndarray | None = None
    flipped_features: np.ndarray | None = None
    texts: sparse.csr_array | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "labels", "features", "flipped_features"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray)):
                object.__setattr__(self, name, as_array(value, name))
        if self.ids.ndim != 1:
            raise InputError(f"ids: found {shown(self.ids)}, expected strings [n]")
        n = len(self.ids)
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            raise InputError(f"labels: found {shown(self.labels)}, expected uint8 [{n}, classes]")
        if self.labels.size and self.labels.max() > 1:
            raise InputError(f"labels: found the value {self.labels.max()}, expected 0 or 1")
        if self.texts is not None:
            object.__setattr__(self, "texts", text_rows(self.texts))
        for name in ("features", "flipped_features"):
            value = getattr(self, name)
            if value is not None and (value.ndim != 2 or value.dtype.kind not in "iuf"):
                raise InputError(f"{name}: found {shown(value)}, expected float32 [{n}, d]")
        for name in ("labels", "images", "features", "flipped_features", "texts"):
            value = getattr(self, name)
            rows = n if value is None else value.shape[0] if name == "texts" else len(value)
            if rows != n:
                raise InputError(f"{name}: found {rows} rows, expected {n}, one per id")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> int:
        return self.labels.shape[1]

    def with_features(self, features: np.ndarray, flipped: np.ndarray | None = None) -> Split:
        """The same rows with features [n, d], and optionally those of the mirrored images."""
        return replace(self, features=features, flipped_features=flipped)

    def part(self, rows: slice) -> Split:
        """Consecutive rows. Features and labels are views; nothing is read from a memory map yet."""
        images = None if self.images is None else self.images.take(np.arange(len(self))[rows])
        names = ("ids", "labels", "features", "flipped_features", "texts")
        part: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows] for name in names
        }
        return Split(images=images, **part)

    def take(self, rows: np.ndarray) -> Split:
        """The given rows (integers or a boolean mask), in that order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        part: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("ids", "labels", "features", "flipped_features", "texts")
        }
        return Split(images=None if self.images is None else self.images.take(rows), **part)


def split_of_arrays(x: Any, labels: np.ndarray, part: str) -> Split:
    """Makes a split from images or features, or from labels alone.

    Args:
        x: uint8 images [n, height, width, 3], float features [n, d], or None.
        labels: uint8 multi-hot [n, c].
        part: Name of the split; its rows get the ids `<part>/<row>`.

    Raises:
        InputError: Other shapes or dtypes, or features that float32 cannot hold.
    """
    ids = np.array([f"{part}/{i}" for i in range(len(labels))], dtype=str)
    if x is None:
        return Split(ids, labels)
    x = as_array(x, part)
    images = x.ndim == 4 and x.shape[-1] == 3 and x.dtype == np.uint8
    if not images and not (x.ndim == 2 and x.shape[1] and x.dtype.kind == "f"):
        expected = "uint8 images [n, height, width, 3] or float features [n, d]"
        raise InputError(f"{part}: found {shown(x)}, expected {expected}")
    if len(x) != len(labels):
        raise InputError(f"{part} labels: found {len(labels)} rows, expected {len(x)}, one per row of x")
    if images:
        return Split(ids, labels, images=ArrayImages(x))
    with np.errstate(over="ignore"):
        features = x.astype(np.float32)
    if x.dtype.itemsize > 4:
        beyond = np.isfinite(x) & ~np.isfinite(features)
        if beyond.any():
            raise InputError(f"{part} features: found {x[beyond][0]}, expected numbers within the range of float32")
    return Split(ids, labels, features=features)
