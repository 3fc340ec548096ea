"""The report's section on code health: one row per run, from `code_health` of result.json; collapsed runs are marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dseh_tf.runs import Run
from figures import style
from figures.grid import ABSENT, Grid, GridRow, count
from figures.runs import Runs

HEADINGS = [
    "Run", "Method", "Bits", "State", "Label codes", "Label distances", "Database codes", "Database distances",
    "Constant bits", "|bit|", "mAC", "Dead units",
]  # fmt: skip
NOTES = (
    "Label codes: distinct codes of LabNet / distinct label vectors of the training rows. Database codes: distinct codes / "
    "distinct label vectors of the database.",
    "Distances, in bits, between the codes of different label vectors: least · mean to the nearest other one · mean of all. "
    "In the database, the code of a label vector is the majority of each bit over its rows.",
    "Constant bits: bits with one value in the database codes (in the label codes of a run without images), + those with one "
    "value in 99 % of the rows.",
    "|bit|: |mean of the bit as ±1|, mean · maximum over bits; 0 is balanced. mAC: mean |correlation| of two different bits.",
    "Dead units: semantic features that are 0 for every training row, LabNet / ImgNet.",
)


@dataclass(frozen=True)
class Health:
    """The section.

    Attributes:
        summary: One line on all runs.
        warnings: For each run with a warning, the name of its folder and the warning.
        grid: The numbers, one row per run.
    """

    summary: str
    warnings: list[tuple[str, str]]
    grid: Grid


def section(runs: Runs) -> Health | None:
    """The section; None if no run has measured its codes."""
    known = [run for run in runs.ordered if health(run)]
    if not known:
        return None
    warned = [run for run in known if "warning" in health(run)]
    warnings = [(run.folder.name, health(run)["warning"].removeprefix("warning: ")) for run in warned]
    if warnings:
        summary = f"{len(warnings)} of {count(len(known), 'run')} with a warning."
    else:
        summary = f"No warning in {count(len(known), 'run')}."
    if len(known) < len(runs):
        summary += f" Runs that did not measure their codes: {len(runs) - len(known)}."
    rows = [_row(run) for run in known]
    return Health(summary, warnings, Grid("Code health of every run", HEADINGS, rows, list(NOTES)))


def health(run: Run) -> Mapping[str, Any]:
    return run.result.get("code_health", {})


def _row(run: Run) -> GridRow:
    found = health(run)
    labels, database = found.get("labnet", {}), found.get("database", {})
    codes = database or labels
    dead = [
        f"{part['dead_units']}/{part['units']}" if "dead_units" in part else ABSENT
        for part in (labels, found.get("train", {}))
    ]
    cells = [
        style.method_style(run.method).title,
        str(run.bits),
        "⚠ collapsed" if "warning" in found else "healthy",
        _distinct(labels),
        _distances(labels),
        _distinct(database),
        _distances(database),
        f"{codes['constant_bits']} + {codes['nearly_constant_bits'] - codes['constant_bits']}" if codes else ABSENT,
        f"{codes['mean_balance']:.2f} · {codes['worst_balance']:.2f}" if codes else ABSENT,
        f"{codes['mean_correlation']:.2f}" if "mean_correlation" in codes else ABSENT,
        ABSENT if dead == [ABSENT, ABSENT] else " / ".join(dead),
    ]
    return GridRow(run.folder.name, cells, alarm="warning" in found)


def _distinct(part: Mapping[str, Any]) -> str:
    return f"{part['distinct_codes']:,} / {part['label_vectors']:,}" if part else ABSENT


def _distances(part: Mapping[str, Any]) -> str:
    if "least_distance" not in part:
        return ABSENT
    return f"{part['least_distance']} · {part['nearest_distance']:.1f} · {part['mean_distance']:.1f}"
