"""Small data sets with class structure for the shallow methods."""

import numpy as np

from dseh_tf.data import RetrievalDataset


def clusters(
    rows: int = 240, width: int = 20, classes: int = 4, several: bool = False, seed: int = 0
) -> RetrievalDataset:
    """Features around class centres; `several`: rows carry one or two labels and lie between the centres of theirs."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, width))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((count, classes), np.uint8)
        labels[np.arange(count), rng.integers(classes, size=count)] = 1
        if several:
            second = rng.random(count) < 0.4
            labels[second, rng.integers(classes, size=second.sum())] = 1
        x = labels @ centres / labels.sum(axis=1, keepdims=True) + rng.standard_normal((count, width)) + 1
        return x.astype(np.float32), labels

    train, query, extra = draw(rows), draw(rows // 4), draw(rows // 2)
    database = tuple(np.concatenate(parts) for parts in zip(train, extra, strict=True))
    return RetrievalDataset.from_arrays(train, query, database)


def dense_similarity(labels: np.ndarray) -> np.ndarray:
    """S of +1 and -1, pair by pair."""
    n = len(labels)
    return np.array([[1.0 if (labels[i] & labels[j]).any() else -1.0 for j in range(n)] for i in range(n)])
