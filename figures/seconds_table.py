"""Mean training seconds by method and code length, as the runs measured them.

python -m figures.seconds_table --runs=runs --out=out      # out/seconds_table.md, .tex, .csv
"""

from __future__ import annotations

from pathlib import Path

from figures import cli, style, tables
from figures.comparison import Column, compare
from figures.runs import Runs

NOTES = (
    "Wall clock of training alone: no reading of images, extraction of features, encoding or evaluation. "
    "Compare runs of one machine that shared it with the same load.",
)


def build(runs: Runs) -> list[tables.Table]:
    """One table per data set: rows methods, columns code lengths; runs that did not measure are left out."""
    timed, result = runs.where(lambda run: "train_seconds" in run.result), []
    for dataset in timed.datasets:
        here = timed.of(dataset=dataset)
        columns = [_column(bits) for bits in here.bits]
        result.append(compare(f"Training seconds on {style.dataset_title(dataset)}", here, columns, [], list(NOTES)))
    return result


def _column(bits: int) -> Column:
    return Column(
        heading=f"{bits} bits",
        takes=lambda run: run.bits == bits,
        value=lambda run: run.result["train_seconds"],
        published=lambda method: None,
        key={"bits": bits, "measure": "train_seconds"},
        digits=1,
        highest_is_best=False,
    )


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "seconds_table")


if __name__ == "__main__":
    cli.program(draw)
