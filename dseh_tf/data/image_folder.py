"""A folder of one's own images, one sub-folder a class."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from dseh_tf.data.retrieval_dataset import FileImages, multi_hot
from dseh_tf.errors import InputError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))


def read_image_folder(root: Path) -> tuple[np.ndarray, np.ndarray, FileImages, tuple[str, ...]]:
    """(ids unicode [n], labels uint8 [n, c], images, class names) of `root/<class>/.../<image>`.

    Ids are the paths below `root`; classes and images come in alphabetical order. Other files are passed over.
    Raises InputError where there is no folder, fewer than two classes, or a class without images.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder, expected one with a folder a class")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(folders) < 2:
        raise InputError(f"{root}: found {len(folders)} folders, expected at least two, one a class")
    paths, classes = [], []
    for index, folder in enumerate(folders):
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise InputError(f"{folder}: found no image, expected some ({', '.join(sorted(SUFFIXES))})")
        paths += found
        classes += [index] * len(found)
    ids = np.array([path.relative_to(root).as_posix() for path in paths])
    return ids, multi_hot(np.array(classes)), FileImages(tuple(paths)), tuple(folder.name for folder in folders)


def digest(root: Path) -> str:
    """Of the images by their paths below `root` and their sizes: another digest is another data set. Errors as above."""
    ids, _, images, _ = read_image_folder(root)
    lines = (f"{name}\0{path.stat().st_size}" for name, path in zip(ids.tolist(), images.paths, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
