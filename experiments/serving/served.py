"""One index with its model and pictures, and the answers to a query from several of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.errors import InputError
from dseh_tf.export import check_same
from dseh_tf.retrieval.search import Index, open_index
from dseh_tf.retrieval.search.address import is_address, parse
from experiments.search import parse_code
from experiments.serving.limits import Limits, Refused
from experiments.serving.model import Model
from experiments.serving.pictures import Pictures, pictures

# Two indexes mean the same picture by an id where these agree.
_SAME_IMAGES = ("dataset", "images")


class Served:
    """An index that is searched by many threads.

    If the file changes, it is opened again, so that answers match its content. If it is missing or damaged, searches
    are refused with 503 until it is back.

    Args:
        number: Its place among the indexes that are served.
        place: The file of the index, or the address of one in a database.
        model: Turns images into codes; None serves searches by item and by code only.
        images_root: Where the pictures of the items are. None: where the index or its run says.
        limits: Bounds the images that are read.
        allow_mixed: Whether the model may be of a different precision than the index's codes.

    Raises:
        InputError: No such index, or one of another run than the model's.
    """

    def __init__(
        self,
        number: int,
        place: str,
        model: Model | None,
        images_root: str | None,
        limits: Limits,
        allow_mixed: bool = False,
    ) -> None:
        self.number, self.place, self.model, self._allow_mixed = number, place, model, allow_mixed
        self.name = parse(place).index if is_address(place) else Path(place).name
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._stamp: tuple[int, ...] = ()
        index = self._opened()
        self.bits, self.about = index.bits, index.about
        folder = None if model is None else model.folder
        self.pictures: Pictures | None = pictures(index.about, images_root, folder, limits)

    @contextmanager
    def index(self) -> Iterator[Index]:
        """The index, for one thread at a time. Raises Refused if it cannot be read."""
        with self._lock:
            try:
                yield self._opened()
            except Refused:
                raise
            except Exception as error:
                self._close()  # the next search opens it again
                if not isinstance(error, (InputError, OSError)):
                    logging.exception("%s cannot be searched", self.name)
                raise Refused(503, f"the index cannot be read now: {error or type(error).__name__}") from None

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            with suppress(Exception):  # of a connection that is lost
                index.close()

    def _opened(self) -> Index:
        stamp = _stamp(self.place)
        if self._index is None or stamp != self._stamp:
            self._close()
            index = open_index(self.place, read_only=True)
            try:
                if self.model is not None:
                    check_same(self.model.folder, {**index.about, "bits": index.bits}, "the index", self._allow_mixed)
                index.search(np.zeros((1, -(-index.bits // 8)), np.uint8), 1)  # sorts the codes and loads the kernels
            except BaseException:
                index.close()
                raise
            self._index, self._stamp = index, stamp
            self.bits, self.about = index.bits, index.about
        return self._index

    def nearest(self, code: np.ndarray, top: int, radius: int | None, label: str | None) -> list[dict[str, Any]]:
        """The nearest items of a packed code [ceil(bits / 8)], at most `top`, within the radius, with the label."""
        with self.index() as index:
            ids, distances = (array[0] for array in index.search(code[None], top, label))
            if radius is not None:
                ids, distances = ids[distances <= radius], distances[distances <= radius]
            labels = index.labels_of(ids)
        found = zip(ids.tolist(), distances.tolist(), labels, strict=True)
        return [{"id": name, "distance": far, "labels": held} for name, far, held in found]

    def code_of(self, name: str) -> np.ndarray | None:
        """The packed code of an item; None if the index has no such item."""
        with self.index() as index:
            try:
                code: np.ndarray = index.codes_of([name])[0]
                return code
            except InputError as error:
                if str(error).startswith("ids: "):
                    return None
                raise

    def check_item(self, name: str) -> None:
        """Raises Refused if the index has no such item."""
        if self.code_of(name) is None:
            raise Refused(404, f"id: found {name!r}, expected an item of {self.name}")

    def labels_of(self, name: str) -> list[str]:
        """The labels of an item. Raises Refused if the index has no such item."""
        self.check_item(name)
        with self.index() as index:
            return index.labels_of([name])[0]

    def label_names(self) -> list[str]:
        with self.index() as index:
            return index.label_names()

    def encode(self, image: np.ndarray) -> np.ndarray:
        """The packed code of an image. Raises Refused if there is no model."""
        if self.model is None:
            raise Refused(422, f"image: found no model for {self.name}, expected one (--model=RUN) to encode images")
        return self._encoded(lambda model: model.encode([image]))

    def encode_words(self, text: str) -> np.ndarray:
        """The packed code of words. Raises Refused if there is no model, or one that does not know the words."""
        if self.model is None:
            raise Refused(422, f"text: found no model for {self.name}, expected one (--model=RUN) to encode words")
        return self._encoded(lambda model: model.encode_texts([text]))

    def _encoded(self, encode: Callable[[Model], np.ndarray]) -> np.ndarray:
        assert self.model is not None
        try:
            code: np.ndarray = encode(self.model)[0]
            return code
        except InputError as error:
            raise Refused(422, str(error)) from None

    def read_code(self, text: str) -> np.ndarray:
        """The packed code of hexadecimal digits. Raises Refused on anything else."""
        try:
            return parse_code(text, self.bits)
        except InputError as error:
            raise Refused(422, str(error).removeprefix("--")) from None

    def same_images(self, other: Served) -> bool:
        return all(self.about.get(field) == other.about.get(field) for field in _SAME_IMAGES)


def code_of_item(run: Served, origin: Served, name: str) -> np.ndarray:
    """The code of an item of `origin` for a search in `run`: the one it has there, or that of its picture."""
    code = run.code_of(name) if run is origin or run.same_images(origin) else None
    if code is not None:
        return code
    origin.check_item(name)  # only pictures of items are read
    if origin.pictures is None or run.model is None:
        raise Refused(404, f"id: found {name!r}, which {run.name} does not have, expected a picture and a model for it")
    return run.encode(origin.pictures.pixels(name))


def answers(
    runs: Sequence[Served], code_of: Callable[[Served], np.ndarray], top: int, radius: int | None, label: str | None
) -> list[dict[str, Any]]:
    """The answer of each run, or its error. Raises Refused if no run has an answer."""
    if label is not None and not any(label in names for names in _label_names(runs)):
        raise Refused(422, f"label: found {label!r}, expected a label of the index")
    found: list[dict[str, Any]] = []
    refused: list[Refused] = []
    for run in runs:
        answer = {"run": run.number, "name": run.name, "bits": run.bits}
        try:
            code = code_of(run)
            found.append({**answer, "code": code.tobytes().hex(), "nearest": run.nearest(code, top, radius, label)})
        except Refused as error:
            refused.append(error)
            found.append({**answer, "error": error.line})
    if len(refused) == len(runs):
        raise refused[0]
    return found


def _label_names(runs: Sequence[Served]) -> Iterator[list[str]]:
    """Of the runs whose index can be read."""
    for run in runs:
        try:
            yield run.label_names()
        except Refused:
            if len(runs) == 1:
                raise


def _stamp(place: str) -> tuple[int, ...]:
    """Changes with the file of an index; () for one in a database."""
    if is_address(place):
        return ()
    try:
        found = Path(place).stat()
    except OSError as error:
        raise InputError(f"{place}: {(error.strerror or 'cannot be read').lower()}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns
