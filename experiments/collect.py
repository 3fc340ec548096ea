"""Adds a suite's finished runs to its table of results, one row per run.

    python -m experiments.collect --suite=tiny100 --runs=runs/tiny100 --out=docs/results/tiny100.csv

`--runs` may be repeated; run folders are found at any depth. A run belongs to the suite if its data set, method,
settings and data options match a row of the current suite, and its image lists are those of the suite. Other runs are
left out, and a line says what differs; runs on held-out training rows are left out too. A row that is already in the
table is replaced, and other rows are kept. `experiments.result_tables` generates the tables in README.md and docs/ from
these files.

A run that was made before a setting existed does not record it. `--unrecorded=SETTING` accepts such runs; use it only
for settings that do not affect them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.runs import Run, UnfinishedRun, read_run, run_folders
from experiments import program, result_rows, suite, suites
from experiments.suite_options import Options

_SCALAR_TRUNK = {"backbone": "backbone", "image_size": "image_size", "weights": "backbone_weights"}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    flags.DEFINE_string("suite", None, "Suite whose runs are collected.", flag_values=values)
    program.DEFINE_multi_path("runs", None, "Folder of run folders, or one run folder; may be repeated.", values)
    flags.DEFINE_list(
        "unrecorded",
        [],
        "Settings that did not exist yet when the runs were made, and do not affect them.",
        flag_values=values,
    )
    program.DEFINE_path("out", None, "CSV file to add the rows to. Default: docs/results/<suite>.csv.", values)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    if given.suite is None:
        raise InputError(f"--suite: found none, expected one of {', '.join(suites.names())}")
    loaded = suites.load(given.suite)
    if not given.runs:
        raise InputError("--runs: found none, expected a folder of run folders")
    out = Path(given.out or f"docs/results/{given.suite}.csv")
    before = result_rows.read(out) if out.exists() else []
    found, left_out = belonging(loaded, given.suite, [Path(folder) for folder in given.runs], given.unrecorded)
    for line in left_out:
        print(line)
    if not found:
        raise InputError(f"--runs: found no finished run of {given.suite}, expected at least one")
    new = [result_rows.row_of(each.run, each.options, loaded.lists) for each in found]
    rows, replaced = result_rows.merged(before, new)
    result_rows.write(out, rows)
    for line in replaced:
        print(line)
    print(f"{out}: {len(rows)} rows, {len(rows) - len(before)} of them new")


@dataclass(frozen=True)
class Belonging:
    """A run of the suite and what its row gives it."""

    run: Run
    options: Options


def belonging(
    loaded: suites.Suite, name: str, roots: Sequence[Path], unrecorded: Sequence[str] = ()
) -> tuple[list[Belonging], list[str]]:
    """The suite's finished runs in these folders, the oldest first, and a line on each run that is left out.

    Args:
        loaded: The suite.
        name: Its name, for messages.
        roots: Folders of run folders.
        unrecorded: Settings that a run may lack.

    Raises:
        InputError: A folder is missing or has no run folder.
    """
    left_out: list[str] = []
    runs = [run for folder in _folders(roots) if (run := _read(folder, left_out)) is not None]
    runs.sort(key=lambda run: (run.folder / "result.json").stat().st_mtime)
    asked = [(run, options) for run in runs for options in _candidates(loaded, run)]
    without = {run.folder for run in runs} - {run.folder for run, _ in asked}
    left_out += [
        f"left out: {folder}: found no row of {name} for its method, data set and lists" for folder in sorted(without)
    ]
    resolved = expected([_flags(run.config, options) for run, options in asked])
    found: dict[Path, Belonging] = {}
    reasons: dict[Path, str] = {}
    for (run, options), today in zip(asked, resolved, strict=True):
        reason = today if isinstance(today, str) else difference(run.config, today, unrecorded)
        if not isinstance(today, str) and not reason:
            reason = _other_training_rows(run, today["whole_database"])
        if reason:
            reasons.setdefault(run.folder, reason)
        else:
            found.setdefault(run.folder, Belonging(run, options))
    left_out += [f"left out: {folder}: {reason}" for folder, reason in reasons.items() if folder not in found]
    return list(found.values()), left_out


def _folders(roots: Sequence[Path]) -> list[Path]:
    folders: dict[Path, None] = {}
    for root in roots:
        if not root.is_dir():
            raise InputError(f"--runs: found no folder {root}, expected a folder of run folders")
        here = run_folders(root)
        if not here:
            raise InputError(
                f"--runs: found no run folder in {root}, expected folders with config.json and result.json"
            )
        folders |= dict.fromkeys(here)
    return list(folders)


def _read(folder: Path, left_out: list[str]) -> Run | None:
    try:
        run = read_run(folder)
    except (InputError, UnfinishedRun) as error:
        left_out.append(f"left out: {error}")
        return None
    if run.held_out:
        left_out.append(f"left out: {folder}: its queries are held-out training rows")
        return None
    return run


def _candidates(loaded: suites.Suite, run: Run) -> list[Options]:
    """The options of each row that the run could be of."""
    name = run.config["dataset"]
    if name not in loaded.datasets or (name == "image_lists" and run.config.get("lists") not in loaded.lists):
        return []
    return [loaded.options_of(row, name) for row in loaded.rows if row.method == run.method]


def _flags(config: Mapping[str, Any], options: Options) -> list[str]:
    """The flags of experiments.run for the row on the run's network, without the places of its data and features."""
    given = {name: config[name] for name in ("dataset", "method", "bits", "seed")}
    trunk = config.get("trunk") or {}
    given |= {flag: trunk[name] for name, flag in _SCALAR_TRUNK.items() if trunk.get(name) is not None}
    if trunk.get("scaling"):
        given["backbone_scaling"] = ",".join(map(str, trunk["scaling"]))
    if trunk.get("train"):
        given |= {"train_backbone": "true"} | (
            {"train_backbone_from": trunk["train_from"]} if trunk.get("train_from") else {}
        )
    return [*(f"--{name}={value}" for name, value in given.items()), *options.flags()]


def expected(commands: Sequence[Sequence[str]]) -> list[dict[str, Any] | str]:
    """What `preflight.settings` says of each; another process is asked, which loads TensorFlow."""
    return suite.asked_of_preflight("settings", commands) if commands else []


def _other_training_rows(run: Run, whole_database: bool) -> str:
    """What is wrong if the run and the row differ in whether all database rows train; where they do anyway, nothing."""
    found = bool(run.config.get("whole_database"))
    if found == whole_database or run.result.get("n_train") == run.result.get("n_database"):
        return ""
    return f"whole_database: found {found}, expected {whole_database}"


def difference(config: Mapping[str, Any], today: Mapping[str, Any], unrecorded: Sequence[str] = ()) -> str:
    """What makes the run another than the suite's row; empty if nothing does."""
    for name in ("settings", "data"):
        before = {key: value for key, value in config.get(name, {}).items() if key != "validation"}
        for key in sorted({*before, *today[name]}):
            found, wanted = (json.dumps(each[key]) if key in each else "nothing" for each in (before, today[name]))
            if found != wanted and not (key not in before and key in unrecorded):
                return f"{name}.{key}: found {found}, expected {wanted} as the suite's row has today"
    for name in ("preset", "phases"):
        if name in today and config.get(name) != today[name]:
            return f"{name}: found {config.get(name)!r}, expected {today[name]!r}"
    for name in ("bfloat16", "jit_compile", "tf32"):
        if config.get(name):
            return f"{name}: found true, expected false"
    return ""


if __name__ == "__main__":
    define_flags()
    program.run(main)
