"""Images addressed by row, in memory or in files. They are decoded when they are read. Does not import TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dseh_tf.arrays import as_array, shown
from dseh_tf.errors import InputError


class ImageSource(Protocol):
    """Images addressed by row; nothing is decoded before `read`."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> ImageSource:
        """The source of the given rows, in that order."""
        ...

    def read(self, row: int) -> np.ndarray:
        """uint8 [height, width, 3], RGB, in its own size."""
        ...

    def fingerprint(self) -> str:
        """A string that changes with the images and their order; it names their pixels in a cache on disk."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images held in memory (or in a memory map): uint8 [n, height, width, 3], RGB."""

    array: np.ndarray

    def __post_init__(self) -> None:
        if not isinstance(self.array, np.ndarray) or isinstance(self.array, np.ma.MaskedArray):
            object.__setattr__(self, "array", as_array(self.array, "images"))
        if self.array.ndim != 4 or self.array.shape[-1] != 3 or self.array.dtype != np.uint8:
            raise InputError(f"images: found {shown(self.array)}, expected uint8 [n, height, width, 3]")

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> ArrayImages:
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return ArrayImages(self.array[rows[0] : rows[-1] + 1])  # a view: nothing is copied
        return ArrayImages(self.array[rows])

    def read(self, row: int) -> np.ndarray:
        return self.array[row]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(str(self.array.shape).encode())
        for image in self.array:
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class FileImages:
    """Images in files. `origins[i]` says where row i was named (list file and line), for error messages."""

    paths: tuple[Path, ...]
    origins: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> FileImages:
        return FileImages(
            tuple(self.paths[int(r)] for r in rows),
            tuple(self.origins[int(r)] for r in rows) if self.origins else (),
        )

    def read(self, row: int) -> np.ndarray:
        from dseh_tf.data.decoding import decode_file  # Pillow is needed only where files are

        return decode_file(self.paths[row], self.origins[row] if self.origins else "")

    def fingerprint(self) -> str:
        """Computed from paths, sizes and modification times. Raises InputError if a file is missing."""
        digest = hashlib.sha256()
        for row, path in enumerate(self.paths):
            try:
                stat = path.stat()
            except (OSError, ValueError):
                raise InputError(f"{path}: no such file{_named(self.origins, row)}") from None
            # A path may hold bytes that are not UTF-8.
            text = f"{path.absolute()}\0{stat.st_size} {stat.st_mtime_ns}\n"
            digest.update(text.encode(errors="surrogateescape"))
        return digest.hexdigest()


def _named(origins: tuple[str, ...], row: int) -> str:
    return f" (named in {origins[row]})" if origins else ""
