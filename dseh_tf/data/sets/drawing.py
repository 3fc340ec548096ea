"""From a pool of labelled images to the three splits, by a protocol and the options of the draw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from dseh_tf.data.draw import draw
from dseh_tf.data.image_checks import without_bad_images
from dseh_tf.data.images import ImageSource
from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DrawOptions
from dseh_tf.data.split import Split


def drawn(
    protocol: Protocol,
    options: DrawOptions,
    ids: np.ndarray,
    labels: np.ndarray,
    images: ImageSource | None,
    class_names: tuple[str, ...],
    texts: sparse.csr_array | None = None,
    query_pool: np.ndarray | None = None,
    no_query: np.ndarray | None = None,
    notes: dict[str, Any] | None = None,
    vocabulary: tuple[str, ...] = (),
) -> RetrievalDataset:
    """The pool, split by its protocol.

    Args:
        protocol: Gives the numbers of queries and training rows, and the name of the data set.
        options: Seed and way of the draw; `skip_bad_images` leaves out images that cannot be read.
        ids: Unicode [n].
        labels: uint8 multi-hot [n, c].
        images: Images of the n rows, or None.
        class_names: c of them.
        texts: Sparse [n, t], or None.
        query_pool: bool [n], see `draw`.
        no_query: bool [n], see `draw`.
        notes: Further facts to keep with the data set.
        vocabulary: The words of the text columns, if they are known.

    Raises:
        InputError: As in `draw`, and where `skip_bad_images` leaves no image of a split.
    """
    rows = draw(labels, protocol, options.seed, options.split, class_names, query_pool, no_query)
    splits = {}
    for part in ("train", "query", "database"):
        chosen = getattr(rows, part)
        splits[part] = Split(
            ids[chosen],
            labels[chosen],
            None if images is None else images.take(chosen),
            texts=None if texts is None else texts[chosen],
        )
    facts = {
        "protocol": str(protocol),
        "split": options.split,
        "split_seed": options.seed,
        "pool": len(ids),
        **(notes or {}),
    }
    dataset = RetrievalDataset(protocol.name, **splits, class_names=class_names, notes=facts, vocabulary=vocabulary)
    return without_bad_images(dataset) if options.skip_bad_images and dataset.has_images else dataset


def with_class_numbers(protocol: Protocol, options: DrawOptions) -> Protocol:
    """The protocol with `queries` and `train_rows` per class, if they are given."""
    changes: dict[str, Any] = {}
    if options.queries is not None:
        changes["queries"] = every_class(options.queries)
    if options.train_rows is not None:
        changes["train"] = every_class(options.train_rows)
    return replace(protocol, **changes)


def tenth(labels: np.ndarray) -> int:
    """A tenth of the smallest class of uint8 [n, c], at least 1."""
    return max(1, int(labels.sum(axis=0).min()) // 10)
