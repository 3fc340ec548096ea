"""`tfds:NAME`: any set of TFDS with an image and a class label."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data.labels import multi_hot
from dseh_tf.data.protocol import Protocol, every_class, in_all
from dseh_tf.data.readers import tfds_builders, tfds_records
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions
from dseh_tf.data.sets.drawing import drawn, tenth, with_class_numbers
from dseh_tf.errors import InputError

PREFIX = "tfds:"


def tfds_classification(name: str) -> DataSet:
    """The data set called `tfds:NAME`; nothing is read yet."""
    own_name = name.removeprefix(PREFIX)
    return DataSet(name, DrawOptions, partial(_load, name, own_name), _protocol, records=own_name)


def _protocol(_: DrawOptions) -> None:
    """None: what TFDS has decides."""


def _load(name: str, own_name: str, options: DrawOptions) -> RetrievalDataset:
    """Queries are the test or validation split; the training split trains and is searched.

    Where neither split has labels, queries are drawn as from an image folder; `queries` draws them from the test split.
    """
    builder = tfds_builders.find_builder(own_name, options.data_dir)
    image, label = tfds_builders.image_and_label(builder, name)
    tfds_builders.prepare(builder, own_name, options.data_dir)
    if "train" not in builder.info.splits:
        raise InputError(f"dataset: {name} has splits {', '.join(builder.info.splits)}, expected train")
    asking = _asking_split(builder, name, label)
    records = tfds_records.read_splits(builder, ("train", asking) if asking else ("train",), None, label)
    labels = multi_hot(records.labels, len(records.class_names))
    images = None if options.labels_only else replace(records.images, feature=image)
    pool = None
    queries = every_class(tenth(labels))
    if asking:
        pool = np.arange(len(labels)) >= builder.info.splits["train"].num_examples
        queries = in_all(int(pool.sum()))
    protocol = with_class_numbers(Protocol(name, queries, None), options)
    notes = {"image_feature": image, "label_feature": label, "queries_from": asking or "train"}
    return drawn(protocol, options, records.ids, labels, images, records.class_names, query_pool=pool, notes=notes)


def _asking_split(builder: Any, name: str, label: str) -> str | None:
    """The split that queries come from: test or validation, the first that has labels; None for the training split.

    Sets of competitions publish their test images without labels, which TFDS stores as -1.
    """
    present = [part for part in ("test", "validation") if part in builder.info.splits]
    for part in present:
        labels = tfds_records.read_split(builder, part, None, label, unlabelled_ok=True).labels
        missing = int((labels < 0).sum())
        if 0 < missing < len(labels):
            raise InputError(
                f"dataset: {name}: split {part!r}: found {missing:,} of {len(labels):,} images without a label (-1), "
                "expected labels for all or for none"
            )
        if len(labels) and not missing:
            return part
        rest = present[present.index(part) + 1 :]
        logging.warning(
            "%s: the %d images of %r have no label, so queries come from %r",
            name,
            len(labels),
            part,
            *(rest or ["train"])[:1],
        )
    return None
