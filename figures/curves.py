"""What the two curve figures share: one figure per data set, code length and direction, one line per method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from dseh_tf.retrieval import Counts, Report
from dseh_tf.runs import Run
from figures import style
from figures.runs import Runs

# The points of a line: x and y, NaN if there is none; None if the counts do not reach that far.
Points = Callable[[Report], tuple[np.ndarray, np.ndarray] | None]


IMAGES = "image->image"
DIRECTIONS = (IMAGES, "image->text", "text->image")


def pooled_report(runs: Runs, direction: str = IMAGES) -> Report:
    """The metrics of runs that differ by their seed: their queries together, each against its own run's database.

    For a mean over queries this is the mean over seeds; for a curve by radius it pools the retrieved items.
    """
    parts = [run.counts_of(direction) for run in runs]
    return Report(
        Counts(np.concatenate([part.relevant for part in parts]), np.concatenate([part.total for part in parts]))
    )


def draw_curves(
    runs: Runs, out: Path, name: str, title: str, points: Points, finish: Callable[[Axes], None]
) -> list[Path]:
    """One figure for each data set, code length and direction: `out/<name>_<dataset>_<bits>.png` and `.pdf`.

    The names of figures of retrieval between images and texts end in the direction: `..._image-to-text.png`.
    """
    paths = []
    for dataset in runs.ranked().datasets:
        for bits in runs.ranked().of(dataset=dataset).bits:
            for direction in DIRECTIONS:
                here = runs.of(dataset=dataset, bits=bits).where(_has(direction))
                paths += _draw(here, out, (name, dataset, bits), title, direction, points, finish)
    return paths


def _has(direction: str) -> Callable[[Run], bool]:
    return lambda run: direction in run.directions


def _draw(
    here: Runs,
    out: Path,
    names: tuple[str, str, int],
    title: str,
    direction: str,
    points: Points,
    finish: Callable[[Axes], None],
) -> list[Path]:
    """The figure of one data set, code length and direction; none if no run has a line."""
    groups = {(method, preset): here.of(method=method, preset=preset) for method, preset in here.variants}
    # Runs with databases of different sizes cannot be pooled; `runs.differences` names them.
    drawn = {v: points(pooled_report(group, direction)) for v, group in groups.items() if _one_size(group)}
    lines = {variant: line for variant, line in drawn.items() if line is not None}
    if not lines:
        return []
    size = style.page_size(3.0, [here.title(*variant) for variant in lines]) if style.on_page() else (5.6, 3.5)
    figure, axes = plt.subplots(figsize=size)
    for rank, ((method, preset), (x, y)) in enumerate(lines.items()):
        settings = style.method_style(method).line_settings()
        # The first of the list lies on top: it is the one the figure is about.
        axes.plot(x, y, label=here.title(method, preset), zorder=3 + (len(lines) - rank) / 100, **settings)
    name, dataset, bits = names
    between = f", {direction}" if any(len(run.directions) > 1 for run in here) else ""
    if not style.on_page():
        axes.set_title(f"{title}\n{style.dataset_title(dataset)}, {bits} bits{between}", loc="left")
    elif between:  # a page has headings and captions of its own, but none for a direction
        axes.set_title(direction, loc="left")
    finish(axes)
    style.legend_outside(figure, axes, seeds_told(here, list(lines)))
    ending = "" if direction == IMAGES else direction.replace("->", "-to-")
    return style.save(figure, out, style.file_name(name, dataset, bits, ending))


def _one_size(runs: Runs) -> bool:
    return len({run.result.get("n_database") for run in runs}) == 1


def seeds_told(runs: Runs, variants: list[tuple[str, str]] | None = None) -> str:
    """The number of seeds per line, of all variants or of those given: `3 seeds`, or `1 to 3 seeds`."""
    counts = sorted({len(runs.of(method=method, preset=preset)) for method, preset in variants or runs.variants})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} seed{'' if counts[-1] == 1 else 's'}"
