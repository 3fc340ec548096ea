"""The correlation of bits: |correlation| of all pairs of bits over the database codes, and their mean, mAC.

    python -m figures.code_correlation --runs=runs --out=out --bits=32
    # out/code_correlation_<dataset>_32.png, .pdf and out/code_correlation.md, .tex, .csv

mAC is the mean over i != j (DSAH poster): 0 for independent bits, 1 for copies of one bit. A bit that is the same for every item
has no correlation; it is left out of the mean, drawn blue-grey and counted.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from dseh_tf.retrieval.health import mean_absolute_correlation, packed_correlation
from dseh_tf.runs import Run
from figures import cli, style, tables
from figures.comparison import Column, compare
from figures.runs import Runs

PANELS_A_ROW = 4


@cache
def run_matrix(run_folder: Path, bits: int) -> np.ndarray:
    """The matrix of one run folder's database codes."""
    return packed_correlation([Run(run_folder, {}, {}).arrays("codes", ["database_codes"])["database_codes"]], bits)


def build(runs: Runs) -> list[tables.Table]:
    """mAC by method and code length, one table per data set."""
    ranked, result = runs.ranked(), []
    for dataset in ranked.datasets:
        here = ranked.of(dataset=dataset)
        notes = [
            "mAC: mean |correlation| of two different bits over the database codes; 0 for independent bits, 1 for copies."
        ]
        constant = [run for run in here if np.isnan(run_matrix(run.folder, run.bits)).any()]
        notes += [
            f"{style.method_style(run.method).title}, {run.bits} bits, seed {run.seed}: "
            f"constant bits left out: {int(np.isnan(np.diag(run_matrix(run.folder, run.bits))).sum())}."
            for run in constant
        ]
        columns = [_column(bits) for bits in here.bits]
        result.append(
            compare(f"Mean absolute code correlation on {style.dataset_title(dataset)}", here, columns, [], notes)
        )
    return result


def _column(bits: int) -> Column:
    def value(run: Run) -> float | None:
        mac = mean_absolute_correlation(run_matrix(run.folder, run.bits))
        return None if np.isnan(mac) else mac

    return Column(f"{bits} bits", lambda run: run.bits == bits, value, lambda method: None, {"bits": bits, "measure": "mac"},
                  highest_is_best=False)  # fmt: skip


def draw_matrices(runs: Runs, out: Path) -> list[Path]:
    """One figure per data set and code length, a panel a method (the run of the lowest seed); on a page a figure a method."""
    paths, ranked = [], runs.ranked()
    for dataset in ranked.datasets:
        for bits in ranked.of(dataset=dataset).bits:
            here = ranked.of(dataset=dataset, bits=bits)
            shown = [min(here.of(method=m, preset=p), key=lambda run: run.seed) for m, p in here.variants]
            if style.on_page():
                paths += [path for run in shown for path in _draw_alone(run, here, out)]
            else:
                paths += _draw_together(shown, here, out)
    return paths


def _draw_panel(axes: Axes, run: Run, title: str) -> AxesImage:
    """One matrix. A page's caption says what the colours mean, so that each panel needs no bar."""
    matrix, bits = run_matrix(run.folder, run.bits), run.bits
    colours = plt.get_cmap("magma_r").with_extremes(bad="#9DB4C0")
    image = axes.imshow(matrix, cmap=colours, vmin=0, vmax=1, interpolation="nearest", rasterized=True,
                        extent=(0.5, bits + 0.5, bits + 0.5, 0.5))  # fmt: skip
    axes.set_title(f"{title}\nmAC {mean_absolute_correlation(matrix):.3f}", fontsize=9)
    axes.grid(visible=False)
    ticks = sorted({1, *range(bits // 4, bits + 1, max(1, bits // 4))})
    axes.set(xticks=ticks, yticks=ticks)
    return image


def _draw_alone(run: Run, here: Runs, out: Path) -> list[Path]:
    figure, axes = plt.subplots(figsize=(1.9, 2.1))
    _draw_panel(axes, run, here.title(run.method, run.preset))
    name = style.file_name("code_correlation", run.dataset, run.method, run.preset, run.bits)
    return style.save(figure, out, name)


def _draw_together(shown: list[Run], here: Runs, out: Path) -> list[Path]:
    (dataset,), (bits,) = here.datasets, here.bits
    across = min(PANELS_A_ROW, len(shown))
    down = -(-len(shown) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(0.9 + 1.9 * across, 0.7 + 2.05 * down), squeeze=False, sharex=True, sharey=True
    )
    for i, axes in enumerate(panels.flat):
        axes.set_visible(i < len(shown))
        if i >= len(shown):
            continue
        image = _draw_panel(axes, shown[i], here.title(shown[i].method, shown[i].preset))
        if i + across >= len(shown):
            axes.set_xlabel("Bit")
            axes.tick_params(labelbottom=True)
        if i % across == 0:
            axes.set_ylabel("Bit")
    # Not longer than two rows of panels, at the top.
    bar = figure.colorbar(
        image, ax=panels.ravel().tolist(), shrink=0.85 * min(2, down) / down, aspect=25, anchor=(0, 1)
    )
    bar.set_label("|correlation|")
    grey = "; blue-grey: a constant bit" if any(np.isnan(run_matrix(r.folder, bits)).any() for r in shown) else ""
    figure.suptitle(f"Code correlation on {style.dataset_title(dataset)}, {bits} bits{grey}", fontsize=10)
    return style.save(figure, out, style.file_name("code_correlation", dataset, bits))


def draw(runs: Runs, out: Path) -> list[Path]:
    return [*tables.save(build(runs), out, "code_correlation"), *draw_matrices(runs, out)]


if __name__ == "__main__":
    cli.program(draw, needs=("codes",))
