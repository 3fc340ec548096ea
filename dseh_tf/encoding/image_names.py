"""The images to encode and their order: those in a folder, or those that a list names. Does not import TensorFlow."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from dseh_tf.data.decoding import readable_suffixes
from dseh_tf.data.files import expanded, is_folder, list_below, read_bytes
from dseh_tf.errors import InputError, brief

# The labels of an image list (`path 0 1 0 ...`). One number alone may be the end of a name.
_LABELS = re.compile(r"(?:[ \t]+[01]){2,}$")


@dataclass(frozen=True)
class ImageFiles:
    """Image files in a fixed order. They are not checked before they are decoded.

    Attributes:
        root: The absolute path of the folder that ids are relative to.
        ids: Paths of the images relative to `root`, with forward slashes; each once.
    """

    root: Path
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """A digest of the ids in their order. The images themselves are not read."""
        return hashlib.sha256("\0".join(self.ids).encode()).hexdigest()[:16]


def image_files(images: Path | str, root: Path | str | None = None) -> ImageFiles:
    """The images of a folder or of a list.

    Args:
        images: A folder: the images at any depth, in the order of their paths; an image is a file whose suffix is one of a
            format that Pillow decodes. Or a text file with one path per line, in its order; the labels of an image list
            (`path 0 1 0 ...`) are ignored.
        root: The folder that the paths of a list are relative to. Default: the folder of the list. Must be None for a
            folder.

    Raises:
        InputError: `images` is neither a folder nor a list, or contains no image; a name is not UTF-8; or a path is
            listed twice.
    """
    images = expanded(images)
    if is_folder(images):
        if root is not None:
            raise InputError(f"images_root: found {root}, but images is the folder {images}, expected none")
        return _in_folder(images.absolute())
    folder = expanded(root) if root is not None else images.parent
    if not is_folder(folder):
        raise InputError(f"{folder}: no such folder, expected the one that image paths are relative to")
    return ImageFiles(folder.absolute(), tuple(_listed(images)))


def _in_folder(root: Path) -> ImageFiles:
    suffixes = readable_suffixes()
    found = list_below(root, lambda name: Path(name).suffix.lower() in suffixes)
    passed = found.passed_over()
    if not found.files:
        others = f" but {passed}" if passed else ""
        raise InputError(f"{root}: found no image{others}, expected some (.jpg, .png, ...)")
    if passed:
        logging.info("%s: found %d images; skipped %s", root, len(found.files), passed)
    ids = tuple(path.relative_to(root).as_posix() for path in found.files)
    for name in ids:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{root}: found the name {name!a}, expected names in UTF-8") from None
    return ImageFiles(root, ids)


def _listed(file: Path) -> list[str]:
    """The paths of a list, as written but for `.` and double slashes."""
    try:
        text = read_bytes(file, "a folder of images, or a list with one path per line").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: found bytes that are not UTF-8 ({error.reason}), expected a list of paths") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name = _LABELS.sub("", line.strip())
        if not name:
            continue
        if "\0" in name:
            raise InputError(f"{file}:{number}: found {brief(name)}, expected a path")
        name = posixpath.normpath(name)
        if name in seen:
            raise InputError(
                f"{file}:{number}: found {name} a second time (first in line {seen[name]}), expected each image once"
            )
        seen[name] = number
    if not seen:
        raise InputError(f"{file}: found an empty list, expected one path per line")
    return list(seen)
