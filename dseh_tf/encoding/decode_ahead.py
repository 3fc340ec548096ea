"""Decodes image files in threads ahead of their use, in batches; files that are not images are reported, not raised."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dseh_tf.data.decoding import decode_file, resize_to
from dseh_tf.errors import InputError

_JOB = 16  # images that a job of the pool decodes
_AHEAD = 2  # batches


class Decoded(NamedTuple):
    """A batch of images.

    Attributes:
        pixels: uint8 [n, height, width, 3] of those that could be read, in order.
        bad: The reasons why other files could not be read, by position in the batch.
    """

    pixels: np.ndarray
    bad: dict[int, str]


def decoded(batches: Iterable[Sequence[Path]], shape: tuple[int, int], threads: int | None = None) -> Iterator[Decoded]:
    """Yields each batch decoded and stretched to one size, two batches ahead of their use.

    Args:
        batches: Files; an iterator is read as batches are decoded.
        shape: (height, width).
        threads: Default: one for each core and at least four.
    """

    def start(paths: Sequence[Path]) -> tuple[np.ndarray, list[Future[dict[int, str]]]]:
        pixels = np.empty((len(paths), *shape, 3), np.uint8)

        def load(begin: int) -> dict[int, str]:
            bad = {}
            for row in range(begin, min(begin + _JOB, len(paths))):
                try:
                    pixels[row] = resize_to(decode_file(paths[row]), shape)
                except InputError as error:
                    bad[row] = str(error).removeprefix(f"{paths[row]}: ")
            return bad

        return pixels, [pool.submit(load, begin) for begin in range(0, len(paths), _JOB)]

    coming = iter(batches)
    # Pillow decodes without the GIL; a few threads more than a small machine has cores hide the waiting for files.
    with ThreadPoolExecutor(threads or max(4, os.cpu_count() or 1)) as pool:
        pending = deque(start(paths) for paths in islice(coming, _AHEAD))
        try:
            while pending:
                pixels, jobs = pending.popleft()
                bad = {row: why for job in jobs for row, why in job.result().items()}
                pending.extend(start(paths) for paths in islice(coming, 1))
                if bad:
                    pixels = np.delete(pixels, list(bad), axis=0)
                yield Decoded(pixels, bad)
        finally:  # left early: what nobody waits for any more is not begun
            for _, jobs in pending:
                for job in jobs:
                    job.cancel()
