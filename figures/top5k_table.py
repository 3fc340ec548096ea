"""The Top-5K table of the DSAH poster: MAP within the first 5,000 returned; ours, published, difference.

python -m figures.top5k_table --runs=runs --out=out      # out/top5k_table.md, .tex, .csv
"""

from __future__ import annotations

from pathlib import Path

from dseh_tf.retrieval import Report
from dseh_tf.runs import Run
from figures import cli, published, style, tables
from figures.comparison import Column, compare
from figures.runs import Runs

RETURNED = 5000
MEASURE_NOTE = (
    "Top-5K: MAP within the first 5,000 returned, divided by the number of hits among them (0 if there are none), "
    "in expectation over ties."
)


def build(runs: Runs) -> list[tables.Table]:
    """One table per data set; on a database of at most 5,000 items the measure is MAP itself, and a note says so."""
    ranked, result = runs.ranked(), []
    for dataset in ranked.datasets:
        here = ranked.of(dataset=dataset)
        theirs = published.TOP5K.get(dataset, {})
        lengths = sorted({*here.bits, *(bits for row in theirs.values() for bits in row)})
        columns = [_column(bits, theirs) for bits in lengths]
        notes = [MEASURE_NOTE]
        size = max(Report(run.counts).database_size for run in here)
        if size <= RETURNED:
            notes.append(f"The database has {size:,} items, not more than 5,000, so this measure equals MAP.")
        notes += [f"Published: {published.DSAH_POSTER}."] if theirs else []
        result.append(compare(f"Top-5K on {style.dataset_title(dataset)}", here, columns, list(theirs), notes))
    return result


def _column(bits: int, theirs: dict[str, dict[int, float]]) -> Column:
    def value(run: Run) -> float:
        return Report(run.counts).map_at(RETURNED)

    return Column(
        heading=f"{bits} bits",
        takes=lambda run: run.bits == bits,
        value=value,
        published=lambda method: theirs.get(method, {}).get(bits),
        key={"bits": bits, "measure": f"map_at_{RETURNED}"},
    )


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "top5k_table")


if __name__ == "__main__":
    cli.program(draw)
