"""The input of every method: training, query and database rows with ids, labels, and images or features.

A split is plain numpy, without TensorFlow; its images are read only when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array
from dseh_tf.data.images import ArrayImages
from dseh_tf.data.labels import multi_hot_splits
from dseh_tf.data.split import Split, split_of_arrays
from dseh_tf.data.texts import as_vocabulary, text_rows
from dseh_tf.errors import InputError, brief, whole
from dseh_tf.seeding import generator

_PARTS = ("train", "query", "database")


@dataclass(frozen=True)
class RetrievalDataset:
    """Methods are fitted on `train`; `query` rows search `database`. No query is in another split.

    Attributes:
        name: Name of the data set.
        train: Training rows.
        query: Query rows.
        database: Rows to search.
        class_names: Class names of the label columns; empty if they are not known.
        vocabulary: Words of the text columns; empty if there are no texts, or their words are not known.
        notes: Facts about the split that are recorded with a run (protocol, seed, counts).

    Raises:
        InputError: The splits have different numbers of classes, or a single class that some rows lack; only some
            splits have texts, or their widths differ; or the vocabulary does not fit the texts.
    """

    name: str
    train: Split
    query: Split
    database: Split
    class_names: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        widths = {part: getattr(self, part).classes for part in ("train", "query", "database")}
        if len(set(widths.values())) != 1:
            raise InputError(f"labels: found {widths} classes, expected the same number in every split")
        if self.classes == 1 and not all(getattr(self, part).labels.all() for part in widths):
            # Elsewhere one column means class ids, where two rows of 0 share a class.
            raise InputError(
                "labels: found one class and rows without it, expected at least two columns (class ids: use from_arrays)"
            )

        texts = {part: getattr(self, part).texts for part in widths}
        words = {part: None if rows is None else rows.shape[1] for part, rows in texts.items()}
        if len(set(words.values())) != 1:
            shown = {part: "none" if width is None else width for part, width in words.items()}
            raise InputError(f"texts: found {shown} columns, expected the same number in every split")
        object.__setattr__(self, "vocabulary", as_vocabulary(self.vocabulary, words["train"] or 0))

    @property
    def classes(self) -> int:
        return self.train.classes

    @property
    def has_images(self) -> bool:
        return self.train.images is not None

    @property
    def has_features(self) -> bool:
        return self.train.features is not None

    @property
    def has_texts(self) -> bool:
        return self.train.texts is not None

    def database_is_train(self) -> np.ndarray:
        """bool [n_database]: which database rows are training rows, by id."""
        return np.isin(self.database.ids, self.train.ids)

    def replace(self, **changes: Any) -> RetrievalDataset:
        return replace(self, **changes)

    def trained_on_database(self) -> RetrievalDataset:
        """The data set with all database rows as training rows, as asymmetric methods need it."""
        return self.replace(train=self.database, notes={**self.notes, "trained_on_database": True})

    def validation(self, fraction: float, seed: int = 0) -> RetrievalDataset:
        """Holds out a fraction of the training rows as queries.

        They are removed from train and database. The test queries are not read.

        All settings without a published source are chosen on such a data set, never on the test queries.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 < fraction < 1:
            raise InputError(f"validation: found {brief(fraction)}, expected a fraction between 0 and 1")
        seed = whole(seed, "seed", 0, 2**64 - 1)
        order = generator(seed, "validation").permutation(len(self.train))
        count = max(1, round(fraction * len(order)))
        if count >= len(order):
            raise InputError(
                f"validation: found {fraction}, which leaves none of {len(order)} training rows to train on"
            )
        held = np.sort(order[:count])
        kept = np.setdiff1d(np.arange(len(order)), held)
        query = self.train.take(held)
        return self.replace(
            train=self.train.take(kept),
            query=query,
            database=self.database.take(~np.isin(self.database.ids, query.ids)),
            notes={**self.notes, "validation": {"fraction": fraction, "seed": seed, "queries": len(query)}},
        )

    @classmethod
    def from_arrays(
        cls,
        train: tuple[Any, Any],
        query: tuple[Any, Any],
        database: tuple[Any, Any] | None = None,
        name: str = "arrays",
        class_names: Sequence[str] = (),
        texts: Mapping[str, Any] | None = None,
        vocabulary: Sequence[str] = (),
    ) -> RetrievalDataset:
        """Makes a data set from arrays. Each split is a pair (x, y).

        Args:
            train: x is uint8 images [n, height, width, 3], or float features [n, d], or None for labels only.
                y is multi-hot [n, c] of 0 and 1, or class ids [n], or class names [n]. Ids and names may be a column
                [n, 1], as keras.datasets returns them.
            query: like `train`.
            database: like `train`; None for the training rows themselves. If the first rows of `database` are exactly
                the training rows, they are recognised and keep their ids; all other rows get new ids.
            name: name of the data set.
            class_names: names of the label columns. Without them, class names among the labels are sorted, and become
                the `class_names` of the data set.
            texts: the texts of each split given, by its name: real numbers [n, t], sparse or dense, one for each row of x.
            vocabulary: the words of the text columns, if they are known.

        Raises:
            InputError: a shape or value is not accepted, one split has class names and another has numbers, or a name
                is not in `class_names`.
        """
        given = {"train": train, "query": query} | ({} if database is None else {"database": database})
        pairs = {part: _pair(value, part) for part, value in given.items()}
        labels, names = multi_hot_splits({part: y for part, (_, y) in pairs.items()}, class_names)
        splits = {part: split_of_arrays(x, labels[part], part) for part, (x, _) in pairs.items()}
        train_split, database_split = splits["train"], splits.get("database", splits["train"])
        if names and len(names) != train_split.classes:
            raise InputError(f"class_names: found {len(names)} names, expected {train_split.classes}, one per class")
        n = len(train_split)
        if database is not None and len(database_split) >= n and _same_rows(train_split, database_split, n):
            ids = database_split.ids.astype(object)
            ids[:n] = train_split.ids
            database_split = replace(database_split, ids=ids.astype(str))
        found = cls(name, train_split, splits["query"], database_split, names)
        return found if texts is None else found.with_texts(texts, vocabulary)

    def with_texts(self, texts: Mapping[str, Any], vocabulary: Sequence[str] = ()) -> RetrievalDataset:
        """Returns the same rows with texts.

        Args:
            texts: By "train", "query" and "database", real numbers [n, t], sparse or dense. Without "database", the
                database is the training rows and has their texts.
            vocabulary: The words of the columns, if they are known.

        Raises:
            InputError: A split without texts, another name, other shapes or values.
        """
        given = dict(texts)
        if "database" not in given and np.array_equal(self.database.ids, self.train.ids):
            given["database"] = given.get("train")
        if set(given) != set(_PARTS):
            raise InputError(f"texts: found those of {', '.join(given) or 'nothing'}, expected {', '.join(_PARTS)}")
        splits = {part: replace(getattr(self, part), texts=text_rows(given[part], f"{part} texts")) for part in _PARTS}
        return self.replace(**splits, vocabulary=tuple(vocabulary))


def as_split(rows: Any, part: str = "encoded") -> Split:
    """Returns a split as it is, or makes an unlabelled one of images [n, height, width, 3] or features [n, d].

    Raises InputError on anything else.
    """
    if isinstance(rows, Split):
        return rows
    if isinstance(rows, (RetrievalDataset, str, Path)) or rows is None:
        raise InputError(f"{part}: found {type(rows).__name__}, expected a Split, or an array of images or features")
    rows = as_array(rows, part)
    return split_of_arrays(rows, np.zeros((rows.shape[0] if rows.ndim else 0, 0), np.uint8), part)


def _pair(value: Any, part: str) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InputError(f"{part}: found {type(value).__name__}, expected a pair (x, y)")
    return value[0], value[1]


def _same_rows(train: Split, database: Split, n: int) -> bool:
    """Whether the first n database rows are the training rows."""
    if not np.array_equal(train.labels, database.labels[:n]):
        return False
    if train.features is not None and database.features is not None:
        return np.array_equal(train.features, database.features[:n])
    if isinstance(train.images, ArrayImages) and isinstance(database.images, ArrayImages):
        return np.array_equal(train.images.array, database.images.array[:n])
    return False
