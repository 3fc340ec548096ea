"""An index in memory, whose engine searches distinct codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from dseh_tf.arrays import as_packed
from dseh_tf.errors import positive
from dseh_tf.retrieval.search import items
from dseh_tf.retrieval.search.distinct import Postings
from dseh_tf.retrieval.search.protocol import Found, Ids, check_about, check_label, check_radius

Self = TypeVar("Self", bound="MemoryIndex")


class Scan(Protocol):
    """An engine over the distinct codes of some items; answers are places in `postings.items` and distances, both int64.

    Both are ordered by distance, then by the number of the item.
    """

    def __init__(self, postings: Postings, bits: int) -> None: ...

    def nearest(self, packed: np.ndarray, k: int) -> Found:
        """The k nearest items [queries, k] of packed codes; k is at most the number of items and at least 1."""

    def within(self, packed: np.ndarray, radius: int) -> list[Found]:
        """The items within a radius (inclusive) of each packed code."""


class MemoryIndex:
    """Implements `dseh_tf.retrieval.search.Index` for an engine that searches codes in memory.

    The first search after a change sorts the codes, which takes about 0.2 seconds for a million; so does the first
    search with a label, for the items with that label.

    Args:
        bits: The length of the codes, 8 to 1,024.
        about: What the codes were made with, as JSON values; saved with the index.
    """

    engine: ClassVar[str]
    recall: float | None = None
    _scan: ClassVar[type[Scan]]

    def __init__(self, bits: int, about: Mapping[str, Any] | None = None) -> None:
        self._items = items.Items(bits)
        self.bits = self._items.bits
        self.about = check_about(about)
        self._scans: dict[str | None, tuple[np.ndarray, Scan]] = {}  # by label: the ids of its items, and their engine

    def __len__(self) -> int:
        return len(self._items)

    def add(self, codes: np.ndarray, ids: Ids, labels: Sequence[str | Iterable[str]] | None = None) -> None:
        self._items.add(codes, ids, labels)
        self._scans.clear()

    def remove(self, ids: Ids) -> None:
        self._items.remove(ids)
        self._scans.clear()

    def search(self, codes: np.ndarray, k: int, label: str | None = None) -> Found:
        packed, _ = as_packed(codes, self.bits, "codes")
        k = positive(k, "k")
        ids, scan = self._scanned(label)
        k = min(k, len(ids))
        if k == 0 or len(packed) == 0:
            return np.empty((len(packed), k), ids.dtype), np.empty((len(packed), k), np.int64)
        found, distances = scan.nearest(packed, k)
        return ids.take(found), distances

    def range(self, codes: np.ndarray, radius: int, inclusive: bool = True, label: str | None = None) -> list[Found]:
        packed, _ = as_packed(codes, self.bits, "codes")
        radius = check_radius(radius, inclusive)
        ids, scan = self._scanned(label)
        if len(ids) == 0 or radius < 0:
            return [(np.empty(0, ids.dtype), np.empty(0, np.int64)) for _ in packed]
        return [(ids[found], distances) for found, distances in scan.within(packed, min(radius, self.bits))]

    def labels_of(self, ids: Ids) -> list[list[str]]:
        return self._items.labels_of(ids)

    def codes_of(self, ids: Ids) -> np.ndarray:
        return self._items.codes_of(ids)

    def label_names(self) -> list[str]:
        return self._items.label_names()

    def save(self, path: Path | str) -> None:
        self._items.save(path, self.engine, self.about)

    @classmethod
    def open(cls: type[Self], path: Path | str) -> Self:
        held, about = items.read(path)
        index = cls(held.bits, about)
        index._items = held
        return index

    def close(self) -> None:
        pass

    def _scanned(self, label: str | None) -> tuple[np.ndarray, Scan]:
        """The ids of the items with a label in the order of their postings, and the engine over them."""
        held = self._scans.get(label)
        if held is None:
            rows = None if check_label(label) is None else self._items.with_label(str(label))
            part = self._items.joined()
            codes = part["codes"] if rows is None else part["codes"][rows]
            postings = Postings.of(codes, rows)
            held = self._scans[label] = part["ids"][postings.items], self._scan(postings, self.bits)
        return held
