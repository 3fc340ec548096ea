"""The picture in README.md: the nearest images of a few queries, and precision over recall of the same runs.

    python -m figures.readme_picture --runs=runs/multi_digits --out=docs/pictures --bits=32

It draws one file per data set and code length, `out/overview_<dataset>_<bits>.png`. Only runs that kept thumbnails have rows
of images; the curves show every method.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from PIL import Image

from dseh_tf.files import replacing
from figures import cli, pr_curve, style, top_ten
from figures.curves import pooled_report
from figures.runs import Runs

ROWS, COLUMNS = 5, 8
DPI, COLOURS = 130, 128
RIGHT, WRONG = style.GREEN, style.VERMILION


def draw(runs: Runs, out: Path) -> list[Path]:
    paths = []
    ranked = runs.ranked()
    for dataset in ranked.datasets:
        for bits in ranked.of(dataset=dataset).bits:
            here = ranked.of(dataset=dataset, bits=bits)
            queries = _rows(here)
            if not queries:
                continue
            figure = plt.figure(figsize=(10, 3.7))
            left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.35, 1))[0]
            _images(left, queries, f"Nearest images by {bits}-bit code")
            _curves(right.subplots(), here)
            with style.formats("png"), plt.rc_context({"savefig.dpi": DPI}):
                written = style.save(figure, out, style.file_name("overview", dataset, bits))
            for path in written:
                _shrink(path)
            paths += written
    return paths


def _shrink(path: Path) -> None:
    """Writes the PNG again with a palette, a third of the size: the picture is part of the repository."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    with replacing(path) as partial:
        small.save(partial, "PNG", optimize=True)


def _rows(runs: Runs) -> list[tuple[top_ten.Picture, list[top_ten.Answer]]]:
    """Queries with the answers of the first method that has pictures of all of them, queries of different labels first."""
    found = []
    for query in top_ten.queries(runs):
        for answers in query.answers.values():
            shown = answers[:COLUMNS]
            if query.item.source and all(answer.item.source for answer in shown):
                found.append((query.item, shown))
                break
    seen: set[tuple[str | int, ...]] = set()
    new: list[tuple[top_ten.Picture, list[top_ten.Answer]]] = []
    again: list[tuple[top_ten.Picture, list[top_ten.Answer]]] = []
    for row in found:
        (again if row[0].classes in seen else new).append(row)
        seen.add(row[0].classes)
    return (new + again)[:ROWS]


def _images(figure: SubFigure, rows: list[tuple[top_ten.Picture, list[top_ten.Answer]]], title: str) -> None:
    grid = figure.subplots(len(rows), COLUMNS + 1, squeeze=False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    grid[0, 0].set_title("query", fontsize=8)
    for line, (query, answers) in zip(grid, rows, strict=True):
        line[0].imshow(_pixels(query.source))
        for axes, answer in zip(line[1:], answers, strict=False):
            axes.imshow(_pixels(answer.item.source))
            axes.set_xlabel(f"{answer.distance}", fontsize=7, labelpad=1)
            for spine in axes.spines.values():
                spine.set(visible=True, color=RIGHT if answer.right else WRONG, linewidth=1.8)


def _pixels(source: str) -> np.ndarray:
    """uint8 [height, width, 3] of a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))


def _curves(axes: Axes, runs: Runs) -> None:
    for method, preset in runs.variants:
        x, y = pr_curve.points(pooled_report(runs.of(method=method, preset=preset)))
        axes.plot(x, y, label=runs.title(method, preset), **style.method_style(method).line_settings())
    pr_curve.finish(axes)
    axes.set_title("Precision and recall by Hamming radius", loc="left")
    axes.legend(loc="lower right")


if __name__ == "__main__":
    cli.program(draw, needs=("codes", "thumbnails"))
