"""Wikipedia: articles with their topics and an image each, from the official distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from absl import logging

from dseh_tf.data.image_checks import without_bad_images
from dseh_tf.data.images import FileImages
from dseh_tf.data.readers.wikipedia import CATEGORIES, SOURCE, WikipediaPart, read_wikipedia
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, Options
from dseh_tf.data.split import Split
from dseh_tf.errors import InputError


@dataclass(frozen=True)
class WikipediaOptions(Options):
    """The options of Wikipedia.

    Attributes:
        skip_unpaired: Texts whose image is not there are left out and counted.
    """

    skip_unpaired: bool = False


def _protocol(_: WikipediaOptions) -> None:
    """None: the lists are the split. The training texts are the database (zs-zhong/DJSRH:datasets.py)."""


def _load(options: WikipediaOptions) -> RetrievalDataset:
    """Texts are topics [n, 10]; nobody has named them, so there is no vocabulary."""
    parts = read_wikipedia(options.data_dir)
    counts: dict[str, int] = {}
    splits: dict[str, Split] = {}
    for part, rows in parts.items():
        missing = [row for row, image in enumerate(rows.images) if image is None]
        if missing and not (options.skip_unpaired or options.labels_only):
            raise InputError(
                f"{rows.origins[missing[0]]}: found no image of the text {rows.ids[missing[0]]} ({len(missing):,} of "
                f"{len(rows.ids):,} are missing), expected images/<category>/<image id>.jpg; --skip_unpaired leaves such "
                "texts out"
            )
        splits[part] = _split(rows, options)
        counts[part] = len(rows.ids) - len(splits[part])
        if counts[part]:
            logging.warning("wikipedia: left out %d %s texts without an image", counts[part], part)
    notes = {"texts": {f"{part}_without_image": count for part, count in counts.items()}}
    dataset = RetrievalDataset(
        "wikipedia", splits["train"], splits["query"], splits["train"], class_names=CATEGORIES, notes=notes
    )
    return without_bad_images(dataset) if options.skip_bad_images and dataset.has_images else dataset


def _split(rows: WikipediaPart, options: WikipediaOptions) -> Split:
    """The rows, without those whose image is missing if these are skipped. Raises InputError if none is left."""
    kept = np.array([image is not None for image in rows.images], bool) | (not options.skip_unpaired)
    if not kept.any():
        raise InputError(f"{rows.origins[0]}: found no image of {len(kept):,} texts, expected some")
    images = None
    if not options.labels_only:
        origins = tuple(origin for origin, has in zip(rows.origins, kept, strict=True) if has)
        images = FileImages(tuple(image for image in rows.images if image is not None), origins)
    return Split(rows.ids[kept], rows.labels[kept], images, texts=rows.texts[kept])


WIKIPEDIA = DataSet("wikipedia", WikipediaOptions, _load, _protocol, SOURCE)
