"""The report's section on code health: one row a run, from `code_health` of result.json; collapsed runs are marked."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from dseh_tf.runs import Run
from figures import style
from figures.runs import Runs

HEADINGS = (
    "Run", "Method", "Bits", "Codes", "Label codes", "Distances", "Database codes", "Distances",
    "Constant bits", "|bit|", "mAC", "Dead units",
)  # fmt: skip
NOTES = (
    "Label codes: distinct codes of LabNet / distinct label vectors of the training rows. Database codes: distinct codes / "
    "distinct label vectors of the database.",
    "Distances, in bits, between the codes of different label vectors: least · mean to the nearest other one · mean of all. "
    "In the database, the code of a label vector is the majority of each bit over its rows.",
    "Constant bits of the database codes (of the label codes without images), + those with one value in 99 % of the rows. "
    "|bit|: mean · maximum over bits of |mean of the bit as ±1|. mAC: mean |correlation| of two different bits.",
    "Dead units: semantic features that are 0 for every training row, LabNet / ImgNet.",
)
ABSENT = "–"


def section(runs: Runs) -> str:
    """HTML of the section; empty where no run has measured its codes."""
    known = [run for run in runs if health(run)]
    if not known:
        return ""
    known.sort(key=lambda r: (runs.datasets.index(r.dataset), *style.method_order(r.method), r.preset, r.bits, r.seed))
    head = "".join(f"<th>{_text(name)}</th>" for name in HEADINGS)
    rows = "".join(_row(run) for run in known)
    warned = [(run.folder.name, health(run)["warning"]) for run in known if "warning" in health(run)]
    notes = [f"<code>{_text(name)}</code>: {_text(line)}" for name, line in warned]
    notes += [_text(note) for note in NOTES]
    if len(known) < len(runs):
        notes.append(f"Runs that did not measure their codes: {len(runs) - len(known)}.")
    listed = "".join(f"<li>{note}</li>" for note in notes)
    return (
        '<section><h2 id="health">Code health</h2><div class="wide"><table class=cards><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div><ul class=notes>{listed}</ul></section>"
    )


def health(run: Run) -> Mapping[str, Any]:
    return run.result.get("code_health", {})


def _row(run: Run) -> str:
    found = health(run)
    labels, database = found.get("labnet", {}), found.get("database", {})
    codes = database or labels
    state = '<span class="mark wrong">⚠ collapsed</span>' if "warning" in found else "healthy"
    dead = [
        f"{part['dead_units']}/{part['units']}" if "dead_units" in part else ABSENT
        for part in (labels, found.get("train", {}))
    ]
    cells = [
        style.method_style(run.method).title,
        str(run.bits),
        state,
        _distinct(labels),
        _distances(labels),
        _distinct(database),
        _distances(database),
        f"{codes['constant_bits']} + {codes['nearly_constant_bits'] - codes['constant_bits']}" if codes else ABSENT,
        f"{codes['mean_balance']:.2f} · {codes['worst_balance']:.2f}" if codes else ABSENT,
        f"{codes['mean_correlation']:.2f}" if "mean_correlation" in codes else ABSENT,
        ABSENT if dead == [ABSENT, ABSENT] else " / ".join(dead),
    ]
    kind = " class=collapsed" if "warning" in found else ""
    shown = "".join(
        f'<td data-label="{_text(heading)}">{cell if cell is state else _text(cell)}</td>'
        for heading, cell in zip(HEADINGS[1:], cells, strict=True)
    )
    return f"<tr{kind}><th scope=row><code>{_text(run.folder.name)}</code></th>{shown}</tr>"


def _distinct(part: Mapping[str, Any]) -> str:
    return f"{part['distinct_codes']:,} / {part['label_vectors']:,}" if part else ABSENT


def _distances(part: Mapping[str, Any]) -> str:
    if "least_distance" not in part:
        return ABSENT
    return f"{part['least_distance']} · {part['nearest_distance']:.1f} · {part['mean_distance']:.1f}"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
