"""A small data set whose training rows are its database, and fits of the asymmetric methods on it."""

from __future__ import annotations

import numpy as np

from dseh_tf.data import RetrievalDataset

SMALL = {"batch": 16, "feature_layer": 24, "learning_rate": 0.01}
# 50 sampled rows of 96 in batches of 16: four steps an epoch, the last of them with two rows that count.
ROUNDS = {"epochs": 2, "rounds": 4, "sample": 50}
LABNET = {"labnet_steps": 12, "labnet_batch": 16, "feature_dim": 20}
OWN = {"adsh": ROUNDS, "daph": {"epochs": 4}, "dsah": {**ROUNDS, **LABNET}}


def small_dataset(twins: bool = True) -> RetrievalDataset:
    """96 rows of features with class structure, the database in another order, and 24 queries."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((4, 12))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random((count, 4)) < 0.1).astype(np.uint8)
        labels[np.arange(count), rng.integers(4, size=count)] = 1
        return (labels @ centres + 0.3 * rng.standard_normal((count, 12))).astype(np.float32), labels

    dataset = RetrievalDataset.from_arrays(draw(96), draw(24))
    train = dataset.train
    if twins:
        train = train.with_features(train.features, train.features + np.float32(0.1))
    return dataset.replace(train=train, database=dataset.train.take(rng.permutation(96)))


def fit(name: str, runtime=None, dataset: RetrievalDataset | None = None, **settings):
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS[name](8, seed=3, **{**SMALL, **OWN.get(name, {}), **settings})
    return method.fit(dataset or small_dataset(), runtime or Runtime(progress=False))
