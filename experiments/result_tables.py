"""Generates the tables of results in README.md and docs/ from the rows in docs/results/.

    python -m experiments.result_tables

In a document, a table is between the lines `<!-- results: NAME -->` and `<!-- end of results -->`; `TABLES` defines the
content of each NAME. Only the text between these lines is replaced.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.files import write_text
from experiments import program, result_rows, suites
from experiments.result_rows import ResultRow
from experiments.suites import Row, Suite

DOCUMENTS = ("README.md", "docs/asymmetric.md", "docs/studies/modern.md", "docs/studies/label-side.md")
NO_RUN = "-"
TITLES = {
    "adsh": "ADSH", "daph": "DAPH", "dsah": "DSAH",
    "dseh": "DSEH", "dseh_ss": "DSEH-SS", "dseh_l": "DSEH-L", "hashnet": "HashNet", "dhn": "DHN", "dpsh": "DPSH",
    "dnnh": "DNNH", "cnnh": "CNNH", "csq": "CSQ", "dpn": "DPN", "orthohash": "OrthoHash", "greedyhash": "GreedyHash",
    "fasth": "FastH", "ksh": "KSH", "sdh": "SDH", "itq_cca": "ITQ-CCA", "itq": "ITQ", "sh": "SH", "lsh": "LSH",
}  # fmt: skip
_BLOCK = re.compile(r"(<!-- results: ([\w.]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


@dataclass(frozen=True)
class Column:
    """A column: its heading, and which rows' measure it is the mean of.

    Attributes:
        data: The rows' `data`.
        best: Whether the highest mean is set bold.
    """

    heading: str
    data: str
    bits: int
    measure: str = "map"
    best: bool = True


@dataclass(frozen=True)
class Layout:
    """A table: the file of its rows, the suites whose rows it has, in order, and its columns.

    Attributes:
        variant: Appended to the title of a row whose suite gives it settings, by suite.
    """

    results: str
    suites: tuple[str, ...]
    columns: tuple[Column, ...]
    variant: Mapping[str, str]


def _lengths(data: str) -> tuple[Column, ...]:
    return tuple(Column(f"{bits} bits", data, bits) for bits in (16, 32, 64))


def _asymmetric(data: str) -> tuple[Column, ...]:
    columns = (Column(f"{bits} bits", data, bits) for bits in (12, 24, 32, 48))
    return (*columns, Column("32 bits, database encoded", data, 32, "map_encoded_database"))


TABLES = {
    "corel5k": Layout("corel5k", ("corel5k",), _lengths("corel5k"), {}),
    "tiny100": Layout(
        "tiny100",
        ("tiny100", "tiny100_chosen"),
        (*_lengths("tiny100"), Column("32 bits, unseen", "tiny100", 32, "map_unseen")),
        {"tiny100_chosen": ", 4,096 units"},
    ),
    "multi_digits": Layout("multi_digits", ("multi_digits",), _lengths("multi_digits"), {}),
    "dsah": Layout("dsah", ("dsah",), _asymmetric("corel5k"), {}),
    "dsah_tiny100": Layout("dsah", ("dsah_tiny100",), _asymmetric("tiny100"), {}),
    "dsah_digits": Layout("dsah", ("dsah",), _asymmetric("multi_digits"), {}),
    "tiny100_labels": Layout(
        "tiny100",
        ("tiny100",),
        (
            Column("100 classes", "tiny100", 32),
            Column("20 classes", "tiny20", 32),
            Column("long tail", "tinytail", 32),
            Column("100 classes, unseen", "tiny100", 32, "map_unseen"),
        ),
        {},
    ),
    "coco_labels": Layout(
        "coco_labels",
        ("coco_labels",),
        (Column("map_l", "coco_lists", 32, "map_labels"), Column("n_h", "coco_lists", 32, "n_h", best=False)),
        {},
    ),
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    program.DEFINE_path("checkout", ".", "Checkout whose documents are updated.", values)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    root = Path(given.checkout)
    for name in DOCUMENTS:
        path = root / name
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: found no such file, expected a document with tables of results") from None
        written = rendered(text, root / "docs" / "results")
        if written != text:
            write_text(path, written)
        print(f"{path}: {'written' if written != text else 'as it was'}")


def rendered(text: str, results: Path) -> str:
    """A document with the tables between its marks made again.

    Args:
        text: The document.
        results: The folder of the rows.

    Raises:
        InputError: On a mark of an unknown table, or a file of rows that cannot be read.
    """

    def block(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise InputError(f"results: found {match[2]!r}, expected one of {', '.join(TABLES)}")
        layout = TABLES[match[2]]
        rows = result_rows.read(results / f"{layout.results}.csv")
        return f"{match[1]}\n{table(layout, rows)}\n{match[3]}"  # Markdown wants an empty line before a table

    return _BLOCK.sub(block, text)


def table(layout: Layout, rows: Sequence[ResultRow]) -> str:
    """The Markdown of a table; rows of a suite without a number are left out."""
    means: list[tuple[str, list[list[float]]]] = []
    for name in layout.suites:
        suite = suites.load(name)
        for row in suite.rows:
            values = [_values(rows, column, suite, row) for column in layout.columns]
            if any(values):
                means.append((_title(row) + layout.variant.get(name, ""), values))
    best = [_highest([values[k] for _, values in means]) for k in range(len(layout.columns))]
    lines = [
        "| | " + " | ".join(column.heading for column in layout.columns) + " |",
        "|---" * (len(layout.columns) + 1) + "|",
    ]
    for title, values in means:
        cells = [
            _bold(cell(found, column.measure), column.best and bool(found) and statistics.fmean(found) == highest)
            for found, column, highest in zip(values, layout.columns, best, strict=True)
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _values(rows: Sequence[ResultRow], column: Column, suite: Suite, row: Row) -> list[float]:
    """The measure of the column in all rows of the suite's row: one number per seed."""
    options = suite.options_of(row)
    wanted = {"data": column.data, "method": row.method, "settings": options.text(), "bits": str(column.bits)}
    found = [each for each in rows if all(each[name] == value for name, value in wanted.items())]
    if options.preset:
        found = [each for each in found if each["preset"] == options.preset]
    else:  # the default preset of this data: the one that no other row of the method has
        others = {suite.options_of(other).preset for other in suite.rows if other.method == row.method}
        found = [each for each in found if each["preset"] not in others]
    return [float(each[column.measure]) for each in found if each[column.measure]]


def _title(row: Row) -> str:
    preset = row.options.preset
    return TITLES.get(row.method, row.method) + (f", `{preset}`" if preset else "")


def _highest(values: Sequence[list[float]]) -> float | None:
    return max((statistics.fmean(found) for found in values if found), default=None)


def cell(values: Sequence[float], measure: str = "map") -> str:
    """The mean of the seeds, ± their sample deviation; the number of seeds if it is two, and one seed without deviation."""
    if not values:
        return NO_RUN
    text = number(statistics.fmean(values), measure)
    if len(values) == 1:
        return text
    return f"{text} ± {number(statistics.stdev(values), measure)}" + (" (2 seeds)" if len(values) == 2 else "")


def number(value: float, measure: str = "map") -> str:
    """Three decimals without the zero before the point; a count as a whole number."""
    return f"{value:,.0f}" if measure == "n_h" else f"{value:.3f}".removeprefix("0")


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


if __name__ == "__main__":
    define_flags()
    program.run(main)
