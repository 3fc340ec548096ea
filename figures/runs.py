"""Finds run folders and reads them, checking what they hold. Nothing is written and nothing is trained here.

A folder that holds one of config.json, result.json, codes.npz or counts.npz is a run folder; others are searched
further down. What is wrong with a run folder is kept as a `Problem`, and the rest is drawn.
"""

from __future__ import annotations

import json
import statistics
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import error as zlib_error

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.retrieval import Counts, Report, load_counts
from figures import style

MARKS = ("config.json", "result.json", "codes.npz", "counts.npz")
IDENTITY = {"dataset": str, "method": str, "bits": int, "preset": str, "seed": int}
NUMBERS = (
    "map", "map_stable_order", "map_labels", "distinct_label_codes", "distinct_label_vectors",
    "n_train", "n_query", "n_database", "train_seconds", "encode_seconds", "evaluate_seconds",
)  # fmt: skip
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
    """One finished run folder. `config` and `result` are its JSON files as they stand."""

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]

    @property
    def dataset(self) -> str:
        """The data set's name; image lists and folders also by the name of their folder, or two would be mixed."""
        name = self.result["dataset"]
        settings = {**self.config, **self.config.get("settings", {})}
        place = settings.get("lists_dir") or settings.get("images_root")
        return f"{name}:{Path(place).name}" if name in ("image_lists", "image_folder") and place else name

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
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {key: stored[key] for key in (stored.files if only is None else only)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib_error) as error:
            raise InputError(f"{path}: found {error}, expected a whole file of arrays") from None

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
        if isinstance(run, Problem):
            problems.append(run)
            continue
        key = (run.dataset, run.method, run.preset, run.bits, run.seed)
        if key in taken:
            problems.append(
                Problem(folder, f"found the same data set, method, preset, bits and seed in {taken[key].name}")
            )
            continue
        taken[key] = folder
        found.append(run)
    return Runs(root, tuple(found), tuple(problems), tuple(differences(found)))


def run_folders(root: Path) -> list[Path]:
    """Run folders at `root` or under it, by name; nothing is searched inside a run folder."""
    if any((root / mark).exists() for mark in MARKS):
        return [root]
    return [run for child in sorted(root.iterdir()) if child.is_dir() for run in run_folders(child)]


def read_run(folder: Path, needs: tuple[str, ...] = ()) -> Run | Problem:
    """Reads and checks one run folder; a Problem where the run is not finished. Raises InputError on any other flaw."""
    config = _read_json(folder / "config.json")
    if not (folder / "result.json").exists():
        return Problem(folder, "found no result.json", unfinished=True)
    result = _read_json(folder / "result.json")
    for name, kind in IDENTITY.items():
        value = result.get(name, "" if name == "preset" else None)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{folder / 'result.json'}: {name}: found {value!r}, expected {_kind(kind)}")
        if name in config and config[name] != value and name in result:
            raise InputError(
                f"{folder / 'config.json'}: {name}: found {config[name]!r}, expected {value!r} as in result.json"
            )
    for name in NUMBERS:
        value = result.get(name, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
            raise InputError(f"{folder / 'result.json'}: {name}: found {value!r}, expected a number")
    if not isinstance(config.get("settings", {}), dict):
        raise InputError(f"{folder / 'config.json'}: settings: found {config['settings']!r}, expected named settings")
    run = Run(folder, config, result)
    if run.has_ranking:
        _check_counts(run)
        _check_codes(run)
    for name in needs:
        if run.has(name):
            _check_bytes(folder / f"{name}.npz")
    return run


def differences(runs: list[Run]) -> list[str]:
    """What runs that share a cell of a table do not share, seed aside: a mean over them would hide it."""
    notes = []
    cells: dict[tuple, list[Run]] = {}
    for run in runs:
        cells.setdefault((run.dataset, run.method, run.preset, run.bits), []).append(run)
    for (dataset, method, preset, bits), group in cells.items():
        settings = [{**run.config.get("settings", {}), **_sizes(run)} for run in group]
        names = sorted({name for each in settings for name in each} - {"seed", "workdir"})
        unlike = [n for n in names if len({json.dumps(each.get(n), sort_keys=True) for each in settings}) > 1]
        if unlike:
            notes.append(f"{dataset}, {method}, {preset}, {bits} bits: runs differ in {', '.join(unlike)}")
    for dataset in dict.fromkeys(run.dataset for run in runs):
        sizes = {tuple(_sizes(run).items()) for run in runs if run.dataset == dataset and run.has_ranking}
        if len(sizes) > 1:
            told = "; ".join(sorted(", ".join(f"{name[2:]} {n}" for name, n in each) for each in sizes))
            notes.append(f"{dataset}: runs of different sizes stand side by side: {told}")
    return notes


def _sizes(run: Run) -> dict[str, int]:
    return {name: run.result[name] for name in ("n_train", "n_query", "n_database") if name in run.result}


def _kind(kind: type) -> str:
    return {str: "a text", int: "a whole number"}[kind]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: found no such file, expected one in a run folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found {error}, expected JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found {type(value).__name__}, expected named values")
    return value


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of every array of an .npz file, without reading the arrays."""
    if not path.is_file():
        raise InputError(f"{path}: found no such file, expected one in a run folder")
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    version = np.lib.format.read_magic(member)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(member)
                    headers[name.removesuffix(".npy")] = shape, dtype
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib_error) as error:
        raise InputError(f"{path}: found {error}, expected a whole file of arrays") from None
    return headers


def _check_bytes(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (OSError, EOFError, zipfile.BadZipFile, zlib_error) as error:
        raise InputError(f"{path}: found {error}, expected a whole file of arrays") from None
    if broken:
        raise InputError(f"{path}: {broken.removesuffix('.npy')}: found damaged bytes, expected a whole array")


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
    headers = _headers(path)
    missing = [name for name in CODES if name not in headers]
    if missing:
        raise InputError(f"{path}: found no array {', '.join(missing)}, expected {', '.join(CODES)}")
    bits = int(run.arrays("codes", ("bits",))["bits"])
    if bits != run.bits:
        raise InputError(f"{path}: bits: found {bits}, expected {run.bits} as in result.json")
    for part in ("query", "database"):
        (n, width), dtype = (headers[f"{part}_codes"][0] + (0, 0))[:2], headers[f"{part}_codes"][1]
        if dtype != np.uint8 or width != -(-bits // 8):
            raise InputError(f"{path}: {part}_codes: found {dtype} [{n}, {width}], expected uint8 [n, {-(-bits // 8)}]")
        for name in (f"{part}_labels", f"{part}_ids"):
            if headers[name][0][:1] != (n,):
                raise InputError(
                    f"{path}: {name}: found {list(headers[name][0])}, expected {n} rows as in {part}_codes"
                )
    if headers["query_codes"][0][0] != run.counts.queries:
        found, expected = headers["query_codes"][0][0], run.counts.queries
        raise InputError(f"{path}: query_codes: found {found} rows, expected {expected} as in counts.npz")
