"""A small data set, and a small fit of any registered method on it.

Settings of a small fit follow from the names of a method's settings, so that a new method has one without a line here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from dseh_tf.data import RetrievalDataset

BITS, SEED = 8, 3
# 96 training rows are 3 steps an epoch: 30 steps, or 24 in each phase of two rounds.
SETTINGS = {
    "batch": 32, "labnet_batch": 32, "imgnet_batch": 32, "epochs": 10, "labnet_epochs": 8, "imgnet_epochs": 8, "rounds": 2,
    "feature_layer": 24, "labnet_width": 16, "feature_dim": 12, "anchors": 30, "sample": 64,
    "labnet_steps": 24,
}  # fmt: skip
OPTIONS = {"rounds": 2}
# What a method needs besides, or instead.
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "fasth": {"rounds": 5},
    "ksh": {"iterations": 20},
    "sdh": {"width": 1.0},
    "hashnet": {"continuation_every": 5},  # sharpens several times, and not where a resumed run begins
    "dseh_a": {"rounds": 1},  # which is what it is
    "djsrh": {"text_hidden": 16, "learning_rate": 1e-3, "text_learning_rate": 1e-3},
    # Each network has 5 passes of 3 steps in a round.
    "ssah": {
        "label_hidden": 16,
        "text_hidden": 16,
        "label_passes": 5,
        "passes": 5,
        "text_passes": 5,
        "label_stages": 1,
        "stages": 1,
        "discriminator_passes": 5,
        "discriminator_stages": 1,
    },
    "daph": {"epochs": 4},  # each of them is two phases of three steps
}


def small_settings(name: str) -> dict[str, Any]:
    """The settings, and options such as `rounds`, of a small fit."""
    from dseh_tf.methods import METHODS

    kind = METHODS[name]
    known = {field.name for field in fields(kind.Settings)}
    chosen = {key: value for key, value in SETTINGS.items() if key in known}
    chosen |= {key: value for key, value in OPTIONS.items() if key in kind.OPTIONS}
    return chosen | EXCEPTIONS.get(name, {})


def small_dataset(seed: int = 0) -> RetrievalDataset:
    """96 rows of 12 features and 4 classes, which are the database too, with features of mirrored images; 24 queries.

    The texts have two noisy words a class and two that say nothing.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, 12))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random((count, 4)) < 0.2).astype(np.uint8)
        labels[np.arange(count), rng.integers(4, size=count)] = 1
        return (labels @ centres + 0.3 * rng.standard_normal((count, 12))).astype(np.float32), labels

    train_rows, query_rows = draw(96), draw(24)
    words = np.random.default_rng(seed + 1)

    def texts(labels: np.ndarray) -> np.ndarray:
        named = np.repeat(labels, 2, axis=1) * (words.random((len(labels), 8)) < 0.7)
        return np.concatenate([named, words.random((len(labels), 2)) < 0.2], axis=1)

    sides = {"train": texts(train_rows[1]), "query": texts(query_rows[1])}
    dataset = RetrievalDataset.from_arrays(train_rows, query_rows, texts=sides)
    train = dataset.train.with_features(dataset.train.features, dataset.train.features + np.float32(0.1))
    return dataset.replace(train=train, database=train)


def fit(name: str, runtime=None, **settings):
    """A small fit; `settings` override those of `small_settings`."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS[name](BITS, seed=SEED, **{**small_settings(name), **settings})
    return method.fit(small_dataset(), runtime or Runtime(progress=False))


def values(fitted, split) -> np.ndarray:
    """float32 [n, K], whose signs are the codes."""
    return np.concatenate(list(fitted.encoder.values(split)))


def assert_same(found, expected) -> None:
    """Two fits agree in everything that a run keeps, bit for bit."""
    query = small_dataset().query
    np.testing.assert_array_equal(values(found, query), values(expected, query))
    np.testing.assert_array_equal(found.encode(query), expected.encode(query))
    assert (found.database_codes is None) == (expected.database_codes is None)
    if found.database_codes is not None:
        np.testing.assert_array_equal(found.database_codes, expected.database_codes)
    assert found.results == expected.results
    assert set(found.arrays) == set(expected.arrays)
    for name, arrays in expected.arrays.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(found.arrays[name][key], array, err_msg=f"{name}: {key}")
    traces = getattr(expected, "traces", {})
    assert set(getattr(found, "traces", {})) == set(traces)
    for term, trace in traces.items():
        np.testing.assert_array_equal(found.traces[term], trace, err_msg=term)
