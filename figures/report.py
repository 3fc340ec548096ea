"""One self-contained HTML page: tables, curves, heat maps, what each query returns, and the configuration of every run.

    python -m figures.report --runs=runs --out=out      # out/report.html

The page loads nothing from elsewhere. Tables hold every code length; the pictures are drawn at 32 bits, or at the largest code
length of a data set without a run at 32 (`--bits` chooses another).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from figures import cli, code_health, report_figures, report_runs, tables
from figures.runs import Runs
from figures.templating import render


@dataclass(frozen=True)
class Page:
    """What the templates show. A section without runs is None or absent."""

    overview: report_runs.Overview
    data_sets: list[report_figures.DataSet]
    health: code_health.Health | None
    configuration: report_runs.Configuration


def gather(runs: Runs) -> Page:
    """Everything that the page shows of the runs; draws its figures."""
    return Page(
        report_runs.overview(runs),
        [report_figures.data_set(runs, dataset, f"data-{i}") for i, dataset in enumerate(runs.datasets, 1)],
        code_health.section(runs),
        report_runs.configuration(runs),
    )


def draw(runs: Runs, out: Path) -> list[Path]:
    """Writes `out/report.html`."""
    page = render("report.html", page=gather(runs))
    # A name from a file may hold a lone surrogate, which UTF-8 has no bytes for.
    readable = page.encode("utf-8", "replace").decode("utf-8")
    return [tables.write_text(out / "report.html", readable)]


if __name__ == "__main__":
    cli.program(draw, needs=("codes", "semantic_features", "losses", "thumbnails"))
