"""A small data set with texts, and settings that train in a moment."""

import numpy as np

from dseh_tf.data import RetrievalDataset
from tests.methods.toy import clusters

SMALL = {
    "batch": 16,
    "epochs": 3,
    "learning_rate": 1e-3,
    "text_learning_rate": 1e-3,
    "text_hidden": 16,
    "feature_layer": 16,
    "dropout": 0.2,
}


def with_texts(data: RetrievalDataset, seed: int = 0) -> RetrievalDataset:
    """Words of the classes with noise: two words a class, each with probability .7, and six words that say nothing."""
    rng = np.random.default_rng(seed)

    def rows(labels: np.ndarray) -> np.ndarray:
        named = np.repeat(labels, 2, axis=1) * (rng.random((len(labels), 2 * labels.shape[1])) < 0.7)
        return np.concatenate([named, rng.random((len(labels), 6)) < 0.2], axis=1).astype(np.float32)

    database = rows(data.database.labels)
    n = len(data.train)
    texts = {"train": database[:n], "query": rows(data.query.labels), "database": database}
    words = [f"word{i}" for i in range(database.shape[1])]
    return data.with_texts(texts, words)


def small_data(rows: int = 96, width: int = 12) -> RetrievalDataset:
    return with_texts(clusters(rows, width))
