"""Table 2: DSEH and its variants; distinct label codes n_h, MAP of labels map_l, MAP of images map_i.

python -m figures.ablation_table --runs=runs --out=out      # out/ablation_table.md, .tex, .csv
"""

from __future__ import annotations

from pathlib import Path

from dseh_tf.runs import Run
from figures import cli, published, style, tables
from figures.comparison import TIE_NOTE, Column, compare
from figures.runs import Runs

VARIANTS = ("dseh", "dseh_s", "dseh_ss", "dseh_l", "dseh_a")
# heading -> (field of result.json, field of published.Ablation, decimals)
MEASURES = {
    "n_h": ("distinct_label_codes", "n_h", 0),
    "map_l": ("map_labels", "map_l", 4),
    "map_i": ("map", "map_i", 4),
}
# The settings that make a variant. Other differences from DSEH are noted, because the table would not show the effect
# of one part.
OWN = {
    "dseh_s": {"imgnet_feature_weight"},
    "dseh_ss": {
        "imgnet_feature_weight",
        "labnet_feature_weight",
        "labnet_feature_similarity",
    },  # the last without effect
    "dseh_l": {"label_weight"},
    "dseh_a": {"labnet_epochs", "imgnet_epochs"},
}
MEASURE_NOTE = (
    "n_h: distinct hash codes of the training labels; map_l: MAP of LabNet's codes of the query labels; map_i: MAP of ImgNet's "
    "codes. A run on labels only has no map_i."
)


def build(runs: Runs) -> list[tables.Table]:
    """One table per data set and code length: 32 bits, as published, and those at which a variant other than DSEH has
    runs."""
    variants = runs.where(lambda run: run.method in VARIANTS)
    result = []
    for dataset in variants.datasets:
        for bits in _lengths(variants.of(dataset=dataset)):
            here = variants.of(dataset=dataset, bits=bits)
            theirs = published.ABLATION.get(dataset, {}) if bits == published.ABLATION_BITS else {}
            notes = [MEASURE_NOTE, TIE_NOTE, *_database_notes(here), *_other_differences(here)]
            notes += [f"Published: {published.DSEH_TABLE_2}."] if theirs else []
            title = f"Variants of DSEH on {style.dataset_title(dataset)}, {bits} bits"
            columns = [_column(heading, bits, theirs) for heading in MEASURES]
            result.append(
                compare(title, here, columns, [name for name in VARIANTS if name in theirs], notes, "Variant")
            )
    return result


def _lengths(runs: Runs) -> list[int]:
    """All code lengths of the runs, if none of them has anything to compare."""
    compared = [b for b in runs.bits if b == published.ABLATION_BITS or {r.method for r in runs.of(bits=b)} != {"dseh"}]
    return compared or runs.bits


def _column(heading: str, bits: int, theirs: dict[str, published.Ablation]) -> Column:
    stored, attribute, digits = MEASURES[heading]
    return Column(
        heading=heading,
        takes=lambda run: True,
        value=lambda run: run.result.get(stored),
        published=lambda method: getattr(theirs[method], attribute) if method in theirs else None,
        key={"bits": bits, "measure": heading},
        digits=digits,
        highest_is_best=heading != "n_h",
    )


def _database_notes(runs: Runs) -> list[str]:
    """What map_l was measured against, by the runs' own word."""
    words = {
        "database_minus_train": "map_l against the database without its training rows",
        "database": "map_l against the whole database, training rows included",
    }
    found: dict[str, list[Run]] = {}
    for run in runs:
        if "map_labels_database" in run.result:
            found.setdefault(run.result["map_labels_database"], []).append(run)
    return [
        f"{words.get(name, f'map_l against {name}')} ({len(group)} run{'s' if len(group) > 1 else ''})."
        for name, group in sorted(found.items())
    ]


def _other_differences(runs: Runs) -> list[str]:
    """Settings, other than its own part, in which a variant differs from DSEH under the same preset and seed."""
    notes = []
    for method, own in OWN.items():
        names: set[str] = set()
        for run in runs.of(method=method):
            for whole in runs.of(method="dseh", preset=run.preset, seed=run.seed):
                theirs, ours = (each.config.get("settings", {}) for each in (whole, run))
                names |= {name for name in {*theirs, *ours} - own if theirs.get(name) != ours.get(name)}
        if names:
            title, told = style.method_style(method).title, ", ".join(sorted(names))
            notes.append(f"{title} differs from DSEH in more than its own part: {told}.")
    return notes


def draw(runs: Runs, out: Path) -> list[Path]:
    return tables.save(build(runs), out, "ablation_table")


if __name__ == "__main__":
    cli.program(draw)
