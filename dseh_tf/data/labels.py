"""Converts class ids, class names or 0/1 matrices to multi-hot labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array, as_labels, as_texts, shown
from dseh_tf.errors import InputError, brief

log = logging.getLogger(__name__)
_SHOWN = 20  # class names in a message
_MOST_LABELS = 1 << 33  # bytes of a label matrix: more is a mistaken id rather than a class


def multi_hot(labels: np.ndarray, classes: int = 0, where: str = "labels") -> np.ndarray:
    """Multi-hot labels from multi-hot labels or class ids.

    Args:
        labels: Multi-hot [n, c], or class ids [n] or [n, 1]. A column is multi-hot only if `classes` is 1.
        classes: The least number of columns for class ids.
        where: Name of the labels, for messages.

    Returns:
        uint8 [n, c]; for class ids, c is `classes` or the largest id + 1.

    Raises:
        InputError: A value that is not 0 or 1, or a negative or fractional class id.
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


def multi_hot_splits(
    labels: dict[str, Any], class_names: Sequence[str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Multi-hot labels of several splits, with the same classes in each.

    Args:
        labels: The labels of each split by its name: multi-hot [n, c], class ids [n], or class names [n].
        class_names: Class names of the columns; may be empty. Class names among the labels are then sorted.

    Returns:
        uint8 [n, c] of each split, and the names of the classes, empty if none are known.

    Raises:
        InputError: Names in one split and numbers in another, a name that is not in `class_names`, or an id that is too
            large to be a class.
    """
    found, names = _numbered(labels, _checked_names(class_names))
    # The same number of classes in every split, even if a split lacks the largest id.
    ids = [y for y in found.values() if y.ndim == 1]
    classes = max((int(y.max()) + 1 for y in ids if len(y)), default=0)
    classes = max(classes, len(names)) if ids else classes
    rows = sum(map(len, ids))
    if classes * rows > _MOST_LABELS:
        raise InputError(
            f"labels: found the class id {classes - 1}, expected ids 0 to classes - 1: a matrix of {rows} rows and "
            f"{classes} classes is too large"
        )
    return {part: multi_hot(y, classes, part) for part, y in found.items()}, names


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
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
            raise InputError(f"{part} labels: found {shown(y)}, expected one class name per row [n]")
    if not class_names:
        class_names = tuple(np.unique(np.concatenate(list(found.values()))).tolist())
        shown_names = ", ".join(class_names[:_SHOWN]) + (", ..." if len(class_names) > _SHOWN else "")
        log.warning("labels: found class names; ids are given by their sorted order: %s", shown_names)
    place = {name: i for i, name in enumerate(class_names)}
    for part, y in found.items():
        unknown = set(y.tolist()) - set(place)
        if unknown:
            raise InputError(
                f"{part} labels: found {brief(min(unknown))}, expected one of class_names: {brief(class_names)}"
            )
        found[part] = np.array([place[label] for label in y.tolist()], np.int64)
    return found, class_names
