"""Arrays in memory-mapped `.npy` files: written atomically, and checked block by block."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files import mapped, release, replacing

__all__ = ["GIB", "check_finite", "mapped", "new_array"]

GIB = 1 << 30
_RELEASED = 64  # blocks of a memory map that stay in memory


@contextmanager
def new_array(file: Path, shape: tuple[int, ...], dtype: np.dtype | type, what: str) -> Iterator[np.ndarray]:
    """An array to fill, mapped to a file that gets the name `file` when the block is left without an error.

    Folders above are made. Raises InputError, naming `what` it is for, if the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    needed, free = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize, shutil.disk_usage(file.parent).free
    if needed > free:
        raise InputError(f"{file.parent}: found {free / GIB:.1f} GiB free, expected {needed / GIB:.1f} GiB for {what}")
    with replacing(file) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        _reserve(temporary)
        yield array
        array.flush()


def _reserve(file: Path) -> None:
    """Takes the file's room on the disk now: writing to a map of a disk that is full would kill the process (SIGBUS)."""
    with file.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot reserve
                raise


def check_finite(values: np.ndarray, ids: np.ndarray, where: str, block: int = 4096, most: float | None = None) -> None:
    """Raises InputError on a value of [n, d] that is not a finite number, naming its row, id and column.

    most: what |value| may be at most; any finite number without it. Reads `block` rows at a time: `values` may be larger
    than memory.
    """
    for start in range(0, len(values), block):
        if start % (_RELEASED * block) == 0:
            release(values)
        rows = values[start : start + block]
        finite = np.isfinite(rows) if most is None else np.abs(rows) <= most
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            row += start
            value = values[row, column]
            expected = f"at most {most:g} in size" if np.isfinite(value) else "a finite number"
            raise InputError(f"{where}: found {value} in row {row} ({ids[row]}), column {column}, expected {expected}")
