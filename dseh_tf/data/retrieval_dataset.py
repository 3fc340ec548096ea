"""What every method is given: training, query and database rows with ids, labels and images or features.

No TensorFlow here: a split is plain numpy, and its images are read only when someone asks for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dseh_tf.errors import InputError


class ImageSource(Protocol):
    """Images addressed by row; nothing is decoded before `read`."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> ImageSource:
        """The source of the given rows, in that order."""
        ...

    def read(self, row: int) -> np.ndarray:
        """uint8 [height, width, 3], RGB, in its own size."""
        ...

    def fingerprint(self) -> str:
        """A text that changes with the images and their order: names their pixels in a cache on disk."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images held in memory (or in a memory map): uint8 [n, height, width, 3], RGB."""

    array: np.ndarray

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[-1] != 3 or self.array.dtype != np.uint8:
            raise InputError(
                f"images: found {self.array.dtype} {list(self.array.shape)}, expected uint8 [n, height, width, 3]"
            )

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> ArrayImages:
        return ArrayImages(self.array[rows])

    def read(self, row: int) -> np.ndarray:
        return self.array[row]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(str(self.array.shape).encode())
        for image in self.array:
            digest.update(np.ascontiguousarray(image))
        return digest.hexdigest()


@dataclass(frozen=True)
class FileImages:
    """Images in files. `origins[i]` says where row i was named (list file and line), for error messages."""

    paths: tuple[Path, ...]
    origins: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> FileImages:
        return FileImages(
            tuple(self.paths[int(r)] for r in rows),
            tuple(self.origins[int(r)] for r in rows) if self.origins else (),
        )

    def read(self, row: int) -> np.ndarray:
        from dseh_tf.data.decoding import decode_file  # Pillow is needed only where files are

        return decode_file(self.paths[row], self.origins[row] if self.origins else "")

    def fingerprint(self) -> str:
        """Of paths, sizes and times of change; a missing file raises InputError."""
        digest = hashlib.sha256()
        for row, path in enumerate(self.paths):
            try:
                stat = path.stat()
            except (OSError, ValueError):
                raise InputError(f"{path}: no such file{_named(self.origins, row)}") from None
            # A path may hold bytes that are not UTF-8.
            text = f"{path.absolute()}\0{stat.st_size} {stat.st_mtime_ns}\n"
            digest.update(text.encode(errors="surrogateescape"))
        return digest.hexdigest()


def _named(origins: tuple[str, ...], row: int) -> str:
    return f" (named in {origins[row]})" if origins else ""


@dataclass(frozen=True)
class Split:
    """Some rows of a data set.

    ids: unicode [n], unique within the split and stable across runs.
    labels: uint8 multi-hot [n, c].
    images: their source, or None (labels only, or features only).
    features: float32 [n, d] from a frozen backbone, or None; `flipped_features` those of the mirrored images.
    texts: float32 [n, t] of a text side, or None (cross-modal data sets only).
    """

    ids: np.ndarray
    labels: np.ndarray
    images: ImageSource | None = None
    features: np.ndarray | None = None
    flipped_features: np.ndarray | None = None
    texts: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            found = f"{self.labels.dtype} {list(self.labels.shape)}"
            raise InputError(f"labels: found {found}, expected uint8 [{n}, classes]")
        for name in ("labels", "images", "features", "flipped_features", "texts"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise InputError(f"{name}: found {len(value)} rows, expected {n}, one an id")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> int:
        return self.labels.shape[1]

    def with_features(self, features: np.ndarray, flipped: np.ndarray | None = None) -> Split:
        """The same rows with features [n, d], and those of the mirrored images where given."""
        return replace(self, features=features, flipped_features=flipped)

    def take(self, rows: np.ndarray) -> Split:
        """The given rows (integers or a boolean mask), in that order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        part = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("ids", "labels", "features", "flipped_features", "texts")
        }
        return Split(images=None if self.images is None else self.images.take(rows), **part)


@dataclass(frozen=True)
class RetrievalDataset:
    """A method fits on `train`; `query` rows search `database`. No query row is in another split.

    class_names: the label columns, when known. notes: facts of the draw kept with a run (protocol, seed, counts).
    """

    name: str
    train: Split
    query: Split
    database: Split
    class_names: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        widths = {part: getattr(self, part).classes for part in ("train", "query", "database")}
        if len(set(widths.values())) != 1:
            raise InputError(f"labels: found {widths} classes, expected the same number in every split")

    @property
    def classes(self) -> int:
        return self.train.classes

    @property
    def has_images(self) -> bool:
        return self.train.images is not None

    @property
    def has_features(self) -> bool:
        return self.train.features is not None

    def database_is_train(self) -> np.ndarray:
        """bool [n_database]: which database rows are training rows, by id."""
        return np.isin(self.database.ids, self.train.ids)

    def replace(self, **changes: Any) -> RetrievalDataset:
        return replace(self, **changes)

    def validation(self, fraction: float, seed: int = 0) -> RetrievalDataset:
        """A share of the training rows as queries; they leave train and database. The test queries are not touched.

        Every setting without a source is chosen on this data set, never on the queries.
        """
        if not 0 < fraction < 1:
            raise InputError(f"validation: found {fraction}, expected a share between 0 and 1")
        order = np.random.Generator(np.random.Philox(key=[seed, 0x7A11D])).permutation(len(self.train))
        count = max(1, round(fraction * len(order)))
        if count >= len(order):
            raise InputError(f"validation: found {fraction}, which leaves none of {len(order)} training rows to train on")
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
        train: tuple[np.ndarray, np.ndarray],
        query: tuple[np.ndarray, np.ndarray],
        database: tuple[np.ndarray, np.ndarray] | None = None,
        name: str = "arrays",
        class_names: Sequence[str] = (),
    ) -> RetrievalDataset:
        """Wraps anyone's arrays. Each split is (x, y).

        x: uint8 images [n, height, width, 3], or float features [n, d], or None for labels only.
        y: multi-hot [n, c] of 0 and 1, or class ids [n].
        database: None means the training rows themselves. A database row equal to no training row gets an id of
        its own; pass `database` holding the training rows first, unchanged, and they are recognised as such.

        Raises InputError on other shapes or label values.
        """
        pairs = [pair for pair in (train, query, database) if pair is not None]
        class_ids = [np.asarray(y) for _, y in pairs if np.ndim(y) == 1]
        # As many classes in every split, also where one split lacks the largest id.
        classes = max((int(ids.max(initial=-1)) + 1 for ids in class_ids), default=0)
        train_split = _split_from_arrays(train, "train", classes)
        query_split = _split_from_arrays(query, "query", classes)
        if database is None:
            database_split = train_split
        else:
            database_split = _split_from_arrays(database, "database", classes)
            n = len(train_split)
            if len(database_split) >= n and _same_rows(train, database, n):
                ids = database_split.ids.astype(object)
                ids[:n] = train_split.ids
                database_split = replace(database_split, ids=ids.astype(str))
        return cls(name, train_split, query_split, database_split, tuple(class_names))


def _same_rows(train: tuple[np.ndarray, np.ndarray], database: tuple[np.ndarray, np.ndarray], n: int) -> bool:
    """Whether the first n database rows are the training rows."""
    (x, y), (dx, dy) = train, database
    if not np.array_equal(np.asarray(y), np.asarray(dy)[:n]):
        return False
    return x is not None and dx is not None and np.array_equal(np.asarray(x), np.asarray(dx)[:n])


def _split_from_arrays(pair: tuple[np.ndarray, np.ndarray], part: str, classes: int) -> Split:
    x, y = pair
    labels = multi_hot(np.asarray(y), classes, part)
    ids = np.array([f"{part}/{i}" for i in range(len(labels))])
    if x is None:
        return Split(ids, labels)
    x = np.asarray(x)
    if x.ndim == 4:
        return Split(ids, labels, images=ArrayImages(x))
    if x.ndim == 2 and np.issubdtype(x.dtype, np.floating):
        return Split(ids, labels, features=x.astype(np.float32))
    raise InputError(
        f"{part}: found {x.dtype} {list(x.shape)}, expected uint8 images [n, height, width, 3] or float features [n, d]"
    )


def multi_hot(labels: np.ndarray, classes: int = 0, where: str = "labels") -> np.ndarray:
    """uint8 multi-hot [n, c] from multi-hot [n, c] or class ids [n] (c = `classes`, or the largest id + 1).

    Raises InputError on a value that is not 0 or 1, or a negative or fractional class id.
    """
    if labels.ndim == 2:
        if not np.isin(labels, (0, 1)).all():
            wrong = labels[~np.isin(labels, (0, 1))].flat[0]
            raise InputError(f"{where}: found label {wrong}, expected 0 or 1")
        return labels.astype(np.uint8)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or (len(labels) and labels.min() < 0):
        found = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{where}: found {found}, expected multi-hot [n, c] or class ids [n]")
    out = np.zeros((len(labels), max(classes, int(labels.max(initial=-1)) + 1)), np.uint8)
    out[np.arange(len(labels)), labels] = 1
    return out
