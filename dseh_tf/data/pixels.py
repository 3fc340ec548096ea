"""Decodes every image of a split once, to one square size, in memory or in a memory map on disk."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.decoding import resize
from dseh_tf.data.memory_maps import GIB, mapped, new_array
from dseh_tf.data.retrieval_dataset import ArrayImages, ImageSource, Split
from dseh_tf.errors import InputError

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

    Held in memory where they fit into `memory_limit` bytes (4 GiB: 28,500 images of 224 pixels); else in a memory-mapped
    `.npy` file in `cache_dir` (default `data/pixels`), named after a fingerprint of the images and the size. A file that
    is there is whole and is used again. ArrayImages of that size are returned as they are.

    Raises InputError on an image that cannot be decoded (file, list and line), and where the disk has no room.
    """
    source = images.images if isinstance(images, Split) else images
    if source is None:
        raise InputError("images: found labels only, expected images")
    if isinstance(source, ArrayImages) and source.array.shape[1:3] == (size, size):
        return source
    shape = (len(source), size, size, 3)
    needed = int(np.prod(shape, dtype=np.int64))
    if needed <= memory_limit:
        pixels = np.empty(shape, np.uint8)
        _fill(pixels, source, progress, threads)
        return ArrayImages(pixels)
    file = (Path(cache_dir) if cache_dir is not None else DEFAULT_CACHE) / f"{_fingerprint(source, size)}.npy"
    if file.exists():
        logging.info("%s: reusing the pixels of %d images", file, len(source))
    else:
        logging.info("%s: %.1f GiB of pixels go to disk", file, needed / GIB)
        with new_array(file, shape, np.uint8, "pixels") as pixels:
            _fill(pixels, source, progress, threads)
    return ArrayImages(mapped(file))


def _fingerprint(source: ImageSource, size: int) -> str:
    digest = hashlib.sha256(f"{size} {len(source)} {source.fingerprint()}".encode())
    return f"{digest.hexdigest()[:24]}-{size}"


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
