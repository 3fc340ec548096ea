"""Images decoded to a square size: a whole split, in memory or memory-mapped, or batch by batch."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.decoding import resize_to
from dseh_tf.data.files import expanded
from dseh_tf.data.images import ArrayImages, ImageSource
from dseh_tf.data.memory_maps import GIB, mapped, new_array
from dseh_tf.data.split import Split
from dseh_tf.errors import InputError

DEFAULT_CACHE = Path("data") / "pixels"

# Images a job of the pool decodes: handing over a job costs as much as decoding a tiny image.
_JOB = 16


def load_pixels(
    images: Split | ImageSource,
    size: int,
    cache_dir: Path | None = None,
    memory_limit: int = 4 * GIB,
    progress: bool = True,
    threads: int | None = None,
) -> ArrayImages:
    """uint8 [n, size, size, 3] of a split's images, each decoded and resized once by a pool of threads.

    Kept in memory if they fit into `memory_limit` bytes (4 GiB: 28,500 images of 224 pixels), otherwise in a
    memory-mapped `.npy` file in `cache_dir` (default `data/pixels`), named by a fingerprint of the images and the size.
    An existing file is complete and is reused. ArrayImages of that size are returned as they are.

    Raises InputError on an image that cannot be decoded (file, list and line), and if the disk is full.
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
    file = (expanded(cache_dir) if cache_dir is not None else DEFAULT_CACHE) / f"{_fingerprint(source, size)}.npy"
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
    size, done = pixels.shape[1], 0
    with tqdm(total=len(source), desc=f"decoding to {size} px", unit="image", disable=not progress) as bar:
        for batch in image_batches(source, size, 256, threads):
            pixels[done : done + len(batch)] = batch
            done += len(batch)
            bar.update(len(batch))


def image_batches(
    source: ImageSource, image_size: int | tuple[int, int], batch_size: int, threads: int | None = None
) -> Iterator[np.ndarray]:
    """uint8 [b, height, width, 3] in order, decoded by `threads`, two batches ahead of their use.

    image_size: of a square, or (height, width). threads: default, one per core and at least four. Raises InputError on the
    first image that cannot be decoded.
    """
    shape = (image_size, image_size) if isinstance(image_size, int) else image_size

    def start(first: int) -> tuple[np.ndarray, list[Future]]:
        batch = np.empty((min(batch_size, len(source) - first), *shape, 3), np.uint8)

        def load(begin: int) -> None:
            for row in range(begin, min(begin + _JOB, len(batch))):
                batch[row] = resize_to(source.read(first + row), shape)

        return batch, [pool.submit(load, begin) for begin in range(0, len(batch), _JOB)]

    starts = iter(range(0, len(source), batch_size))
    # Pillow decodes without the GIL; a few threads more than a small machine has cores hide the waiting for files.
    with ThreadPoolExecutor(threads or max(4, os.cpu_count() or 1)) as pool:
        pending = deque(start(first) for first in islice(starts, 2))
        try:
            while pending:
                batch, jobs = pending.popleft()
                for job in jobs:
                    job.result()
                pending.extend(start(first) for first in islice(starts, 1))
                yield batch
        finally:  # left early, or an image that cannot be decoded: what nobody waits for any more is not begun
            for _, jobs in pending:
                for job in jobs:
                    job.cancel()
