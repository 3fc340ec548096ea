"""Fig. 4: precision among the first N returned, N = 100, 200, ... 1000; expectation under ties.

python -m figures.precision_at_n --runs=runs --out=out --bits=32      # out/precision_at_n_<dataset>_32.png, .pdf
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from dseh_tf.retrieval import Report
from figures import cli
from figures.curves import draw_curves
from figures.runs import Runs

RETURNED = tuple(range(100, 1001, 100))


def points(report: Report) -> tuple[np.ndarray, np.ndarray] | None:
    """N and precision at N, as far as the database goes; None for a database of fewer than 100 items."""
    reached = [n for n in RETURNED if n <= report.database_size]
    if not reached:
        return None
    return np.array(reached), np.array([report.precision_at(n) for n in reached])


def _finish(axes: Axes) -> None:
    axes.set(xlabel="Number of returned items N", ylabel="Precision at N")
    axes.xaxis.set_major_locator(MultipleLocator(100))
    low, high = axes.get_ylim()
    margin = max(0.02, 0.08 * (high - low))
    axes.set_ylim(max(0, low - margin), min(1.02, high + margin))


def draw(runs: Runs, out: Path) -> list[Path]:
    return draw_curves(runs, out, "precision_at_n", "Precision at N (expected over tied orders)", points, _finish)


if __name__ == "__main__":
    cli.program(draw, needs=("codes",))
