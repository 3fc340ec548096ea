"""Decodes every image of a split once, to one square size, in memory or in a memory map on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.decoding import resize
from dseh_tf.data.retrieval_dataset import ArrayImages, ImageSource, Split
from dseh_tf.errors import InputError

GIB = 1 << 30
DEFAULT_CACHE = Path("data") / "pixels"


def load_pixels(
    images: Split | ImageSource,
    size: int,
    cache_dir: Path | None = None,
    memory_limit: int = 4 * GIB,
    progress: bool = True,
    threads: int | None = None,
) -> ArrayImages:
    """uint8 [n, size, size, 3] of a split's images, each decoded and resized once by a pool of threads.

    Held in memory where they fit into `memory_limit` bytes; else, or where `cache_dir` is given, in a memory-mapped
    `.npy` file there (default `data/pixels`), named after a fingerprint of the images and the size. The file is written
    under a temporary name and renamed, so one that is there is whole and is used again. ArrayImages of that size are
    returned as they are.

    Raises InputError on an image that cannot be decoded (file, list and line), and where the disk has no room.
    """
    source = images.images if isinstance(images, Split) else images
    if source is None:
        raise InputError("images: found labels only, expected images")
    if isinstance(source, ArrayImages) and source.array.shape[1:3] == (size, size):
        return source
    shape = (len(source), size, size, 3)
    needed = int(np.prod(shape, dtype=np.int64))
    if cache_dir is None and needed <= memory_limit:
        pixels = np.empty(shape, np.uint8)
        _fill(pixels, source, progress, threads)
        return ArrayImages(pixels)
    cache_dir = Path(cache_dir) if cache_dir is not None else DEFAULT_CACHE
    cache_dir.mkdir(parents=True, exist_ok=True)
    file = cache_dir / f"{_fingerprint(source, size)}.npy"
    if not file.exists():
        _write(file, shape, needed, source, progress, threads)
    else:
        logging.info("%s: reusing the pixels of %d images", file, len(source))
    return ArrayImages(np.load(file, mmap_mode="r", allow_pickle=False))


def _fingerprint(source: ImageSource, size: int) -> str:
    digest = hashlib.sha256(f"{size} {len(source)} {source.fingerprint()}".encode())
    return f"{digest.hexdigest()[:24]}-{size}"


def _write(
    file: Path, shape: tuple[int, ...], needed: int, source: ImageSource, progress: bool, threads: int | None
) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed > free:  # a memory map on a full disk would kill the process
        raise InputError(f"{file.parent}: found {free / GIB:.1f} GiB free, expected {needed / GIB:.1f} GiB for pixels")
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-", suffix=".npy")
    os.close(handle)
    temporary = Path(name)
    try:
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _fill(pixels, source, progress, threads)
        pixels.flush()
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _fill(pixels: np.ndarray, source: ImageSource, progress: bool, threads: int | None) -> None:
    size = pixels.shape[1]

    def work(row: int) -> None:
        pixels[row] = resize(source.read(row), size)

    # Pillow releases the GIL while it decodes and resizes. Blocks keep few futures alive and stop soon after an error.
    with (
        ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool,
        tqdm(total=len(source), desc=f"decoding to {size} px", unit="image", disable=not progress) as bar,
    ):
        for first in range(0, len(source), 1024):
            rows = range(first, min(first + 1024, len(source)))
            for _ in pool.map(work, rows):
                bar.update()
