"""NUS-WIDE with its 21 or 10 most frequent concepts, from the official distribution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.readers.nus_wide import SOURCE, find_images, has_tags, read_nus_wide, read_tags, tag_names
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions, choice
from dseh_tf.data.sets.drawing import drawn

POOLS = ("labelled", "tagged")
# DSEH, section 4.1: 195,834 images. "tagged": the sum of the sizes in the comments of lelan-li/DSEH.
PROTOCOL_21 = Protocol("nus_wide_21", every_class(100), every_class(500), images=195_834, classes=21)
TAGGED_21 = replace(PROTOCOL_21, images=190_421)
# zs-zhong/DJSRH:datasets.py.
PROTOCOL_10 = Protocol("nus_wide_10", every_class(200), every_class(500), images=186_577, classes=10)
TAGGED_10 = replace(PROTOCOL_10, images=181_365)


@dataclass(frozen=True)
class NusWideOptions(DrawOptions):
    """The options of NUS-WIDE.

    Attributes:
        images_root: Folder of the photographs. Default: where the distribution has them.
        nus_pool: "labelled" images (the paper), or only those that also have one of the 1,000 tags.
    """

    images_root: Path | None = None
    nus_pool: str = choice(*POOLS)


def _protocol(labelled: Protocol, tagged: Protocol, options: NusWideOptions) -> Protocol:
    protocol = tagged if options.nus_pool == "tagged" else labelled
    return protocol.with_numbers(options.queries, options.train_rows)


def _load(protocol: Protocol, with_texts: bool, options: NusWideOptions) -> RetrievalDataset:
    """Images stay in their files, labels and tags in memory.

    At its real size: 22 MB of labels while reading, 4 MB of the pool's afterwards. Tags are sparse rows.
    """
    official = read_nus_wide(options.data_dir)
    columns = official.most_frequent(protocol.classes or 0)
    labelled = official.labels[:, columns].any(axis=1)
    pool = np.flatnonzero(labelled & has_tags(official) if options.nus_pool == "tagged" else labelled)
    # A photograph that the distribution holds under another id too would find itself.
    again = official.held_again()[pool]
    texts = read_tags(official, pool) if with_texts else None
    images = None
    if not options.labels_only:
        images = find_images(official, pool, options.images_root, missing_ok=options.skip_bad_images)
    return drawn(
        protocol,
        options,
        official.names[pool],
        official.labels[np.ix_(pool, columns)],
        images,
        tuple(official.concepts[column] for column in columns),
        texts,
        no_query=again,
        notes={"nus_pool": options.nus_pool, "held_again": int(again.sum())},
        vocabulary=tag_names(official) if with_texts else (),
    )


def _protocol_21(options: NusWideOptions) -> Protocol:
    return _protocol(PROTOCOL_21, TAGGED_21, options)


def _protocol_10(options: NusWideOptions) -> Protocol:
    return _protocol(PROTOCOL_10, TAGGED_10, options)


def _load_21(options: NusWideOptions) -> RetrievalDataset:
    return _load(_protocol_21(options), False, options)


def _load_10(options: NusWideOptions) -> RetrievalDataset:
    return _load(_protocol_10(options), True, options)


NUS_WIDE_21 = DataSet("nus_wide_21", NusWideOptions, _load_21, _protocol_21, SOURCE)
NUS_WIDE_10 = DataSet("nus_wide_10", NusWideOptions, _load_10, _protocol_10, SOURCE)
