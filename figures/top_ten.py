"""The ten nearest images of each method for a dozen queries: from thumbnails.npz, image files, or ids alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dseh_tf.retrieval import nearest_rows
from dseh_tf.runs import Run, contents
from figures.class_names import class_names
from figures.runs import Runs

QUERIES, ANSWERS, SIZE = 12, 10, 96


@dataclass(frozen=True)
class Picture:
    """An item: its id, the classes it has, and its image as a data URI, or empty if there is none.

    classes: their names, or their numbers if the names are not known.
    """

    name: str
    classes: tuple[str | int, ...]
    source: str

    @property
    def described(self) -> str:
        """`sun, sea`, `label 3`, `labels 3, 7` or `no label`."""
        if not self.classes:
            return "no label"
        shown = ", ".join(map(str, self.classes))
        named = isinstance(self.classes[0], str)
        return shown if named else f"label{'s' if len(self.classes) > 1 else ''} {shown}"


@dataclass(frozen=True)
class Answer:
    """A retrieved item, at which Hamming distance, and whether it shares a label with the query."""

    item: Picture
    distance: int
    right: bool

    @property
    def described(self) -> str:
        return (
            f"{self.item.name}, {self.item.described}, distance {self.distance}, {'right' if self.right else 'wrong'}"
        )


@dataclass(frozen=True)
class Query:
    """A query and what each method returns for it, nearest first, ties in database order."""

    item: Picture
    answers: dict[str, list[Answer]]


def queries(runs: Runs, others: Iterable[Run] = ()) -> list[Query]:
    """The dozen queries of the runs of one data set and code length; of each method the run of the lowest seed.

    others: runs on the same data, which may name the classes.

    The queries are those of the first run with pictures, else a dozen at even steps. A method whose run has other queries shows
    those it has.
    """
    shown = {runs.title(m, p): min(runs.of(method=m, preset=p), key=lambda run: run.seed) for m, p in runs.variants}
    shown = {title: run for title, run in shown.items() if run.has_ranking}
    if not shown:
        return []
    with_pictures = [run for run in shown.values() if run.has("thumbnails")]
    first = (with_pictures or list(shown.values()))[0]
    names = _query_names(first)
    found: dict[str, Query] = {}
    for title, run in shown.items():
        for query, answers in _of_run(run, names, [*runs, *others]):
            # The query's picture comes from the first run that has one.
            held = found.setdefault(query.name, Query(query, {}))
            if query.source and not held.item.source:
                held = found[query.name] = Query(query, held.answers)
            held.answers[title] = answers
    return [found[name] for name in names if name in found]


def _query_names(run: Run) -> list[str]:
    if run.has("thumbnails"):
        return [str(name) for name in run.arrays("thumbnails", ("query_ids",))["query_ids"][:QUERIES]]
    ids = run.arrays("codes", ("query_ids",))["query_ids"]
    return [str(name) for name in ids[np.linspace(0, len(ids) - 1, min(QUERIES, len(ids))).astype(int)]]


def _of_run(run: Run, names: list[str], others: list[Run]) -> list[tuple[Picture, list[Answer]]]:
    stored = run.arrays("codes")
    row_of = {str(name): row for row, name in enumerate(stored["query_ids"])}
    rows = np.array([row_of[name] for name in names if name in row_of], int)
    if not len(rows):
        return []
    nearest, distances = nearest_rows(stored["query_codes"][rows], [stored["database_codes"]], ANSWERS, run.bits)
    labels = stored["query_labels"][rows].astype(int), stored["database_labels"][nearest].astype(int)
    good = np.einsum("qc,qac->qa", *labels) > 0
    picture, classes = _pictures(run), class_names(run, stored["query_labels"].shape[1], others)
    return [
        (
            _item("query", stored, row, picture, classes),
            [
                Answer(_item("database", stored, item, picture, classes), int(distances[i, j]), bool(good[i, j]))
                for j, item in enumerate(nearest[i])
            ],
        )
        for i, row in enumerate(rows)
    ]


def _item(
    part: str, stored: dict[str, np.ndarray], row: int, picture: Callable[[str], str], classes: list[str] | range
) -> Picture:
    name = str(stored[f"{part}_ids"][row])
    return Picture(name, tuple(classes[k] for k in np.flatnonzero(stored[f"{part}_labels"][row])), picture(name))


def _pictures(run: Run) -> Callable[[str], str]:
    """id -> data URI, or an empty text if the run has no picture of it."""
    if run.has("thumbnails"):
        stored = contents.thumbnails(run)
        images = dict(zip(map(str, stored["query_ids"]), stored["query_images"], strict=True))
        database = stored["database_images"]
        images |= dict(
            zip(map(str, stored["database_ids"].ravel()), database.reshape(-1, *database.shape[2:]), strict=True)
        )
        return lambda name: data_uri(Image.fromarray(images[name])) if name in images else ""
    place = run.config.get("images")
    if isinstance(place, dict) and place.get("kind") == "files" and place.get("root"):
        return lambda name: _file_uri(Path(place["root"]) / name)
    return lambda name: ""


def _file_uri(path: Path) -> str:
    """The picture in a file; empty if it is gone or no picture: the report then shows the id."""
    try:
        with Image.open(path) as image:
            return data_uri(image.convert("RGB"))
    except OSError:
        return ""


def data_uri(image: Image.Image) -> str:
    """A small JPEG, at most 96 pixels a side, as text that a page can hold."""
    small = image.copy()
    small.thumbnail((SIZE, SIZE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
