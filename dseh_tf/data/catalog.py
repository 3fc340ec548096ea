"""The data sets by name. TensorFlow is imported by the loaders that need it, when they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseh_tf.data import protocols
from dseh_tf.data.image_lists import load_image_lists
from dseh_tf.data.retrieval_dataset import ArrayImages, RetrievalDataset, Split
from dseh_tf.errors import InputError


@dataclass(frozen=True)
class DataOptions:
    """Where the data is and how a split is drawn.

    data_dir: built and prepared data sets, or the official distribution itself.
    lists_dir, images_root: of image lists and image folders. labels_only: images are not touched.
    skip_bad_images: images that cannot be read are left out and counted in the notes. seed: of the draw.
    """

    data_dir: Path = Path("data")
    lists_dir: Path | None = None
    images_root: Path | None = None
    labels_only: bool = False
    skip_bad_images: bool = False
    seed: int = 0


def load(name: str, options: DataOptions | None = None) -> RetrievalDataset:
    """The data set `name`. Raises InputError on an unknown name, and as the data set's loader says."""
    if name not in DATASETS:
        raise InputError(f"dataset: found {name!r}, expected one of {', '.join(DATASETS)}")
    return DATASETS[name](options or DataOptions())


def _multi_digits(options: DataOptions) -> RetrievalDataset:
    """The embedded data set, built into `data_dir` on first use; every split in memory."""
    import tensorflow_datasets as tfds

    from dseh_tf.data.builders.multi_digits import compose
    from dseh_tf.data.builders.multi_digits.multi_digits_dataset_builder import Builder

    builder = Builder(data_dir=options.data_dir)
    builder.download_and_prepare()
    splits = {}
    for part in ("train", "query", "database"):
        rows = tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1))
        images = None if options.labels_only else ArrayImages(rows["image"])
        splits[part] = Split(np.char.decode(rows["id"].astype("S"), "utf-8"), rows["labels"], images, texts=rows["text"])
    return RetrievalDataset(
        "multi_digits",
        **splits,
        class_names=compose.DIGIT_WORDS,
        notes={"protocol": str(protocols.MULTI_DIGITS), "version": str(builder.version)},
    )


def _image_lists(options: DataOptions) -> RetrievalDataset:
    if options.lists_dir is None:
        raise InputError("lists_dir: found none, expected the folder of train.txt, test.txt and database.txt")
    return load_image_lists(options.lists_dir, options.images_root, options.labels_only, options.skip_bad_images)


DATASETS: dict[str, Callable[[DataOptions], RetrievalDataset]] = {
    "multi_digits": _multi_digits,
    "image_lists": _image_lists,
}
