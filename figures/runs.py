"""Finds run folders and reads them, checking what they hold. Nothing is written and nothing is trained here.

A folder that holds one of config.json, result.json, codes.npz or counts.npz is a run folder; others are searched
further down. What is wrong with a run folder is kept as a `Problem`, and the rest is drawn.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data.files import hidden
from dseh_tf.errors import InputError
from dseh_tf.files import npz_headers, read_npz
from dseh_tf.retrieval import Counts, Report, load_counts
from dseh_tf.runs import read_config, read_result, schema
from figures import contents, style

MARKS = ("config.json", "result.json", "codes.npz", "counts.npz")
CODES = ("query_codes", "database_codes", "query_labels", "database_labels", "query_ids", "database_ids", "bits")
MAP_TOLERANCE = 1e-6


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
class Run:
    """One finished run folder. `config` and `result` are its JSON files as they stand.

    mark: what tells its data apart from others of the same name, where there are any.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    mark: str = ""

    @property
    def dataset(self) -> str:
        """The data set's name; image lists and folders also by the name of their folder, and by `mark`."""
        name = self.result["dataset"]
        folder = self.config.get("folder") or self.config.get("images", {}).get("root")
        place = {"image_lists": self.config.get("lists_dir"), "image_folder": folder}.get(name)
        return name + (f":{Path(place).name}" if place else "") + self.mark

    @property
    def data_identity(self) -> str:
        """What the rows are besides their data set's name: the digest of lists or of an image folder; empty for other data."""
        return str(self.config.get("lists") or self.config.get("folder_files") or self.config.get("folder") or "")

    @property
    def held_out(self) -> bool:
        """Whether its queries are held-out training rows and not the test queries: a trial, no result."""
        return bool(self.config.get("data", {}).get("validation"))

    @property
    def method(self) -> str:
        return self.result["method"]

    @property
    def bits(self) -> int:
        return self.result["bits"]

    @property
    def preset(self) -> str:
        """Empty for a method that has no preset."""
        return self.result.get("preset", "")

    @property
    def seed(self) -> int:
        return self.result["seed"]

    @property
    def has_ranking(self) -> bool:
        """Whether images were retrieved: false for a run on labels only."""
        return "map" in self.result

    def has(self, name: str) -> bool:
        return (self.folder / f"{name}.npz").is_file()

    def arrays(self, name: str, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of `<name>.npz` (`only` these). Raises InputError naming the file when it cannot be read."""
        return read_npz(self.folder / f"{name}.npz", only)

    @cached_property
    def counts(self) -> Counts:
        """Per query and Hamming distance, how many items, how many relevant. Raises InputError on a damaged file."""
        return load_counts(self.folder / "counts.npz")


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

    def title(self, method: str, preset: str) -> str:
        """The method's name, with its preset only where runs of several presets stand side by side."""
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
    the arrays they name. Raises InputError where there is no run folder at all.
    """
    if not root.is_dir():
        raise InputError(f"--runs: found no folder {root}, expected a folder of run folders")
    found, problems, taken = [], [], {}
    folders = run_folders(root)
    if not folders:
        raise InputError(f"--runs: found no run folder in {root}, expected folders with config.json and result.json")
    for folder in folders:
        try:
            run = read_run(folder, needs)
        except InputError as error:
            problems.append(Problem(folder, str(error)))
            continue
        (problems if isinstance(run, Problem) else found).append(run)
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
    """The runs on test queries, with a note of what was left out; where there are none, the trials, which are told."""
    trials = [run for run in runs if run.held_out]
    results = [run for run in runs if not run.held_out]
    if results:
        told = f"runs on held-out training rows left out, being trials and no results: {len(trials)}"
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


def run_folders(root: Path) -> list[Path]:
    """Run folders at `root` or under it, by name. Nothing is searched inside a run folder, nor below hidden names."""
    if any((root / mark).exists() for mark in MARKS):
        return [root]
    children = [child for child in sorted(root.iterdir()) if child.is_dir() and not hidden(child.name)]
    return [run for child in children for run in run_folders(child)]


def read_run(folder: Path, needs: tuple[str, ...] = ()) -> Run | Problem:
    """Reads and checks one run folder; a Problem where the run is not finished. Raises InputError on any other flaw."""
    config = read_config(folder)
    if not (folder / "result.json").exists():
        return Problem(folder, "found no result.json", unfinished=True)
    result = read_result(folder, schema.IDENTITY)
    for name in (*schema.IDENTITY, "preset"):
        if name in config and name in result and config[name] != result[name]:
            raise InputError(
                f"{folder / 'config.json'}: {name}: found {config[name]!r}, expected {result[name]!r} as in result.json"
            )
    run = Run(folder, config, result)
    if run.has_ranking:
        _check_counts(run)
        _check_codes(run)
    for name in needs:
        if run.has(name):
            contents.CHECKS[name](run)
    return run


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
            notes.append(f"{dataset}: runs of different backbones stand side by side: {', '.join(sorted(trunks))}")
        sizes = {tuple(_sizes(run).items()) for run in runs if run.dataset == dataset and run.has_ranking}
        if len(sizes) > 1:
            told = "; ".join(sorted(", ".join(f"{name[2:]} {n}" for name, n in each) for each in sizes))
            notes.append(f"{dataset}: runs of different sizes stand side by side: {told}")
    return notes


def _sizes(run: Run) -> dict[str, int]:
    return {name: run.result[name] for name in ("n_train", "n_query", "n_database") if name in run.result}


def _inputs(run: Run) -> dict[str, Any]:
    """What a run's network reads, beside its settings: the split, the trunk, and which weights its features are of."""
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


def _check_counts(run: Run) -> None:
    """That counts.npz is whole, fits the bits and the database, and gives the MAP that result.json tells."""
    path, counts = run.folder / "counts.npz", run.counts
    if counts.bits != run.bits:
        raise InputError(f"{path}: total: found counts of {counts.bits} bits, expected {run.bits} as in result.json")
    report = Report(counts)
    expected = run.result.get("n_database", report.database_size)
    if report.database_size != expected:
        raise InputError(f"{path}: total: found {report.database_size} items a query, expected {expected}")
    found = Report(counts).map
    if abs(found - run.result["map"]) > MAP_TOLERANCE:
        raise InputError(
            f"{run.folder / 'result.json'}: map: found {run.result['map']}, expected {found} as in counts.npz"
        )


def _check_codes(run: Run) -> None:
    path = run.folder / "codes.npz"
    headers = npz_headers(path)
    missing = [name for name in CODES if name not in headers]
    if missing:
        raise InputError(f"{path}: found no array {', '.join(missing)}, expected {', '.join(CODES)}")
    bits = run.arrays("codes", ("bits",))["bits"]
    if bits.shape != () or bits.dtype.kind not in "iu" or bits != run.bits:
        raise InputError(f"{path}: bits: found {bits.tolist()}, expected {run.bits} as in result.json")
    width = -(-run.bits // 8)
    for part in ("query", "database"):
        shape, dtype = headers[f"{part}_codes"].shape, headers[f"{part}_codes"].dtype
        if dtype != np.uint8 or len(shape) != 2 or shape[1] != width:
            raise InputError(f"{path}: {part}_codes: found {dtype} {list(shape)}, expected uint8 [n, {width}]")
        for name in (f"{part}_labels", f"{part}_ids"):
            if headers[name].shape[:1] != shape[:1]:
                raise InputError(
                    f"{path}: {name}: found {list(headers[name].shape)}, expected {shape[0]} rows as in {part}_codes"
                )
    found, expected = headers["query_codes"].shape[0], run.counts.queries
    if found != expected:
        raise InputError(f"{path}: query_codes: found {found} rows, expected {expected} as in counts.npz")
