"""MIRFLICKR-25K: the images that have a class and a common tag, from the official distribution or DCMH's MATLAB file."""

from __future__ import annotations

import numpy as np

from dseh_tf.data.files import is_there
from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.readers.flickr25k_mat import FILE, read_flickr25k_mat
from dseh_tf.data.readers.mirflickr25k import SOURCE, read_mirflickr
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions
from dseh_tf.data.sets.drawing import drawn
from dseh_tf.data.texts import has_words

# zs-zhong/DJSRH:datasets.py.
PROTOCOL = Protocol(
    "mirflickr25k",
    every_class(80, first_class=160),
    every_class(200, first_class=400, fill_to=5_000),
    images=20_015,
    classes=24,
)


def _protocol(options: DrawOptions) -> Protocol:
    return PROTOCOL.with_numbers(options.queries, options.train_rows)


def _load(options: DrawOptions) -> RetrievalDataset:
    """Texts are the tags, [n, 1386]. Where the folder holds DCMH's file, it is read; it names no class and no tag."""
    if is_there(options.data_dir / FILE):
        found = read_flickr25k_mat(options.data_dir / FILE)
        ids = np.array([f"{FILE}/{row}" for row in range(len(found.images))])
        images = None if options.labels_only else found.images
        return drawn(_protocol(options), options, ids, found.labels, images, (), found.tags)
    official = read_mirflickr(options.data_dir)
    pool = np.flatnonzero(official.labels.any(axis=1) & has_words(official.tags))
    return drawn(
        _protocol(options),
        options,
        official.names[pool],
        official.labels[pool],
        None if options.labels_only else official.images(pool),
        official.classes,
        official.tags[pool],
        vocabulary=official.vocabulary,
    )


MIRFLICKR25K = DataSet("mirflickr25k", DrawOptions, _load, _protocol, SOURCE)
