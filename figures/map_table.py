"""Table 1: MAP of Hamming ranking by method and code length; ours, published, difference.

python -m figures.map_table --runs=runs --out=out      # out/map_table.md, .tex, .csv
"""

from __future__ import annotations

from pathlib import Path

from figures import cli, published, style, tables
from figures.comparison import TIE_NOTE, Column, compare
from figures.runs import Run, Runs


def build(runs: Runs) -> list[tables.Table]:
    """One table a data set: rows methods, columns code lengths (ours and the published ones)."""
    ranked, result = runs.ranked(), []
    for dataset in ranked.datasets:
        here = ranked.of(dataset=dataset)
        theirs = published.MAP.get(dataset, {})
        lengths = sorted({*here.bits, *(bits for row in theirs.values() for bits in row)})
        columns = [_column(bits, theirs) for bits in lengths]
        notes = [TIE_NOTE, *([f"Published: {published.DSEH_TABLE_1}."] if theirs else [])]
        result.append(compare(f"MAP on {style.dataset_title(dataset)}", here, columns, list(theirs), notes))
    return result


def _column(bits: int, theirs: dict[str, dict[int, float]]) -> Column:
    def value(run: Run) -> float:
        return run.result["map"]

    return Column(
        heading=f"{bits} bits",
        takes=lambda run: run.bits == bits,
        value=value,
        published=lambda method: theirs.get(method, {}).get(bits),
        key={"bits": bits, "measure": "map"},
    )


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "map_table")


if __name__ == "__main__":
    cli.program(draw)
