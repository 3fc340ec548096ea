"""Fig. 3: precision over recall, one point per Hamming radius 0..K, pooled over queries.

python -m figures.pr_curve --runs=runs --out=out --bits=32      # out/pr_curve_<dataset>_32.png, .pdf
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from dseh_tf.retrieval import Report
from figures import cli
from figures.curves import draw_curves
from figures.runs import Runs


def points(report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision [K + 1]; precision is NaN, a gap in the line, where a radius retrieves nothing."""
    return report.precision_recall()


def finish(axes: Axes) -> None:
    axes.set(xlabel="Recall (one point per Hamming radius)", ylabel="Precision", xlim=(-0.02, 1.02), ylim=(0, 1.02))


def draw(runs: Runs, out: Path) -> list[Path]:
    return draw_curves(runs, out, "pr_curve", "Precision and recall by Hamming radius", points, finish)


if __name__ == "__main__":
    cli.program(draw, needs=("codes",))
