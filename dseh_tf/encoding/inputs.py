"""Inputs of encoders: the rows of a split as checked matrices, and images given as files and arrays. Does not import
TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import shown
from dseh_tf.data import ArrayImages, FileImages, Split
from dseh_tf.data.images import ImageSource
from dseh_tf.data.memory_maps import check_finite
from dseh_tf.data.retrieval_dataset import as_split
from dseh_tf.errors import InputError, brief


def check_features(
    features: np.ndarray, ids: np.ndarray, part: str, width: int | None = None, most: float | None = None
) -> None:
    """Raises InputError if features [n, d] are of a different width, or hold a value that is not finite.

    Args:
        features: The rows.
        ids: Their names, for the message.
        part: Which rows these are, for the message.
        width: What a fitted method was trained on; None accepts any.
        most: A bound of |value|.
    """
    if width is not None and features.shape[1] != width:
        raise InputError(f"{part} features: found {features.shape[1]} columns, expected {width}, as in training")
    check_finite(features, ids, f"{part} features", most=most)


def input_matrix(split: Split) -> np.ndarray:
    """float32 [n, d]: the split's features, or its images flattened and scaled to 0..1.

    Raises InputError if the split has neither, or images of several sizes.
    """
    if split.features is not None:
        with np.errstate(over="ignore"):  # a number beyond float32's range is infinite then, which is checked
            return split.features.astype(np.float32, copy=False)
    if split.images is not None:
        images = [split.images.read(row) for row in range(len(split))]
        for row, image in enumerate(images):
            if image.shape != images[0].shape:
                raise InputError(
                    f"{split.ids[row]}: found an image of {image.shape}, expected {images[0].shape} as of {split.ids[0]}: "
                    "a method without a network takes raw images of one size, or --backbone or --features"
                )
        return np.stack(images).reshape(len(images), -1).astype(np.float32) / 255
    raise InputError("features: found labels only, expected features or images")


def checked_rows(split: Split, part: str, width: int | None = None) -> np.ndarray:
    """float32 [n, d] of a split; InputError on a value that is not finite (row and column named), a different width or no row."""
    if not len(split):
        raise InputError(f"{part} rows: found none, expected at least one")
    x = input_matrix(split)
    check_features(x, split.ids, part, width)
    return x


@dataclass(frozen=True)
class GivenImages:
    """Images of any sizes, each a file or an array uint8 [height, width, 3]; files are decoded when they are read."""

    items: tuple[Path | np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray) -> GivenImages:
        return GivenImages(tuple(self.items[int(row)] for row in rows))

    def read(self, row: int) -> np.ndarray:
        item = self.items[row]
        if isinstance(item, np.ndarray):
            return item
        from dseh_tf.data.decoding import decode_file  # Pillow is needed only where files are

        return decode_file(item)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for item in self.items:
            source = ArrayImages(item[None]) if isinstance(item, np.ndarray) else FileImages((item,))
            digest.update(source.fingerprint().encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ResizedImages:
    """Images stretched to `shape` (height, width); those of that size are unchanged."""

    source: ImageSource
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> ResizedImages:
        return ResizedImages(self.source.take(rows), self.shape)

    def read(self, row: int) -> np.ndarray:
        from dseh_tf.data.decoding import resize_to

        return resize_to(self.source.read(row), self.shape)

    def fingerprint(self) -> str:
        return f"{self.source.fingerprint()} {self.shape}"


def split_of(items: Any) -> Split:
    """A split without labels of what an encoder is asked to encode.

    Args:
        items: A list of paths and arrays uint8 [height, width, 3], mixed and of any sizes; or an array of images uint8
            [n, height, width, 3]; or features, floating, [n, d]; or a Split, which is returned as it is.

    Raises:
        InputError: Anything else, and an empty list. Files are not looked at.
    """
    if isinstance(items, (str, Path)):
        raise InputError(f"items: found the path {brief(str(items))}, expected a list of paths")
    if not isinstance(items, (list, tuple)) or not any(map(_is_image, items)):
        split = as_split(items, "items")
    else:
        given = tuple(map(_image, range(len(items)), items))
        ids = [f"items/{i}" if isinstance(item, np.ndarray) else str(item) for i, item in enumerate(given)]
        split = Split(np.array(ids), np.zeros((len(ids), 0), np.uint8), GivenImages(given))
    if not len(split):
        raise InputError("items: found none, expected at least one")
    return split


def _is_image(item: Any) -> bool:
    return isinstance(item, (str, Path)) or (isinstance(item, np.ndarray) and item.ndim == 3)


def _image(row: int, item: Any) -> Path | np.ndarray:
    if isinstance(item, (str, Path)):
        return Path(item).expanduser()
    plain = isinstance(item, np.ndarray) and not isinstance(item, np.ma.MaskedArray)
    if plain and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3 and item.size:
        return item
    found = shown(item) if isinstance(item, np.ndarray) else brief(item)
    raise InputError(f"items[{row}]: found {found}, expected a path or an image, uint8 [height, width, 3]")


def image_shape(split: Split) -> tuple[int, int] | None:
    """Height and width of the first image; None if the split's features are what is learned from."""
    if split.features is not None or split.images is None or not len(split):
        return None
    height, width = split.images.read(0).shape[:2]
    return height, width
