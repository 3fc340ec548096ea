"""The embedded data set: handwritten digits on coloured canvases, with tags. It needs no download."""

from __future__ import annotations

import numpy as np

from dseh_tf.data.images import ArrayImages
from dseh_tf.data.protocol import Protocol, in_all
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, Options
from dseh_tf.data.split import Split
from dseh_tf.files import writing

PROTOCOL = Protocol("multi_digits", in_all(500), in_all(2_000), images=5_500, classes=10)


def _protocol(_: Options) -> Protocol:
    return PROTOCOL


def _load(options: Options) -> RetrievalDataset:
    """Built into `data_dir` on first use; every split is in memory."""
    import tensorflow_datasets as tfds

    from dseh_tf.data.builders.multi_digits import compose
    from dseh_tf.data.builders.multi_digits.multi_digits_dataset_builder import Builder

    builder = Builder(data_dir=options.data_dir)
    with writing(builder.data_dir):
        builder.download_and_prepare()
    splits = {}
    for part in ("train", "query", "database"):
        rows = tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1))
        images = None if options.labels_only else ArrayImages(rows["image"])
        ids = np.char.decode(rows["id"].astype("S"), "utf-8")
        splits[part] = Split(ids, rows["labels"], images, texts=rows["text"])
    return RetrievalDataset(
        "multi_digits",
        **splits,
        class_names=compose.DIGIT_WORDS,
        notes={"protocol": str(PROTOCOL), "version": str(builder.version)},
        vocabulary=compose.VOCABULARY,
    )


MULTI_DIGITS = DataSet("multi_digits", Options, _load, _protocol)
