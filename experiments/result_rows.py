"""The rows of docs/results/*.csv: one row per run, in a fixed order and format. Does not import TensorFlow."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.files import write_text
from dseh_tf.runs import Run
from experiments.suite_options import Options

UNKNOWN = "unknown"
# What a row is of. Two rows never agree in all of these.
KEY = ("data", "method", "preset", "settings", "bits", "seed")
# What it measured; empty if a run has no such number.
MEASURES = ("map", "map_stable_order", "map_unseen", "map_encoded_database", "map_labels", "n_h")
# When and where; and the data, which is the same in all rows of one `data`.
PROVENANCE = ("train_seconds", "commit", "hardware", "date", "lists", "backbone")
FIELDS = (*KEY, *MEASURES, *PROVENANCE)

_WHOLE = ("bits", "seed")
_FORMATS = {
    **dict.fromkeys(("map", "map_stable_order", "map_unseen", "map_encoded_database", "map_labels"), ".6f"),
    "train_seconds": ".1f",
}
_IN_RESULT = {name: name for name in (*MEASURES, "train_seconds")} | {"n_h": "distinct_label_codes"}

ResultRow = dict[str, str]


def row_of(run: Run, options: Options, lists: Mapping[str, str]) -> ResultRow:
    """The row of a finished run.

    Args:
        run: The run.
        options: What the suite gave it.
        lists: Names of image lists by their digest.
    """
    config = run.config
    row = {
        "data": lists.get(config.get("lists", ""), config["dataset"]),
        "method": run.method,
        "preset": run.preset,
        "settings": options.text(),
        "bits": str(run.bits),
        "seed": str(run.seed),
        "commit": (config.get("git_commit") or UNKNOWN)[:12],
        "hardware": _hardware(config.get("machine", {})),
        "date": _date(run.folder),
        "lists": config.get("lists") or "",
        "backbone": _backbone(config.get("trunk")),
    }
    for name, stored in _IN_RESULT.items():
        value = run.result.get(stored)
        row[name] = "" if value is None else format(value, _FORMATS.get(name, ""))
    return {name: row[name] for name in FIELDS}


def _hardware(machine: Mapping[str, Any]) -> str:
    cores, processor = machine.get("cores"), machine.get("processor")
    return f"{processor or UNKNOWN}, {cores} cores" if cores else UNKNOWN


def _date(folder: Path) -> str:
    """The day on which result.json was written, in UTC: a run folder has no other date."""
    written = (folder / "result.json").stat().st_mtime
    return datetime.datetime.fromtimestamp(written, datetime.timezone.utc).date().isoformat()


def _backbone(trunk: Mapping[str, Any] | None) -> str:
    return f"{Path(str(trunk.get('backbone'))).stem} at {trunk.get('image_size')} pixels" if trunk else ""


def read(path: Path) -> list[ResultRow]:
    """The rows of a file.

    Raises:
        InputError: The file is missing, has other columns, a row of a different length, a code length, seed or measure that
            is not a number, or two rows of one key.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True))
    except FileNotFoundError:
        raise InputError(f"{path}: found no such file, expected a table of experiments.collect") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: {error}, expected a table of experiments.collect") from None
    if not lines or tuple(lines[0]) != FIELDS:
        found = ",".join(lines[0]) if lines else "an empty file"
        raise InputError(f"{path}: line 1: found {found[:80]!r}, expected {','.join(FIELDS)}")
    rows: dict[tuple[str, ...], ResultRow] = {}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(FIELDS):
            raise InputError(f"{path}: line {number}: found {len(line)} values, expected {len(FIELDS)}")
        row = dict(zip(FIELDS, line, strict=True))
        _check_numbers(f"{path}: line {number}", row)
        if key(row) in rows:
            raise InputError(f"{path}: line {number}: found a second row of {told(row)}, expected one")
        rows[key(row)] = row
    return list(rows.values())


def _check_numbers(where: str, row: ResultRow) -> None:
    for name in (*_WHOLE, *MEASURES, "train_seconds"):
        text = row[name]
        try:
            good = (not text and name not in _WHOLE) or (int if name in _WHOLE else float)(text) >= 0
        except ValueError:
            good = False
        if not good:
            raise InputError(f"{where}: {name}: found {text!r}, expected a number")


def key(row: ResultRow) -> tuple[str, ...]:
    """The values that identify a row."""
    return tuple(row[name] for name in KEY)


def told(row: ResultRow) -> str:
    """The key in words."""
    given = " ".join(text for text in (row["preset"], row["settings"]) if text)
    return f"{row['data']} {row['method']}{f' ({given})' if given else ''}, {row['bits']} bits, seed {row['seed']}"


def merged(before: Iterable[ResultRow], new: Iterable[ResultRow]) -> tuple[list[ResultRow], list[str]]:
    """The rows of `before` with those of `new` added, and a line on every row that changed.

    A row of the same key is replaced. If it differs in its date alone, it is a copy of the same run and stays as it was.

    Raises:
        InputError: Rows of one data set were made on other lists or with another backbone: they have no common table.
    """
    rows, lines = {key(row): row for row in before}, []
    for row in new:
        old = rows.get(key(row))
        if old is not None and {**old, "date": ""} == {**row, "date": ""}:
            continue
        if old is not None:
            unlike = ", ".join(
                f"{name} {old[name] or '-'} -> {row[name] or '-'}" for name in FIELDS if old[name] != row[name]
            )
            lines.append(f"replaced: {told(row)}: {unlike}")
        rows[key(row)] = row
    _check_one_data(rows.values())
    return sorted(rows.values(), key=_order), lines


def _check_one_data(rows: Iterable[ResultRow]) -> None:
    seen: dict[str, ResultRow] = {}
    for row in rows:
        first = seen.setdefault(row["data"], row)
        for name in ("lists", "backbone"):
            if row[name] != first[name]:
                raise InputError(
                    f"{told(row)}: {name}: found {row[name]!r}, expected {first[name]!r} as in the other rows of {row['data']}"
                )


def _order(row: Mapping[str, str]) -> tuple[Any, ...]:
    return (row["data"], row["method"], row["preset"], row["settings"], int(row["bits"]), int(row["seed"]))


def write(path: Path, rows: Iterable[ResultRow]) -> None:
    """Writes the rows, sorted: the same rows give the same bytes."""
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rows, key=_order))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())
