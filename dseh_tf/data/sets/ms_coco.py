"""MS-COCO 2014, from the records of TFDS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dseh_tf.data.protocol import Protocol, in_all
from dseh_tf.data.readers import tfds_builders, tfds_records
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions, choice
from dseh_tf.data.sets.drawing import drawn

RECORDS = "coco/2014"
SOURCE = (
    "TFDS downloads it from https://cocodataset.org/#download once; without a network, copy a prepared coco/2014 folder "
    "into data_dir"
)
DATABASES = ("minus_query", "hashnet_lists")
# DSEH, section 4.1.
PROTOCOL = Protocol("ms_coco", in_all(5_000), in_all(10_000), images=122_218, classes=80)
# HashNet's lists hold the queries inside the database (thuml/HashNet:pytorch/data/coco).
HASHNET = replace(PROTOCOL, queries_in_database=True)


@dataclass(frozen=True)
class MsCocoOptions(DrawOptions):
    """The options of MS-COCO.

    Attributes:
        coco_db: "minus_query" (117,218 images), or "hashnet_lists", in which the database contains the queries and not the
            training images.
    """

    coco_db: str = choice(*DATABASES)


def _protocol(options: MsCocoOptions) -> Protocol:
    protocol = HASHNET if options.coco_db == "hashnet_lists" else PROTOCOL
    return protocol.with_numbers(options.queries, options.train_rows)


def _load(options: MsCocoOptions) -> RetrievalDataset:
    """Train and validation together, without the images that show none of the 80 categories."""
    builder = tfds_builders.prepared_builder(RECORDS, options.data_dir, SOURCE)
    records = tfds_records.read_splits(builder, ("train", "validation"), "image/filename", "objects/label")
    keep = np.flatnonzero(records.labels.any(axis=1))
    return drawn(
        _protocol(options),
        options,
        records.ids[keep],
        records.labels[keep],
        None if options.labels_only else records.images.take(keep),
        records.class_names,
        notes={"coco_db": options.coco_db},
    )


MS_COCO = DataSet("ms_coco", MsCocoOptions, _load, _protocol, SOURCE, RECORDS)
