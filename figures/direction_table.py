"""Retrieval between images and texts: MAP@50 and MAP of both directions, by method and code length; ours and published.

python -m figures.direction_table --runs=runs --out=out      # out/direction_table.md, .tex, .csv
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dseh_tf.runs import Run
from figures import cli, published, style, tables
from figures.comparison import CELL_NOTE, TIE_NOTE
from figures.runs import Runs, mean_and_deviation

SHOWN = ("image->text", "text->image")
MEASURES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "MAP@50": lambda numbers: numbers["map_at"].get("50"),
    "MAP": lambda numbers: numbers["map"],
}
NOTE = "image->text: images search the codes of texts. MAP@50 is divided by the hits among the first 50."


def build(runs: Runs) -> list[tables.Table]:
    """Two tables a data set, of runs of cross-modal methods. Published numbers are MAP@50 of DJSRH's README."""
    measured = runs.where(lambda run: all(direction in run.result.get("directions", {}) for direction in SHOWN))
    return [_table(measured.of(dataset=dataset), measure) for dataset in measured.datasets for measure in MEASURES]


def _table(runs: Runs, measure: str) -> tables.Table:
    (dataset,) = runs.datasets
    theirs = published.DIRECTIONS.get(dataset, {}) if measure == "MAP@50" else {}
    columns = [(direction, bits) for direction in SHOWN for bits in runs.bits]
    rows, records = [], []
    for method, preset in runs.variants:
        mine, printed = [], []
        for direction, bits in columns:
            here = runs.of(method=method, preset=preset, bits=bits)
            values = [value for run in here if (value := _value(run, direction, measure)) is not None]
            mean, deviation = mean_and_deviation(values) if values else (None, None)
            source = theirs.get(preset, {}).get(direction, {}).get(bits) if method == "djsrh" else None
            no_run = tables.Cell(tables.NO_RUN, quiet=True)
            mine.append(no_run if mean is None else tables.Cell(tables.number(mean, deviation, len(values))))
            printed.append(tables.Cell(tables.NOT_PUBLISHED if source is None else f"{source:.3f}", quiet=True))
            records.append(
                {
                    "dataset": dataset, "method": method, "preset": preset, "direction": direction, "bits": bits,
                    "measure": measure, "mean": mean, "deviation": deviation, "seeds": len(values), "published": source,
                }
            )  # fmt: skip
        label = runs.title(method, preset)
        rows.append(tables.Row(label, "ours", mine))
        if any(cell.text != tables.NOT_PUBLISHED for cell in printed):
            rows.append(tables.Row(label, "published", printed))
    random = sorted({round(value, 4) for run in runs if (value := _chance(run, measure)) is not None})
    told = [f"A ranking in random order: {', '.join(f'{value:.4f}' for value in random)}."] if random else []
    notes = [CELL_NOTE, TIE_NOTE, NOTE, *told, *([f"Published: {published.DJSRH_README}."] if theirs else [])]
    headings = [f"{direction}, {bits} bits" for direction, bits in columns]
    return tables.Table(
        f"{measure} between modalities on {style.dataset_title(dataset)}", headings, rows, notes, records
    )


def _value(run: Run, direction: str, measure: str) -> float | None:
    return MEASURES[measure](run.result["directions"][direction])


def _chance(run: Run, measure: str) -> float | None:
    return MEASURES[measure](run.result["random_order"]) if "random_order" in run.result else None


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "direction_table")


if __name__ == "__main__":
    cli.program(draw)
