"""Table 1: MAP of Hamming ranking by method and code length; ours, published, difference.

A second table has the MAP over the database rows that were not trained on, where runs have measured it.

python -m figures.map_table --runs=runs --out=out      # out/map_table.md, .tex, .csv
"""

from __future__ import annotations

from pathlib import Path

from dseh_tf.runs import Run
from figures import cli, published, style, tables
from figures.comparison import TIE_NOTE, Column, compare
from figures.runs import Runs

UNSEEN_NOTE = (
    "The same queries against the database rows that were not trained on. A published MAP mixes them with rows that were "
    "trained on, which supervised methods usually rank better. In expectation over all orders of items at the same "
    "Hamming distance; a query without a relevant item there counts 0."
)


def build(runs: Runs) -> list[tables.Table]:
    """One table per data set: rows methods, columns code lengths (ours and the published ones)."""
    ranked, result = runs.ranked(), []
    for dataset in ranked.datasets:
        here = ranked.of(dataset=dataset)
        theirs = published.MAP.get(dataset, {})
        lengths = sorted({*here.bits, *(bits for row in theirs.values() for bits in row)})
        columns = [_column(bits, "map", theirs) for bits in lengths]
        notes = [TIE_NOTE, *([f"Published: {published.DSEH_TABLE_1}."] if theirs else [])]
        result.append(compare(f"MAP on {style.dataset_title(dataset)}", here, columns, list(theirs), notes))
        measured = here.where(lambda run: "map_unseen" in run.result)
        if len(measured):
            columns = [_column(bits, "map_unseen", {}) for bits in measured.bits]
            title = f"MAP on {style.dataset_title(dataset)}, database rows that were not trained on"
            result.append(compare(title, measured, columns, [], [UNSEEN_NOTE, *_sizes(measured)]))
    return result


def _sizes(runs: Runs) -> list[str]:
    """How many rows were not trained on."""
    sizes = sorted({(run.result["n_database_unseen"], run.result["n_database"]) for run in runs})
    return [f"Rows that were not trained on: {'; '.join(f'{rest:,} of {whole:,}' for rest, whole in sizes)}."]


def _column(bits: int, measure: str, theirs: dict[str, dict[int, float]]) -> Column:
    def value(run: Run) -> float:
        return run.result[measure]

    return Column(
        heading=f"{bits} bits",
        takes=lambda run: run.bits == bits,
        value=value,
        published=lambda method: theirs.get(method, {}).get(bits),
        key={"bits": bits, "measure": measure},
    )


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "map_table")


if __name__ == "__main__":
    cli.program(draw)
