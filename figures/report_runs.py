"""The report's sections on the runs: which there are, problems, and configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from statistics import fmean
from typing import Any

from dseh_tf.runs import Run
from figures import style
from figures.grid import ABSENT, Grid, GridRow, count, duration
from figures.runs import Runs

TIE_NOTE = "MAP: over the full ranking, in expectation over all orders of items at the same Hamming distance."
RUN_HEADINGS = ["Run", "Method", "Bits", "Seed", "MAP", "Training", "Preset", "Data set", "Train / query / database"]
DATA_HEADINGS = ["Data set", "Best mean MAP", "Runs", "Methods", "Bits", "Train / query / database"]
# Fields of config.json that say where something is on the machine that ran it.
PLACES = ("workdir", "data_dir", "lists_dir", "images_root", "images", "folder")


@dataclass(frozen=True)
class Folders:
    """Run folders that were not drawn: their heading, and for each its name and the reason."""

    title: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class Overview:
    """The head of the page.

    Attributes:
        number: Number of finished runs.
        what: What they are of, in a few words.
        grid: One row for each data set; None if there is no run.
        folders: Run folders that were not drawn.
        notes: Notes that belong to no data set on the page.
    """

    number: int
    what: str
    grid: Grid | None
    folders: list[Folders]
    notes: list[str]


@dataclass(frozen=True)
class Configuration:
    """The last section: one row for each run, and for each its name and all its settings as JSON."""

    grid: Grid | None
    settings: list[tuple[str, str]]


def overview(runs: Runs) -> Overview:
    lengths = f"code length{'' if len(runs.bits) == 1 else 's'} {', '.join(map(str, runs.bits))}"
    what = [f"finished run{'' if len(runs) == 1 else 's'}"]
    if len(runs):
        methods = len({run.method for run in runs})
        what += [count(len(runs.datasets), "data set"), count(methods, "method"), lengths]
    found = []
    for title, unfinished in (("Unfinished run folders", True), ("Skipped run folders", False)):
        # Without the path of the machine that drew the page.
        lines = [
            (problem.folder.name, problem.reason.replace(f"{runs.root}/", ""))
            for problem in runs.problems
            if problem.unfinished == unfinished
        ]
        found += [Folders(title, lines)] if lines else []
    shown = {note for dataset in runs.datasets for note in notes_of(runs, dataset)}
    rows = [_data_row(runs.of(dataset=dataset)) for dataset in runs.datasets]
    grid = Grid("Data sets", DATA_HEADINGS, rows, [TIE_NOTE]) if rows else None
    return Overview(len(runs), " · ".join(what), grid, found, [note for note in runs.notes if note not in shown])


def notes_of(runs: Runs, dataset: str) -> list[str]:
    """What was noted of a data set's runs when they were read."""
    return [note for note in runs.notes if note.startswith((f"{dataset}:", f"{dataset},"))]


def configuration(runs: Runs) -> Configuration:
    rows = [GridRow(run.folder.name, _run_cells(run)) for run in runs.ordered]
    grid = Grid("Configuration of every run", RUN_HEADINGS, rows, [TIE_NOTE]) if rows else None
    return Configuration(grid, [(run.folder.name, settings(run)) for run in runs.ordered])


def _data_row(here: Runs) -> GridRow:
    sizes = " · ".join(dict.fromkeys(_sizes(run) for run in here))
    methods = len({run.method for run in here})
    cells = [_best(here.ranked()), str(len(here)), str(methods), ", ".join(map(str, here.bits)), sizes]
    return GridRow(style.dataset_title(here.datasets[0]), cells)


def _best(ranked: Runs) -> str:
    """The highest mean over seeds, and whose it is: `0.5736 (DSEH, 32 bits, 3 seeds)`."""
    groups = [(v, b, ranked.of(method=v[0], preset=v[1], bits=b)) for v in ranked.variants for b in ranked.bits]
    means = [(fmean(run.result["map"] for run in group), v, b, len(group)) for v, b, group in groups if len(group)]
    if not means:
        return "labels only"
    mean, variant, bits, seeds = max(means, key=lambda each: each[0])
    return f"{mean:.4f} ({ranked.title(*variant)}, {bits} bits, {count(seeds, 'seed')})"


def _sizes(run: Run) -> str:
    return " / ".join(f"{run.result[n]:,}" if n in run.result else ABSENT for n in ("n_train", "n_query", "n_database"))


def _run_cells(run: Run) -> list[str]:
    seconds = run.result.get("train_seconds")
    return [
        style.method_style(run.method).title,
        str(run.bits),
        str(run.seed),
        f"{run.result['map']:.4f}" if run.has_ranking else "labels only",
        ABSENT if seconds is None else duration(seconds),
        run.preset or ABSENT,
        style.dataset_title(run.dataset),
        _sizes(run),
    ]


def settings(run: Run) -> str:
    """Configuration and result as JSON, without folders of the machine that ran it: a report is passed on.

    Of other paths (a trunk's file, its weights, lists of classes) the file's name is kept.
    """
    config = {name: value for name, value in run.config.items() if name not in PLACES}
    return json.dumps(_without_folders({"config": config, "result": run.result}), indent=2, ensure_ascii=False)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name  # knows both kinds of slash
    return value
