"""A table of texts for the report: one row per run or data set."""

from __future__ import annotations

from dataclasses import dataclass, field

ABSENT = "–"


@dataclass(frozen=True)
class GridRow:
    """A row.

    Attributes:
        name: The first cell, which names the row.
        cells: The other cells.
        alarm: Whether the row is marked because something is wrong.
    """

    name: str
    cells: list[str]
    alarm: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        label: What the table is, for a reader who does not see it.
        headings: One for each column, the names' column first.
        rows: The rows.
        notes: What a reader must know, printed under the table.
    """

    label: str
    headings: list[str]
    rows: list[GridRow]
    notes: list[str] = field(default_factory=list)


def count(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
