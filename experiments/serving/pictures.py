"""The pictures of the items of an index: their source, and thumbnails of them in a bounded cache."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dseh_tf.data.decoding import decode_file, readable_formats
from dseh_tf.data.files import irregular
from dseh_tf.errors import InputError
from dseh_tf.export.description import is_export
from experiments.serving.limits import Limits, Refused, check_pixels

SIDE = 320  # of a thumbnail, at most: sharp on screens with two pixels a point
_CACHE_BYTES = 64 * 2**20


class Pictures(Protocol):
    """The pictures of items by id. Both methods raise Refused if an item has none that can be shown."""

    def pixels(self, name: str) -> np.ndarray:
        """uint8 [height, width, 3], RGB, as an encoder reads it."""

    def small(self, name: str) -> Image.Image:
        """At most `SIDE` wide and high."""


class Folder:
    """Images below a folder; ids are paths relative to it. A path that leads out of the folder is refused."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root.resolve(), limits

    def pixels(self, name: str) -> np.ndarray:
        try:
            return decode_file(self._checked(name))
        except InputError:
            raise _no_picture(name) from None

    def small(self, name: str) -> Image.Image:
        path = self._checked(name)
        try:
            with Image.open(path, formats=readable_formats()) as image:
                if image.format not in ("JPEG", "MPO"):
                    return _shrunk(Image.fromarray(decode_file(path)))
                image.draft("RGB", (SIDE, SIDE))  # decodes a JPEG at a fraction of its size
                return _shrunk(ImageOps.exif_transpose(image).convert("RGB"))
        except Exception:  # whatever Pillow's readers raise on a damaged file
            raise _no_picture(name) from None

    def _checked(self, name: str) -> Path:
        """The file, which is below the folder, an image by its header and not too large."""
        try:
            path = (self._root / name).resolve()
        except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a circle of links
            raise _no_picture(name) from None
        if not path.is_relative_to(self._root):
            raise Refused(403, f"id: found {name!r}, which is outside the folder of the images")
        if not path.is_file() or irregular(path) is not None:
            raise _no_picture(name)
        try:
            check_pixels(path, self._limits, readable_formats())
        except UnidentifiedImageError:
            raise _no_picture(name) from None
        return path


class OfDataSet:
    """The images of a run's data set."""

    def __init__(self, read: Callable[[str], np.ndarray | None]) -> None:
        self._read = read

    def pixels(self, name: str) -> np.ndarray:
        found = self._read(name)
        if found is None:
            raise _no_picture(name)
        return found

    def small(self, name: str) -> Image.Image:
        return _shrunk(Image.fromarray(self.pixels(name)))


class Thumbnails:
    """JPEG files of small pictures, made when they are asked for; the most recent ones are kept."""

    def __init__(self, most: int = _CACHE_BYTES, at_a_time: int = 2) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._lock, self._turns = threading.Lock(), threading.BoundedSemaphore(at_a_time)

    def of(self, run: int, pictures: Pictures, name: str) -> bytes:
        """The thumbnail of a run's item, as a JPEG file. Raises Refused if it has none."""
        key = run, name
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._turns:
            file = io.BytesIO()
            pictures.small(name).save(file, "JPEG", quality=85)
        data = file.getvalue()
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(key, b""))
            self._kept[key] = data
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data


def pictures(about: Mapping[str, Any], root: str | None, model: Path | None, limits: Limits) -> Pictures | None:
    """The pictures of an index: of `root`, of the folder that the index names, or of the data set of the model's run.

    None if none of them is known; an export does not know its data set.
    """
    root = root or about.get("images", {}).get("root")
    if root:
        return Folder(Path(root), limits)
    if model is None or is_export(model):
        return None
    from types import SimpleNamespace

    from dseh_tf.runs import read_config
    from experiments import query_picture

    places = SimpleNamespace(data_dir=None, lists_dir=None, images_root=None)
    read = query_picture.reader(read_config(model), places)
    return None if read is None else OfDataSet(read)


def _shrunk(image: Image.Image) -> Image.Image:
    image.thumbnail((SIDE, SIDE))
    return image


def _no_picture(name: str) -> Refused:
    return Refused(404, f"id: found no picture of {name!r} that can be shown")
