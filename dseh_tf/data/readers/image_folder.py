"""Reads a folder of images with one subfolder per class."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from absl import logging

from dseh_tf.data.decoding import readable_suffixes
from dseh_tf.data.files import Listing, check_utf8, entries, expanded, hidden, is_folder, list_below
from dseh_tf.data.images import FileImages
from dseh_tf.data.labels import multi_hot
from dseh_tf.errors import InputError


def read_image_folder(root: Path) -> tuple[np.ndarray, np.ndarray, FileImages, tuple[str, ...]]:
    """(ids unicode [n], labels uint8 [n, c], images, class names) of `root/<class>/.../<image>`.

    Ids are the paths below `root`; classes and images are in alphabetical order. An image is a file with a suffix that
    Pillow registers for a format it can decode; the file itself is checked when it is read. Hidden names
    (`files.hidden`), links to folders inside a class, and other files are skipped; one logged line counts them.

    Raises InputError if there is no folder, fewer than two classes, a class without images, or a name that is not
    UTF-8.
    """
    root = expanded(root)
    paths, classes, names, passed = _listed(root)
    told = passed.passed_over()
    if told:
        # Files that systems leave behind are expected; a file of an unknown kind may be an image that was missed.
        say = logging.warning if passed.others or passed.links else logging.info
        say("%s: found %d images in %d folders; skipped %s", root, len(paths), len(names), told)
    ids = np.array([path.relative_to(root).as_posix() for path in paths])
    return ids, multi_hot(np.array(classes)), FileImages(tuple(paths)), names


def digest(root: Path) -> str:
    """A digest of the images by their paths below `root` and their sizes; it identifies the data set. Raises like
    `read_image_folder`."""
    root = expanded(root)
    paths, *_ = _listed(root)
    lines = (f"{path.relative_to(root).as_posix()}\0{_size(path)}" for path in paths)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _listed(root: Path) -> tuple[list[Path], list[int], tuple[str, ...], Listing]:
    """(paths of the images, the class of each, names of the classes, all that was found and skipped)."""
    if not is_folder(root):
        raise InputError(f"{root}: no such folder, expected one with a subfolder for each class")
    total = Listing()
    folders = []
    for entry in entries(root):
        if hidden(entry.name):
            total.hidden += 1
        elif is_folder(entry):
            folders.append(entry)
        else:
            total.others[f"{entry.suffix.lower() or 'no suffix'} beside the classes"] += 1
    if len(folders) < 2:
        raise InputError(f"{root}: found {len(folders)} folders, expected at least two, one for each class")
    suffixes = readable_suffixes()
    classes: list[int] = []
    for index, folder in enumerate(folders):
        found = list_below(folder, lambda name: Path(name).suffix.lower() in suffixes)
        if not found.files:
            passed = found.passed_over()
            raise InputError(
                f"{folder}: found no image{f' but {passed}' if passed else ''}, expected some (.jpg, .png, or another "
                "suffix of a format that Pillow decodes)"
            )
        total.add(found)
        classes += [index] * len(found.files)
    for path in total.files:
        check_utf8(path, root)
    return total.files, classes, tuple(folder.name for folder in folders), total


def _size(path: Path) -> int:
    """In bytes; -1 if the file cannot be looked at, as a link to nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
