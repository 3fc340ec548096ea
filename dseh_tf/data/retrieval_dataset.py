"""What every method is given: training, query and database rows with ids, labels and images or features.

No TensorFlow here: a split is plain numpy, and its images are read only when someone asks for them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dseh_tf.arrays import as_array, as_labels, as_texts, shown
from dseh_tf.errors import InputError, brief, whole
from dseh_tf.seeding import generator

log = logging.getLogger(__name__)
_SHOWN = 20  # class names in a message


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
        if not isinstance(self.array, np.ndarray) or isinstance(self.array, np.ma.MaskedArray):
            object.__setattr__(self, "array", as_array(self.array, "images"))
        if self.array.ndim != 4 or self.array.shape[-1] != 3 or self.array.dtype != np.uint8:
            raise InputError(f"images: found {shown(self.array)}, expected uint8 [n, height, width, 3]")

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
        for name in ("ids", "labels", "features", "flipped_features", "texts"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray)):
                object.__setattr__(self, name, as_array(value, name))
        if self.ids.ndim != 1:
            raise InputError(f"ids: found {shown(self.ids)}, expected strings [n]")
        n = len(self.ids)
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            raise InputError(f"labels: found {shown(self.labels)}, expected uint8 [{n}, classes]")
        if self.labels.size and self.labels.max() > 1:
            raise InputError(f"labels: found the value {self.labels.max()}, expected 0 or 1")
        for name in ("features", "flipped_features", "texts"):
            value = getattr(self, name)
            if value is not None and (value.ndim != 2 or value.dtype.kind not in "iuf"):
                raise InputError(f"{name}: found {shown(value)}, expected float32 [{n}, d]")
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
        if self.classes == 1 and not all(getattr(self, part).labels.all() for part in widths):
            # Elsewhere one column means class ids, where two rows of 0 share a class.
            raise InputError(
                "labels: found one class and rows without it, expected at least two columns (class ids: use from_arrays)"
            )

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
        if isinstance(fraction, (str, bool)) or not np.isscalar(fraction) or not 0 < fraction < 1:
            raise InputError(f"validation: found {brief(fraction)}, expected a share between 0 and 1")
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
        train: tuple[np.ndarray, np.ndarray],
        query: tuple[np.ndarray, np.ndarray],
        database: tuple[np.ndarray, np.ndarray] | None = None,
        name: str = "arrays",
        class_names: Sequence[str] = (),
    ) -> RetrievalDataset:
        """Wraps anyone's arrays. Each split is (x, y).

        Args:
            train: x is uint8 images [n, height, width, 3], or float features [n, d], or None for labels only.
                y is multi-hot [n, c] of 0 and 1, or class ids [n], or class names [n]. Ids and names may be a column
                [n, 1], as keras.datasets returns them.
            query: as `train`.
            database: None means the training rows themselves. A database row equal to no training row gets an id of
                its own; pass `database` holding the training rows first, unchanged, and they are recognised as such.
            name: of the data set.
            class_names: of the columns; without them, class names among the labels are sorted, and kept as
                `class_names` of the data set.

        Raises:
            InputError: other shapes or values, names in one split and numbers in another, or a name that is not one of
                `class_names`.
        """
        given = {"train": train, "query": query} | ({} if database is None else {"database": database})
        pairs = {part: _pair(value, part) for part, value in given.items()}
        class_names = _class_names(class_names)
        labels, class_names = _numbered({part: y for part, (_, y) in pairs.items()}, class_names)
        # As many classes in every split, also where one split lacks the largest id.
        ids = [y for y in labels.values() if y.ndim == 1]
        classes = max((int(y.max()) + 1 for y in ids if len(y)), default=0)
        classes = max(classes, len(class_names)) if ids else classes
        rows = sum(map(len, ids))
        if classes * rows > _MOST_LABELS:
            raise InputError(
                f"labels: found the class id {classes - 1}, expected ids 0 to classes - 1: a matrix of {rows} rows and "
                f"{classes} classes is too large"
            )
        splits = {part: _split_of(x, multi_hot(labels[part], classes, part), part) for part, (x, _) in pairs.items()}
        train_split, database_split = splits["train"], splits.get("database", splits["train"])
        if class_names and len(class_names) != train_split.classes:
            raise InputError(
                f"class_names: found {len(class_names)} names, expected {train_split.classes}, one a class"
            )
        n = len(train_split)
        if database is not None and len(database_split) >= n and _same_rows(train_split, database_split, n):
            ids = database_split.ids.astype(object)
            ids[:n] = train_split.ids
            database_split = replace(database_split, ids=ids.astype(str))
        return cls(name, train_split, splits["query"], database_split, class_names)


_MOST_LABELS = 1 << 33  # bytes of a label matrix: more is a mistaken id rather than a class


def _pair(value: Any, part: str) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InputError(f"{part}: found {type(value).__name__}, expected a pair (x, y)")
    return value[0], value[1]


def _class_names(names: Sequence[str]) -> tuple[str, ...]:
    found = as_texts([] if isinstance(names, str) else list(names), "class_names")
    if isinstance(names, str) or found.ndim != 1 or (len(found) and found.dtype.kind != "U"):
        raise InputError(f"class_names: found {brief(names)}, expected a list of strings")
    if len(set(found.tolist())) < len(found):
        raise InputError(f"class_names: found {brief(names)}, expected each name once")
    return tuple(found.tolist())


def _numbered(labels: dict[str, Any], class_names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of the splits as ids or multi-hot, and the names of the classes; class names in labels become ids."""
    found = {part: as_texts(y, f"{part} labels") for part, y in labels.items()}
    named = {part: y.dtype.kind == "U" for part, y in found.items()}
    if not any(named.values()):
        return {part: as_labels(y, f"{part} labels") for part, y in found.items()}, class_names
    if not all(named.values()):
        numbers = next(part for part in named if not named[part])
        raise InputError(
            f"{numbers} labels: found {shown(found[numbers])}, expected class names as in the other splits"
        )
    for part, y in found.items():
        if y.ndim == 2 and y.shape[1] == 1:
            found[part] = y = y[:, 0]
        if y.ndim != 1:
            raise InputError(f"{part} labels: found {shown(y)}, expected one class name a row [n]")
    if not class_names:
        class_names = tuple(np.unique(np.concatenate(list(found.values()))).tolist())
        shown_names = ", ".join(class_names[:_SHOWN]) + (", ..." if len(class_names) > _SHOWN else "")
        log.warning("labels: found class names; their sorted order gives the ids: %s", shown_names)
    place = {name: i for i, name in enumerate(class_names)}
    for part, y in found.items():
        unknown = set(y.tolist()) - set(place)
        if unknown:
            raise InputError(
                f"{part} labels: found {brief(min(unknown))}, expected one of class_names: {brief(class_names)}"
            )
        found[part] = np.array([place[label] for label in y.tolist()], np.int64)
    return found, class_names


def _same_rows(train: Split, database: Split, n: int) -> bool:
    """Whether the first n database rows are the training rows."""
    if not np.array_equal(train.labels, database.labels[:n]):
        return False
    if train.features is not None and database.features is not None:
        return np.array_equal(train.features, database.features[:n])
    if train.images is not None and database.images is not None:
        return np.array_equal(train.images.array, database.images.array[:n])
    return False


def as_split(rows: Any, part: str = "encoded") -> Split:
    """The split itself, or a split without labels of arrays: images [n, height, width, 3] or features [n, d].

    Raises InputError on anything else.
    """
    if isinstance(rows, Split):
        return rows
    if isinstance(rows, (RetrievalDataset, str, Path)) or rows is None:
        raise InputError(f"{part}: found {type(rows).__name__}, expected a Split, or an array of images or features")
    rows = as_array(rows, part)
    return _split_of(rows, np.zeros((rows.shape[0] if rows.ndim else 0, 0), np.uint8), part)


def _split_of(x: Any, labels: np.ndarray, part: str) -> Split:
    """The split of images or features, or of labels alone."""
    ids = np.array([f"{part}/{i}" for i in range(len(labels))], dtype=str)
    if x is None:
        return Split(ids, labels)
    x = as_array(x, part)
    images = x.ndim == 4 and x.shape[-1] == 3 and x.dtype == np.uint8
    if not images and not (x.ndim == 2 and x.shape[1] and x.dtype.kind == "f"):
        expected = "uint8 images [n, height, width, 3] or float features [n, d]"
        raise InputError(f"{part}: found {shown(x)}, expected {expected}")
    if len(x) != len(labels):
        raise InputError(f"{part} labels: found {len(labels)} rows, expected {len(x)}, one a row of x")
    if images:
        return Split(ids, labels, images=ArrayImages(x))
    with np.errstate(over="ignore"):
        features = x.astype(np.float32)
    if x.dtype.itemsize > 4:
        beyond = np.isfinite(x) & ~np.isfinite(features)
        if beyond.any():
            raise InputError(f"{part} features: found {x[beyond][0]}, expected numbers within the range of float32")
    return Split(ids, labels, features=features)


def multi_hot(labels: np.ndarray, classes: int = 0, where: str = "labels") -> np.ndarray:
    """uint8 multi-hot [n, c] from multi-hot [n, c] or class ids [n] (c = `classes`, or the largest id + 1).

    A column [n, 1] is class ids, unless `classes` is 1. Raises InputError on a value that is not 0 or 1, or a negative
    or fractional class id.
    """
    labels = as_array(labels, where)
    if labels.ndim == 2 and labels.shape[1] == classes == 1:
        return as_labels(np.hstack([labels, np.zeros_like(labels)]), where)[:, :1]
    labels = as_labels(labels, where)
    if labels.ndim == 2:
        return labels
    if len(labels):
        classes = max(classes, int(labels.max()) + 1)
    out = np.zeros((len(labels), classes), np.uint8)
    out[np.arange(len(labels)), labels] = 1
    return out
