"""Checks the images of a data set before it is used, each image once over all splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.decoding import check_header
from dseh_tf.data.files import read_bytes
from dseh_tf.data.images import FileImages
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split
from dseh_tf.errors import InputError

PARTS = ("train", "query", "database")


def check_images(dataset: RetrievalDataset) -> None:
    """Raises InputError on the first file that is missing or no image, by its header; for file-backed images."""

    def look(split: Split, row: int) -> None:
        if isinstance(split.images, FileImages):
            check_header(split.images.paths[row], split.images.origins[row] if split.images.origins else "")

    for _ in _each_image(dataset, look):
        pass


def without_bad_images(dataset: RetrievalDataset) -> RetrievalDataset:
    """The data set without the images that cannot be decoded; `notes["bad_images"]` counts them for each split.

    Every image is decoded once. Raises InputError if a split has none left.
    """

    def look(split: Split, row: int) -> str | None:
        try:
            if split.images is not None:
                split.images.read(row)
        except InputError as error:
            return str(error)
        return None

    bad = {name: reason for name, reason in _each_image(dataset, look) if reason is not None}
    for name, reason in bad.items():
        logging.warning("left out %s: %s", name, reason)
    splits, counts = {}, {}
    for part in PARTS:
        split: Split = getattr(dataset, part)
        good = np.array([name not in bad for name in split.ids.tolist()], bool)
        if not good.any():
            raise InputError(f"{dataset.name}, {part}: found no image that can be read of {len(split)}, expected some")
        splits[part], counts[part] = split.take(good), int((~good).sum())
    logging.info("bad images left out: %s", counts)
    return dataset.replace(**splits, notes={**dataset.notes, "bad_images": counts})


def copies_of_queries(dataset: RetrievalDataset) -> list[tuple[str, str]]:
    """(query's id, id of an image in train or database whose file is the same byte for byte); for file-backed images.

    Only files of a query's size are read. One copy per query.
    """
    files: dict[str, FileImages] = {}
    for part in PARTS:
        images = getattr(dataset, part).images
        if not isinstance(images, FileImages):
            return []
        files[part] = images
    asked = dict(zip(dataset.query.ids.tolist(), files["query"].paths, strict=True))
    sizes = {path.stat().st_size for path in asked.values()}
    known: dict[bytes, str] = {}
    for part in ("train", "database"):
        for name, path in zip(getattr(dataset, part).ids.tolist(), files[part].paths, strict=True):
            if name not in asked and path.stat().st_size in sizes:
                known.setdefault(_content(path), name)
    found = ((name, known.get(_content(path))) for name, path in asked.items()) if known else ()
    return [(name, copy) for name, copy in found if copy is not None]


def _content(path: Path) -> bytes:
    return hashlib.sha256(read_bytes(path, "an image")).digest()


def _each_image(
    dataset: RetrievalDataset, look: Callable[[Split, int], str | None]
) -> Iterator[tuple[str, str | None]]:
    """Yields (id, what `look` returned), each id once, by a pool of threads; Pillow decodes without the GIL."""
    where: dict[str, tuple[Split, int]] = {}
    for part in PARTS:
        split: Split = getattr(dataset, part)
        for row, name in enumerate(split.ids.tolist()):
            where.setdefault(name, (split, row))
    items = list(where.items())
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        tqdm(total=len(items), desc="checking images", unit="image", disable=len(items) < 20_000) as bar,
    ):
        for first in range(0, len(items), 4096):  # blocks: an error stops the rest
            block = items[first : first + 4096]
            for (name, _), found in zip(block, pool.map(lambda item: look(*item[1]), block), strict=True):
                bar.update()
                yield name, found
