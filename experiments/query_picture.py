"""The answers of experiments.query as a picture: one row per image, with its nearest database items next to it."""

from __future__ import annotations

import functools
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data import catalog
from dseh_tf.data.decoding import decode_file, resize
from dseh_tf.errors import InputError
from dseh_tf.files import replacing
from experiments import run_data

ROWS, COLUMNS, SIZE = 25, 12, 160
_LINE = 22  # letters a line below a picture

# The picture of a database item by its id: uint8 [SIZE, SIZE, 3], or None if it cannot be read.
Source = Callable[[str], "np.ndarray | None"]


def source(config: Mapping[str, Any], given: Any) -> Source:
    """The source of a run's database images; prints a note to standard error if they cannot be found."""
    read = reader(config, given)
    return lambda name: None if read is None or (pixels := read(name)) is None else resize(pixels, SIZE)


def reader(config: Mapping[str, Any], given: Any) -> Source | None:
    """Like `source`, with the images in their own sizes; None if there are no images."""
    root = given.images_root or config.get("images", {}).get("root")
    if "images" in config and root:
        return lambda name: _read(lambda: decode_file(Path(root) / name))
    try:
        options = run_data.options_of(config, given)
        database = catalog.load(config["dataset"], options).database
    except InputError as error:
        print(f"note: the picture has no database images: {error}", file=sys.stderr)
        return None
    images, rows = database.images, {str(name): row for row, name in enumerate(database.ids)}
    if images is None:
        return None
    return lambda name: _read(lambda: images.read(rows[name])) if name in rows else None


def _read(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    try:
        return read()
    except InputError:
        return None


def _picture(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    pixels = _read(read)
    return None if pixels is None else resize(pixels, SIZE)


def save(path: Path, answers: Sequence[Mapping[str, Any]], read: Source) -> None:
    """Draws the first `ROWS` images with at most `COLUMNS` answers each; the file is whole or not there."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = answers[:ROWS]
    if len(shown) < len(answers):
        print(f"note: {path}: holds the first {ROWS} of {len(answers)} images", file=sys.stderr)
    columns = 1 + min(COLUMNS, max(len(answer["nearest"]) for answer in shown))
    figure, grid = plt.subplots(
        len(shown), columns, figsize=(1.5 * columns, 2.05 * len(shown)), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for row, answer in zip(grid, shown, strict=True):
        own = _picture(functools.partial(decode_file, Path(answer["image"])))
        _draw(row[0], own, "query", Path(answer["image"]).name)
        for axes, item in zip(row[1:], answer["nearest"], strict=False):
            told = ", ".join(item["classes"]) if "classes" in item else item["id"]
            added = functools.partial(decode_file, Path(item["id"]))
            pixels = _picture(added) if "added" in item else read(item["id"])
            _draw(axes, pixels, f"distance {item['distance']}", told, item["id"])
    with replacing(path) as partial, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=110)
    plt.close(figure)
    if any(
        str(warning.message).startswith("Glyph") for warning in told
    ):  # one for each letter, with a line of our code
        print(f"note: {path}: some letters are boxes: matplotlib's font DejaVu Sans lacks them", file=sys.stderr)


def _draw(axes: Any, pixels: np.ndarray | None, title: str, below: str, name: str = "") -> None:
    """One picture with its title above and a text of at most two lines below; the id if there is no picture."""
    axes.set_title(title, fontsize=8, fontweight="bold" if title == "query" else None, pad=3, parse_math=False)
    if pixels is None:
        axes.imshow(np.full((SIZE, SIZE, 3), 235, np.uint8))
        middle = "\n".join(textwrap.wrap(name or below, 16)[:5])
        axes.text(0.5, 0.5, middle, fontsize=7, ha="center", va="center", transform=axes.transAxes, parse_math=False)
    else:
        axes.imshow(pixels)
    lines = textwrap.wrap(below, _LINE)
    text = "\n".join(
        [*lines[:1], textwrap.shorten(" ".join(lines[1:]), _LINE, placeholder="…")] if lines[1:] else lines
    )
    axes.text(0.5, -0.04, text, fontsize=7, ha="center", va="top", transform=axes.transAxes, parse_math=False)
