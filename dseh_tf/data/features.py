"""A frozen backbone's features: extracted once, kept in a file, shared by every method and run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from dseh_tf.data.input_pipeline import image_batches
from dseh_tf.data.retrieval_dataset import ImageSource, RetrievalDataset, Split
from dseh_tf.errors import InputError
from dseh_tf.training.replicas import map_rows

if TYPE_CHECKING:
    from dseh_tf.models.backbones import Backbone

_BATCH = 64


def with_features(
    dataset: RetrievalDataset,
    backbone: Backbone,
    cache_dir: Path,
    mirrored: bool = True,
    strategy: tf.distribute.Strategy | None = None,
    progress: bool = True,
) -> RetrievalDataset:
    """The data set with float32 features [n, dim] in every split, and those of mirrored images in `train`.

    cache_dir: where they are kept as `.npy` memory maps, named by what they depend on: the backbone's weights, the image
    size and the image files. Training rows that stand in the database are not extracted twice.
    """
    if not dataset.has_images:
        raise InputError(f"{dataset.name}: found labels only, expected images to extract features from")
    strategy = strategy or tf.distribute.get_strategy()
    weights = backbone.fingerprint()

    def extract(split: Split, what: str, mirror: bool = False) -> np.ndarray:
        key = f"{weights} {backbone.image_size} {split.images.fingerprint()} {mirror}"
        path = cache_dir / f"{backbone.name}-{backbone.image_size}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
        if not path.is_file():
            title = f"features of {what}{', mirrored' if mirror else ''}"
            _extract(split.images, backbone, path, mirror, strategy, title, progress)
        else:
            logging.info("features of %s: reusing %s", what, path)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    database = extract(dataset.database, "database")
    order = {name: row for row, name in enumerate(dataset.database.ids)}
    inside = np.array([order.get(name, -1) for name in dataset.train.ids])
    train = database[inside] if (inside >= 0).all() else extract(dataset.train, "train")
    flipped = extract(dataset.train, "train", mirror=True) if mirrored else None
    return dataset.replace(
        train=dataset.train.with_features(np.asarray(train), None if flipped is None else np.asarray(flipped)),
        query=dataset.query.with_features(extract(dataset.query, "query")),
        database=dataset.database.with_features(database),
        notes={**dataset.notes, "features": {"backbone": backbone.name, "dim": backbone.dim}},
    )


def _extract(
    source: ImageSource,
    backbone: Backbone,
    path: Path,
    mirror: bool,
    strategy: tf.distribute.Strategy,
    title: str,
    progress: bool,
) -> None:
    """Writes the features of all images to `path`, under another name until they are whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    forward = tf.function(lambda x: {"features": backbone.model(tf.cast(x, tf.float32), training=False)})
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".npy")
    os.close(handle)
    try:
        batches = image_batches(source, backbone.image_size, _BATCH)
        shown = tqdm(batches, title, total=-(-len(source) // _BATCH), unit="batch", disable=not progress)
        turned = (batch[:, :, ::-1] if mirror else batch for batch in shown)
        features = map_rows(strategy, forward, turned, _BATCH)["features"]
        np.save(partial, features.astype(np.float32), allow_pickle=False)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
