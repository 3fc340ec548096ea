"""The loss terms of trained methods, step by step: one panel per phase, with its rounds one after another.

    python -m figures.training_curves --runs=runs --out=out --bits=32

Faint: every step. Strong: the running mean over a fiftieth of the phase. Dashed lines separate the rounds.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogFormatter

from dseh_tf.runs import Run, contents
from figures import cli, style
from figures.runs import Runs
from figures.semantic_features import first_seeds, run_title

PHASE_TITLES = {"labnet": "LabNet", "imgnet": "ImgNet"}
TERM_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY, style.GREY)
LARGEST_DRAWN = 4000  # points a line; more cannot be seen, and make the PDF large


class PlainLogFormatter(LogFormatter):
    """Labels the ticks that LogFormatter labels, as 0.6 and not as 6e-01 or a power of ten, which crowd a small panel."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def phases(run: Run) -> dict[str, dict[int, dict[str, np.ndarray]]]:
    """Traces as phase -> round -> term -> float [steps]. Raises InputError on a trace named otherwise."""
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for (phase, round_, term), trace in contents.losses(run).items():
        if len(trace):
            found.setdefault(phase, {}).setdefault(round_, {})[term] = trace
    return {phase: dict(sorted(rounds.items())) for phase, rounds in found.items()}


def running_mean(trace: np.ndarray, window: int) -> np.ndarray:
    """float64 [n]: the mean of the `window` values (one more where even) around each, of fewer at the two ends."""
    sums = np.concatenate([[0.0], np.cumsum(trace, dtype=np.float64)])
    at = np.arange(len(trace))
    begins, ends = np.maximum(0, at - window // 2), np.minimum(len(trace), at + window // 2 + 1)
    return (sums[ends] - sums[begins]) / (ends - begins)


def draw_run(run: Run, out: Path, title: str) -> list[Path]:
    """Draws one run; a file without a trace gives no figure."""
    found = phases(run)
    if not found:
        return []
    size = style.page_size(0.4 + 2.3 * len(found)) if style.on_page() else (6.4, 0.5 + 2.5 * len(found))
    figure, panels = plt.subplots(len(found), 1, figsize=size, squeeze=False)
    for axes, (phase, rounds) in zip(panels[:, 0], found.items(), strict=True):
        terms = list(dict.fromkeys(term for traces in rounds.values() for term in traces))
        terms = sorted(terms, key=lambda term: term != "total")
        lengths = {number: max(map(len, traces.values())) for number, traces in rounds.items()}
        starts = dict(zip(lengths, np.concatenate([[0], np.cumsum(list(lengths.values()))[:-1]]), strict=True))
        steps = sum(lengths.values())
        positive = all((trace > 0).all() for traces in rounds.values() for trace in traces.values())
        for term in terms:
            colour = style.BLACK if term == "total" else TERM_COLOURS[(terms.index(term) - 1) % len(TERM_COLOURS)]
            for number, traces in rounds.items():
                if term not in traces:
                    continue
                trace = traces[term]
                x = starts[number] + np.arange(1, len(trace) + 1)
                every = max(1, len(trace) // LARGEST_DRAWN)
                smooth = running_mean(trace, max(1, steps // 50))
                axes.plot(x[::every], trace[::every], color=colour, alpha=0.25, linewidth=0.5, rasterized=True)
                label = term if number == next(iter(rounds)) else None
                axes.plot(
                    x[::every], smooth[::every], color=colour, linewidth=2.0 if term == "total" else 1.3, label=label
                )
        for number, start in starts.items():
            if start:
                axes.axvline(start + 0.5, color=style.GREY, linewidth=0.8, linestyle=style.DASHED)
            if len(starts) > 1:
                axes.annotate(f"round {number}", (start + 1, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
                              textcoords="offset points", va="top", fontsize=8, color="#555555")  # fmt: skip
        axes.set_yscale("log" if positive else "linear")
        if positive:
            axes.yaxis.set_major_formatter(PlainLogFormatter())
            axes.yaxis.set_minor_formatter(PlainLogFormatter(minor_thresholds=(1, 0.5)))
        axes.set(xlim=(0, steps + 1), ylabel=f"Loss{' (log scale)' if positive else ''}")
        if len(found) > 1 or not style.on_page():  # the only phase has the name of its method
            axes.set_title(PHASE_TITLES.get(phase, phase), loc="left")
        axes.margins(y=0.12)
        if style.on_page():
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=len(terms), handlelength=1.2,
                        columnspacing=0.9, handletextpad=0.4)  # fmt: skip
        else:
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    panels[-1, 0].set_xlabel("Step of the phase, rounds in a row")
    figure.suptitle(title, fontsize=10)
    return style.save(figure, out, style.file_name("training_curves", run.dataset, run.method, run.preset, run.bits))


def draw(runs: Runs, out: Path) -> list[Path]:
    """One figure for every data set, method and code length with loss traces: the run of the lowest seed."""
    return [path for run in first_seeds(runs, "losses") for path in draw_run(run, out, run_title(runs, run))]


if __name__ == "__main__":
    cli.program(draw, needs=("losses",))
