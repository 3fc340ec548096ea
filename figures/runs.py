"""Reads all run folders below a folder and groups them for tables and figures. A folder with a problem is kept as a
`Problem`."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.runs import Run, UnfinishedRun, read_run, run_folders
from figures import style


@dataclass(frozen=True)
class Problem:
    """A run folder that was not drawn, and why. `unfinished`: it has no result yet."""

    folder: Path
    reason: str
    unfinished: bool = False

    def __str__(self) -> str:
        kind = "unfinished" if self.unfinished else "skipped"
        return f"{self.folder}: {kind}: {self.reason.replace(f'{self.folder}/', '')}"


@dataclass(frozen=True)
class Runs:
    """Every run that could be read, and the folders that could not."""

    root: Path
    runs: tuple[Run, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __iter__(self):
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def where(self, keep: Callable[[Run], bool]) -> Runs:
        return Runs(self.root, tuple(run for run in self.runs if keep(run)), self.problems, self.notes)

    def ranked(self) -> Runs:
        return self.where(lambda run: run.has_ranking)

    @property
    def datasets(self) -> list[str]:
        titles = list(style.DATASET_TITLES)
        return sorted({run.dataset for run in self}, key=lambda d: (titles.index(d) if d in titles else len(titles), d))

    @property
    def bits(self) -> list[int]:
        return sorted({run.bits for run in self})

    @property
    def variants(self) -> list[tuple[str, str]]:
        """(method, preset) pairs in the order of every table and legend."""
        return sorted({(run.method, run.preset) for run in self}, key=lambda v: (*style.method_order(v[0]), v[1]))

    @property
    def ordered(self) -> list[Run]:
        """The runs by data set, method, preset, code length and seed."""
        places = {dataset: i for i, dataset in enumerate(self.datasets)}
        return sorted(self, key=lambda r: (places[r.dataset], *style.method_order(r.method), r.preset, r.bits, r.seed))

    def title(self, method: str, preset: str) -> str:
        """The method's name, with its preset only if there are runs with several presets."""
        several = len({run.preset for run in self if run.method == method}) > 1
        return style.method_style(method).title + (f" ({preset or 'no preset'})" if several else "")

    def of(self, **values: Any) -> Runs:
        """Runs whose dataset, method, preset, bits or seed are the given ones."""
        return self.where(lambda run: all(getattr(run, name) == value for name, value in values.items()))


def mean_and_deviation(values: list[float]) -> tuple[float, float | None]:
    """Mean, and the sample deviation (n - 1) or None for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def read_runs(root: Path, needs: tuple[str, ...] = ()) -> Runs:
    """Reads the run folder `root`, or every run folder under it.

    needs: array files (`counts`, `codes`, ...) that will be read; they are checked to the last byte, the others only for
    the arrays they name. Raises InputError if there is no run folder at all.
    """
    if not root.is_dir():
        raise InputError(f"--runs: found no folder {root}, expected a folder of run folders")
    found: list[Run] = []
    problems: list[Problem] = []
    taken: dict[tuple[Any, ...], Path] = {}
    folders = run_folders(root)
    if not folders:
        raise InputError(f"--runs: found no run folder in {root}, expected folders with config.json and result.json")
    for folder in folders:
        try:
            found.append(read_run(folder, needs))
        except UnfinishedRun:
            problems.append(Problem(folder, "found no result.json", unfinished=True))
        except InputError as error:
            problems.append(Problem(folder, str(error)))
    found, notes = _without_trials(found)
    kept = []
    for run in _told_apart(found):
        key = (run.dataset, run.method, run.preset, run.bits, run.seed)
        if key in taken:
            reason = f"found the same data set, method, preset, bits and seed in {taken[key].name}"
            problems.append(Problem(run.folder, reason))
            continue
        taken[key] = run.folder
        kept.append(run)
    return Runs(root, tuple(kept), tuple(problems), (*notes, *differences(kept)))


def _without_trials(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The runs on test queries, with a note of what was left out; if there are none, the trials, with a note."""
    trials = [run for run in runs if run.held_out]
    results = [run for run in runs if not run.held_out]
    if results:
        told = f"left out runs on held-out training rows, which are trials and not results: {len(trials)}"
        return results, [told] if trials else []
    names = dict.fromkeys(run.dataset for run in trials)
    return trials, [f"{name}: the queries are held-out training rows, not the test queries" for name in names]


def _told_apart(runs: list[Run]) -> list[Run]:
    """The runs with a mark on those whose data has the name of other data: two folders of one name, lists that changed."""
    identities: dict[str, set[str]] = {}
    for run in runs:
        identities.setdefault(run.dataset, set()).add(run.data_identity)

    def mark(run: Run) -> str:
        unlike = len(identities[run.dataset] - {""}) > 1  # runs that do not say go with the only ones there are
        return "#" + hashlib.sha256(run.data_identity.encode()).hexdigest()[:6] if unlike else ""

    return [replace(run, mark=mark(run)) for run in runs]


def differences(runs: list[Run]) -> list[str]:
    """What runs that share a cell of a table do not share, seed aside: a mean over them would hide it."""
    notes = []
    cells: dict[tuple, list[Run]] = {}
    for run in runs:
        cells.setdefault((run.dataset, run.method, run.preset, run.bits), []).append(run)
    for (dataset, method, preset, bits), group in cells.items():
        settings = [{**run.config.get("settings", {}), **_sizes(run), **_inputs(run)} for run in group]
        names = sorted({name for each in settings for name in each} - {"seed", "workdir"})
        unlike = [n for n in names if len({json.dumps(each.get(n), sort_keys=True) for each in settings}) > 1]
        if unlike:
            curves = "; their curves are left out" if "n_database" in unlike else ""
            notes.append(f"{dataset}, {method}, {preset}, {bits} bits: runs differ in {', '.join(unlike)}{curves}")
    for dataset in dict.fromkeys(run.dataset for run in runs):
        trunks = {_trunk_name(run) for run in runs if run.dataset == dataset and run.has_ranking} - {""}
        if len(trunks) > 1:
            notes.append(f"{dataset}: runs with different backbones are shown together: {', '.join(sorted(trunks))}")
        sizes = {tuple(_sizes(run).items()) for run in runs if run.dataset == dataset and run.has_ranking}
        if len(sizes) > 1:
            told = "; ".join(sorted(", ".join(f"{name[2:]} {n}" for name, n in each) for each in sizes))
            notes.append(f"{dataset}: runs with different numbers of rows are shown together: {told}")
    return notes


def _sizes(run: Run) -> dict[str, int]:
    return {name: run.result[name] for name in ("n_train", "n_query", "n_database") if name in run.result}


def _inputs(run: Run) -> dict[str, Any]:
    """The inputs of a run's network: the split, the backbone, and the weights that its features come from."""
    trunk, features = run.config.get("trunk", {}), run.config.get("features", {})
    split = {f"data.{name}": value for name, value in run.config.get("data", {}).items()}
    trained = {"train_backbone": trunk.get("train"), "train_backbone_from": trunk.get("train_from")}
    return {**split, "backbone": _trunk_name(run), **trained, "features": features.get("fingerprint")}


def _trunk_name(run: Run) -> str:
    """As `efficientnet_lite0.keras at 192 pixels`; empty for labels only."""
    trunk = run.config.get("trunk")
    if not trunk:
        return ""
    weights = f" ({Path(str(trunk['weights'])).name})" if trunk.get("weights") else ""
    return f"{Path(str(trunk.get('backbone'))).name}{weights} at {trunk.get('image_size')} pixels"
