"""One table, written as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dseh_tf import files
from figures.templating import render

NO_RUN = "no run"
NOT_PUBLISHED = "–"


@dataclass(frozen=True)
class Cell:
    """What is printed. best: the best of its column; quiet: printed small (published numbers, gaps)."""

    text: str
    best: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Row:
    """label: the method, kind: which numbers these are; `cells` follow the table's columns."""

    label: str
    kind: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """A table to read, and the same numbers as records for programs.

    columns: the headings after the two first (name, numbers). records: one dict for each line of the CSV, all with the same keys.
    notes: what a reader must know, printed under the table.
    """

    title: str
    columns: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    name_heading: str = "Method"

    @property
    def headings(self) -> list[str]:
        return [self.name_heading, "Numbers", *self.columns]

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows of each label, in order."""
        return [(label, list(rows)) for label, rows in itertools.groupby(self.rows, key=lambda row: row.label)]

    @property
    def has_kinds(self) -> bool:
        """Whether the rows have numbers of several kinds, so that a reader must tell them apart."""
        return len({row.kind for row in self.rows}) > 1


def number(value: float, deviation: float | None, count: int, digits: int = 4) -> str:
    """Mean, deviation and how many seeds: `0.7312 ± 0.0021 (3)`."""
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{value:.{digits}f}{spread} ({count})"


def signed(value: float, digits: int = 4) -> str:
    """A difference with its sign; a zero has none."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def to_markdown(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [f"## {table.title}", "", line(table.headings), "|---|---|" + "---:|" * len(table.columns)]
    previous = None
    for row in table.rows:
        cells = [f"**{cell.text}**" if cell.best else cell.text for cell in row.cells]
        lines.append(line(["" if row.label == previous else row.label, row.kind, *cells]))
        previous = row.label
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "·": r"$\cdot$",
    "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Text with everything escaped that LaTeX would read as a command."""
    return "".join(_LATEX.get(c, c) for c in text)


def to_latex(table: Table) -> str:
    """A `table` environment; the preamble needs `\\usepackage{booktabs}`."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{latex_text(table.title)}. {latex_text(' '.join(table.notes))}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(latex_text(heading) for heading in table.headings) + r" \\",
        r"\midrule",
    ]
    previous = None
    for row in table.rows:
        if previous not in (None, row.label):
            lines.append(r"\addlinespace")
        cells = [rf"\textbf{{{latex_text(c.text)}}}" if c.best else latex_text(c.text) for c in row.cells]
        label = "" if row.label == previous else latex_text(row.label)
        lines.append(" & ".join([label, latex_text(row.kind), *cells]) + r" \\")
        previous = row.label
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """One record per line, numbers in full; what there is not is empty."""
    stream = io.StringIO()
    if table.records:
        writer = csv.DictWriter(stream, fieldnames=list(table.records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.records)
    return stream.getvalue()


def to_html(table: Table) -> str:
    """A `<table>` in a box that scrolls, and its notes; styled by the report's style sheet."""
    return render("_table.html", table=table)


def write_text(path: Path, text: str) -> Path:
    """Writes under a temporary name and renames, so that a file there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
    return path


def save(tables: list[Table], out: Path, name: str) -> list[Path]:
    """Writes `name.md`, `name.tex` and `name.csv`, all tables in each; nothing if there is no table."""
    if not tables:
        return []
    records = Table("", [], [], records=[record for table in tables for record in table.records])
    return [
        write_text(out / f"{name}.md", "\n".join(map(to_markdown, tables))),
        write_text(out / f"{name}.tex", "\n".join(map(to_latex, tables))),
        write_text(out / f"{name}.csv", to_csv(records)),
    ]
