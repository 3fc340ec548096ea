"""The interface of all search engines, and the checks of its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from dseh_tf.arrays import as_texts, shown
from dseh_tf.errors import InputError, brief, whole

FORMAT = 1  # of an index file
LEAST_BITS, MOST_BITS = 8, 1024

Self = TypeVar("Self", bound="Index")
Ids = Sequence[str] | np.ndarray  # strings
Found = tuple[np.ndarray, np.ndarray]  # ids (strings) and distances (int64)


class Index(Protocol):
    """A set of items that can be searched by hash code.

    An item has a code, an id (a string, unique in the index) and any number of labels (strings). Codes are ±1 [n, bits]
    or packed uint8 [n, ceil(bits / 8)]. Answers are exact, and ordered by Hamming distance, then by the order in which
    items were added; every engine gives the same ids and distances.

    bits: The length of the codes, 8 to 1,024. about: What the codes were made with, as JSON values; stored in the file.
    recall: None if answers are exact; the measured recall of an approximate `pgvector` index.
    """

    bits: int
    about: dict[str, Any]
    recall: float | None

    def __len__(self) -> int:
        """The number of items."""

    def add(self, codes: np.ndarray, ids: Ids, labels: Sequence[str | Iterable[str]] | None = None) -> None:
        """Adds items, all or none.

        Args:
            codes: [n, bits] or packed.
            ids: n strings, none of them in the index.
            labels: For each item, one or several labels; None if no item has labels.

        Raises:
            InputError: The width of the codes is wrong, an id is repeated, or the numbers of codes, ids and labels
                differ.
        """

    def remove(self, ids: Ids) -> None:
        """Removes items, all or none. Raises InputError on an id that is not in the index."""

    def search(self, codes: np.ndarray, k: int, label: str | None = None) -> Found:
        """The k nearest items of each code.

        Args:
            codes: [queries, bits] or packed.
            k: The number of answers; limited to the number of items that can be found.
            label: Return only items with this label.

        Returns:
            ids [queries, k], and Hamming distances int64 [queries, k].
        """

    def range(self, codes: np.ndarray, radius: int, inclusive: bool = True, label: str | None = None) -> list[Found]:
        """All items within a radius of each code.

        Args:
            codes: [queries, bits] or packed.
            radius: The maximum distance; with inclusive=False, distances must be smaller than it.
            inclusive: Whether items at the radius are found.
            label: Return only items with this label.

        Returns:
            For each query its ids [m] and distances int64 [m], nearest first.
        """

    def labels_of(self, ids: Ids) -> list[list[str]]:
        """The labels of each item. Raises InputError on an id that is not in the index."""

    def codes_of(self, ids: Ids) -> np.ndarray:
        """The codes of items, packed uint8 [n, ceil(bits / 8)]. Raises InputError on an id that is not in the index."""

    def label_names(self) -> list[str]:
        """All labels that some item has, sorted."""

    def save(self, path: Path | str) -> None:
        """Writes the index to a file atomically."""

    @classmethod
    def open(cls: type[Self], path: Path | str) -> Self:
        """Reads and checks a saved index. Raises InputError naming the file, the field, what was found and expected."""

    def close(self) -> None:
        """Closes the file, if the engine holds one open."""


def check_bits(bits: Any) -> int:
    return whole(bits, "bits", LEAST_BITS, MOST_BITS)


def check_about(about: Mapping[str, Any] | None) -> dict[str, Any]:
    if about is not None and not (isinstance(about, Mapping) and all(isinstance(name, str) for name in about)):
        raise InputError(f"about: found {brief(about)}, expected a JSON object")
    return dict(about or {})


def check_ids(ids: Any, n: int | None = None) -> np.ndarray:
    """Strings [n] without a repetition. Raises InputError on anything else."""
    array = as_texts(ids, "ids")
    if array.size == 0:
        array = np.empty(array.shape, str)
    if array.dtype.kind != "U" or array.ndim != 1 or (n is not None and len(array) != n):
        raise InputError(f"ids: found {shown(array)}, expected strings [{'n' if n is None else n}]")
    names = array.tolist()
    _check_characters(names, "ids")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"ids: found {brief(twice)} twice, expected each id once")
    return array


def check_labels(labels: Any, n: int) -> list[list[str]]:
    """For each of n items its labels, each once, in the order given."""
    if labels is None:
        return [[] for _ in range(n)]
    if isinstance(labels, str) or not hasattr(labels, "__len__") or len(labels) != n:
        raise InputError(f"labels: found {brief(labels)}, expected one or several strings for each of {n} items")
    found = []
    for given in labels:
        names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
        for name in names:
            if not isinstance(name, str):
                raise InputError(f"labels: found {brief(name)}, expected strings")
        found.append(list(dict.fromkeys(map(str, names))))
    _check_characters((name for names in found for name in names), "labels")
    return found


def check_label(label: Any) -> str | None:
    if label is not None and not isinstance(label, str):
        raise InputError(f"label: found {brief(label)}, expected a string")
    return label


def check_radius(radius: Any, inclusive: bool) -> int:
    """The largest distance that is found: -1 if none is."""
    return whole(radius, "radius", 0) - (0 if inclusive else 1)


def _check_characters(names: Iterable[str], field: str) -> None:
    """Halves of surrogate pairs are no characters: no file could hold them."""
    text = "\n".join(names)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{field}: found the character {text[error.start]!a}, expected valid text") from None
    if "\0" in text:
        raise InputError(f"{field}: found the character '\\x00', expected valid text")
