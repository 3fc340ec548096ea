"""Builds tables that compare our numbers with published ones: ours, published, and the difference, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dseh_tf.runs import Run
from figures.runs import Runs, mean_and_deviation
from figures.style import method_order
from figures.tables import NO_RUN, NOT_PUBLISHED, Cell, Row, Table, number, signed

OURS, PUBLISHED, DIFFERENCE = "ours", "published", "difference"
CELL_NOTE = "Ours: mean ± sample standard deviation over seeds (number of seeds)."
NO_RUN_NOTE = f"“{NO_RUN}”: there is no such run."
TIE_NOTE = (
    "MAP over the full ranking, in expectation over all orders of items at the same Hamming distance. "
    "The published numbers do not state their tie rule; file order alone moves MAP by 0.6 to 2.5 points."
)
BEST_NOTE = "Bold: the best of our means in a column."


@dataclass(frozen=True)
class Column:
    """A column: its heading, which runs it takes, their value (None if a run has none), and the published number.

    digits: decimals printed. highest_is_best: whether the best mean of ours is set bold.
    key: the record's fields that tell the column apart in the CSV.
    """

    heading: str
    takes: Callable[[Run], bool]
    value: Callable[[Run], float | None]
    published: Callable[[str], float | None]
    key: dict[str, Any]
    digits: int = 4
    highest_is_best: bool = True


def compare(
    title: str,
    runs: Runs,
    columns: list[Column],
    published_methods: list[str],
    notes: list[str],
    heading: str = "Method",
) -> Table:
    """One table. Rows: every method that has a run here or a published number, published ones never taken for ours.

    Notes from reading the runs follow the given notes.
    """
    variants = runs.variants
    absent = [(method, None) for method in published_methods if method not in {m for m, _ in variants}]
    ordered = sorted([*variants, *absent], key=lambda v: (*method_order(v[0]), v[1] or ""))
    ours = {
        (variant, i): [
            value
            for run in runs
            if (run.method, run.preset) == variant and column.takes(run) and (value := column.value(run)) is not None
        ]
        for variant in ordered
        for i, column in enumerate(columns)
    }
    means = {key: mean_and_deviation(values) for key, values in ours.items() if values}
    best = {
        i: max((means[v, i][0] for v in ordered if (v, i) in means), default=None) if column.highest_is_best else None
        for i, column in enumerate(columns)
    }
    compared = {i: sum((v, i) in means for v in ordered) > 1 for i in range(len(columns))}
    rows, records = [], []
    for variant in ordered:
        method, preset = variant
        mine, theirs, gaps = [], [], []
        for i, column in enumerate(columns):
            mean, deviation = means.get((variant, i), (None, None))
            count, published = len(ours[variant, i]), column.published(method)
            difference = mean - published if mean is not None and published is not None else None
            mine.append(
                Cell(NO_RUN, quiet=True)
                if mean is None
                else Cell(number(mean, deviation, count, column.digits), best=compared[i] and mean == best[i])
            )
            theirs.append(Cell(NOT_PUBLISHED if published is None else f"{published:.{column.digits}f}", quiet=True))
            gaps.append(Cell("" if difference is None else signed(difference, column.digits), quiet=difference is None))
            records.append(
                {
                    "dataset": runs.datasets[0] if len(runs) else "",
                    "method": method,
                    "preset": preset or "",
                    **column.key,
                    "mean": mean,
                    "deviation": deviation,
                    "seeds": count,
                    "published": published,
                    "difference": difference,
                }
            )
        label = runs.title(method, preset or "")
        rows.append(Row(label, OURS, mine))
        if any(column.published(method) is not None for column in columns):
            rows.append(Row(label, PUBLISHED, theirs))
            rows.append(Row(label, DIFFERENCE, gaps))
    cells = [cell for row in rows for cell in row.cells]
    cell_notes = [CELL_NOTE]
    cell_notes += [NO_RUN_NOTE] if any(cell.text == NO_RUN for cell in cells) else []
    cell_notes += [BEST_NOTE] if any(cell.best for cell in cells) else []
    notes = [" ".join(cell_notes), *notes, *_notes_of(runs)]
    return Table(title, [column.heading for column in columns], rows, notes, records, heading)


def _notes_of(runs: Runs) -> list[str]:
    """What was noted of these runs' data sets and methods when they were read."""
    starts = [f"{dataset}:" for dataset in runs.datasets]
    starts += [f"{dataset}, {method}," for dataset in runs.datasets for method in {run.method for run in runs}]
    return [note for note in runs.notes if note.startswith(tuple(starts))]
