"""The items of an index in memory: codes, ids and labels in the order in which they were added, and their file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import as_packed, shown
from dseh_tf.errors import InputError, brief
from dseh_tf.files import json_text, read_npz, write_npz
from dseh_tf.retrieval.codes import naming
from dseh_tf.retrieval.search.protocol import FORMAT, check_about, check_bits, check_ids, check_labels

FIELDS = ("format", "engine", "bits", "codes", "ids", "label_names", "label_counts", "label_numbers", "about")


class Items:
    """Items in the order in which they were added; an item's number is its place in this order."""

    def __init__(self, bits: int) -> None:
        self.bits = check_bits(bits)
        self._parts = [self._part(np.empty((0, -(-self.bits // 8)), np.uint8), np.empty(0, str))]
        self._numbers: dict[str, int] = {}  # of the items by id
        self._names: dict[str, int] = {}  # numbers of the labels by name

    @staticmethod
    def _part(codes: np.ndarray, ids: np.ndarray, labels: Sequence[Sequence[int]] | None = None) -> dict[str, Any]:
        """What one `add` brings. Labels: how many each item has, and their numbers, item after item."""
        lists = labels if labels is not None else [[]] * len(ids)
        counts = np.fromiter(map(len, lists), np.int64, len(ids))
        numbers = np.fromiter((number for given in lists for number in given), np.int64, int(counts.sum()))
        return {"codes": codes, "ids": ids, "label_counts": counts, "label_numbers": numbers}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, codes: Any, ids: Any, labels: Any) -> None:
        packed, _ = as_packed(codes, self.bits, "codes")
        ids = check_ids(ids, len(packed))
        names = check_labels(labels, len(packed))
        for name in ids.tolist():
            if name in self._numbers:
                raise InputError(f"ids: found {brief(name)}, which is in the index already, expected new ids")
        numbers = [[self._names.setdefault(name, len(self._names)) for name in given] for given in names]
        self._parts.append(self._part(packed.copy(), ids.copy(), numbers))
        self._numbers.update(zip(ids.tolist(), range(len(self), len(self) + len(ids)), strict=True))

    def remove(self, ids: Any) -> None:
        gone = np.zeros(len(self), bool)
        gone[self.numbers(check_ids(ids))] = True
        part, stay = self.joined(), ~gone
        held = np.repeat(stay, part["label_counts"])
        self._parts = [
            {name: array[held if name == "label_numbers" else stay] for name, array in part.items()},
        ]
        self._numbers = dict(zip(self._parts[0]["ids"].tolist(), range(int(stay.sum())), strict=True))

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """int64 [n], the places of items. Raises InputError on an id that is not in the index."""
        try:
            return np.array([self._numbers[name] for name in ids.tolist()], np.int64)
        except KeyError as error:
            raise InputError(f"ids: found {brief(error.args[0])}, expected ids of the index") from None

    def joined(self) -> dict[str, np.ndarray]:
        """codes, ids, label_counts and label_numbers of all items."""
        if len(self._parts) > 1:
            self._parts = [{name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}]
        return self._parts[0]

    def with_label(self, label: str) -> np.ndarray:
        """int64 [n], ascending numbers of the items that have a label."""
        part = self.joined()
        owners = np.repeat(np.arange(len(self)), part["label_counts"])
        return np.unique(owners[part["label_numbers"] == self._names.get(label, -1)])

    def labels_of(self, ids: Any) -> list[list[str]]:
        part, names = self.joined(), list(self._names)
        ends = np.cumsum(part["label_counts"])
        wanted = self.numbers(np.asarray(ids, str).reshape(-1))
        begins = ends - part["label_counts"]
        return [[names[k] for k in part["label_numbers"][begins[i] : ends[i]].tolist()] for i in wanted]

    def codes_of(self, ids: Any) -> np.ndarray:
        wanted = self.numbers(np.asarray(ids, str).reshape(-1))
        codes: np.ndarray = self.joined()["codes"][wanted]
        return codes

    def label_names(self) -> list[str]:
        names = list(self._names)
        return sorted(names[number] for number in np.unique(self.joined()["label_numbers"]).tolist())

    def save(self, path: Path | str, engine: str, about: dict[str, Any]) -> None:
        names = np.array(list(self._names), str)
        known = {"format": FORMAT, "engine": engine, "bits": self.bits, "about": json_text(about, indent=None)}
        arrays = {name: np.asarray(value) for name, value in known.items()}
        write_npz(path, {**arrays, **self.joined(), "label_names": names})


def read(path: Path | str) -> tuple[Items, dict[str, Any]]:
    """The items of a saved index, and its metadata.

    Raises:
        InputError: Names the file, the field, what was found and what was expected.
    """
    arrays = read_npz(path, FIELDS)
    with naming(path):
        for name in ("format", "bits"):
            if arrays[name].shape != () or arrays[name].dtype.kind not in "iu":
                raise InputError(f"{name}: found {shown(arrays[name])}, expected one whole number")
        if arrays["format"] != FORMAT:
            raise InputError(f"format: found {arrays['format']}, expected {FORMAT}")
        codes, names, about = arrays["codes"], arrays["label_names"], arrays["about"]
        if codes.dtype != np.uint8:
            raise InputError(f"codes: found {codes.dtype}, expected packed uint8")
        if about.shape != () or about.dtype.kind != "U":
            raise InputError(f"about: found {shown(about)}, expected one text")
        items = Items(int(arrays["bits"]))
        items._names = _label_names(names)
        items.add(codes, arrays["ids"], None)
        counts, numbers = arrays["label_counts"], arrays["label_numbers"]
        _check_numbers(counts, "label_counts", len(codes), len(numbers) if numbers.ndim == 1 else 0)
        _check_numbers(numbers, "label_numbers", int(counts.sum()), len(names) - 1)
        items._parts[-1] |= {"label_counts": counts.astype(np.int64), "label_numbers": numbers.astype(np.int64)}
        return items, parse_about(str(about))


def parse_about(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("about: found invalid JSON, expected JSON") from None
    return check_about(found)


def _label_names(names: np.ndarray) -> dict[str, int]:
    try:
        return dict(zip(check_ids(names).tolist(), range(len(names)), strict=True))
    except InputError as error:
        raise InputError(f"label_names: {str(error).partition(': ')[2]}") from None


def _check_numbers(numbers: np.ndarray, field: str, n: int, most: int) -> None:
    if numbers.dtype.kind not in "iu" or numbers.shape != (n,):
        raise InputError(f"{field}: found {shown(numbers)}, expected whole numbers [{n}]")
    wrong = numbers[(numbers < 0) | (numbers > most)]
    if len(wrong):
        raise InputError(f"{field}: found {wrong[0]}, expected 0 to {most}")
