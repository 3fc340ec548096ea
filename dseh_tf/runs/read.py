"""Reads run folders and checks their content, for programs and figures. Nothing is written here.

A folder that contains one of config.json, result.json, codes.npz or counts.npz is a run folder; all other folders are
searched recursively.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data.files import hidden
from dseh_tf.errors import InputError
from dseh_tf.files import Header, npz_headers, read_npz
from dseh_tf.retrieval import CodesFile, Counts, Report, codes_path, evaluate_shards, has_codes, load_codes, load_counts
from dseh_tf.retrieval.codes_file import open_codes_folder
from dseh_tf.runs import contents, schema

MARKS = ("config.json", "result.json", "codes.npz", "codes/manifest.json", "counts.npz")
CODES = ("query_codes", "database_codes", "query_labels", "database_labels", "query_ids", "database_ids", "bits")
MAP_TOLERANCE = 1e-6


class UnfinishedRun(InputError):
    """A run folder without result.json, where a finished run is expected."""


@dataclass(frozen=True)
class Run:
    """One run folder. Array files are read when they are asked for.

    Attributes:
        folder: Where it is.
        config: The content of config.json.
        result: The content of result.json; empty if the run is not finished.
        mark: Distinguishes its data from other data of the same name, if there is any.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    mark: str = ""

    @property
    def finished(self) -> bool:
        return bool(self.result)

    def _value(self, name: str) -> Any:
        """The field of result.json or, before there is one, of config.json."""
        return (self.result or self.config)[name]

    @property
    def dataset(self) -> str:
        """The data set's name; image lists and folders also by the name of their folder, and by `mark`."""
        name = str(self._value("dataset"))
        folder = self.config.get("folder") or self.config.get("images", {}).get("root")
        place = {"image_lists": self.config.get("lists_dir"), "image_folder": folder}.get(name)
        return name + (f":{Path(place).name}" if place else "") + self.mark

    @property
    def data_identity(self) -> str:
        """What the rows are besides their data set's name: the digest of lists or of an image folder; empty for other data."""
        return str(self.config.get("lists") or self.config.get("folder_files") or self.config.get("folder") or "")

    @property
    def held_out(self) -> bool:
        """Whether its queries are held-out training rows and not the test queries: a trial, not a result."""
        return bool(self.config.get("data", {}).get("validation"))

    @property
    def method(self) -> str:
        return str(self._value("method"))

    @property
    def bits(self) -> int:
        return int(self._value("bits"))

    @property
    def preset(self) -> str:
        """Empty for a method that has no preset."""
        return str((self.result or self.config).get("preset", ""))

    @property
    def seed(self) -> int:
        return int(self._value("seed"))

    @property
    def has_ranking(self) -> bool:
        """Whether images were retrieved: false for a run on labels only."""
        return "map" in self.result

    def has(self, name: str) -> bool:
        return has_codes(self.folder) if name == "codes" else (self.folder / f"{name}.npz").is_file()

    def arrays(self, name: str, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of `<name>.npz` (`only` these), or of the folder `codes/`, as memory maps that were not checked.

        Raises InputError naming the file when it cannot be read.
        """
        path = codes_path(self.folder)
        if name == "codes" and path.is_dir():
            folder = open_codes_folder(path)
            found = {name: folder.array(name) for name in folder.headers if only is None or name in only}
            return found | {"bits": np.asarray(folder.manifest["bits"])}
        return read_npz(self.folder / f"{name}.npz", only)

    @cached_property
    def codes(self) -> CodesFile:
        """The codes, labels and ids of query and database. Raises InputError on a file that is damaged or of other bits."""
        return load_codes(codes_path(self.folder), bits=self.config.get("bits"))

    @cached_property
    def counts(self) -> Counts:
        """Per query and Hamming distance, how many items, how many relevant. Raises InputError on a damaged file."""
        return load_counts(self.folder / "counts.npz")

    @property
    def directions(self) -> tuple[str, ...]:
        """What was measured: "image->image", and of cross-modal runs also "image->text", "text->image", "text->text"."""
        return tuple(self.result.get("directions", ("image->image",))) if self.has_ranking else ()

    def counts_of(self, direction: str) -> Counts:
        """The counts of a direction: those of counts.npz for "image->image", else counted from the codes.

        Raises:
            InputError: The run does not have the direction, or a damaged file.
        """
        if direction == "image->image":
            return self.counts
        asking, searched = direction.split("->")
        sides = {"image": "", "text": "_text"}
        query = getattr(self.codes, f"query_codes{sides[asking]}")
        database = getattr(self.codes, f"database_codes{sides[searched]}")
        if query is None or database is None:
            raise InputError(f"{codes_path(self.folder)}: found no codes of texts, expected them for {direction}")
        shards = self.codes.pieces(f"database_codes{sides[searched]}", "database_labels")
        return evaluate_shards(query, self.codes.query_labels, shards, self.bits).counts


def open_run(folder: Path | str, needed: Iterable[str] = (), of_result: Iterable[str] = schema.KEYS) -> Run:
    """Reads config.json and, if the run is finished, result.json.

    Args:
        folder: The run folder.
        needed: Fields of config.json that the caller cannot do without.
        of_result: The same of result.json.

    Raises:
        InputError: As in `schema.read_config` and `schema.read_result`.
    """
    folder = Path(folder)
    config = schema.read_config(folder, needed)
    result = schema.read_result(folder, of_result) if (folder / "result.json").exists() else {}
    return Run(folder, config, result)


def read_run(folder: Path | str, needs: Iterable[str] = ()) -> Run:
    """Reads a finished run whose files belong together.

    Args:
        folder: The run folder.
        needs: Array files (`codes`, `losses`, ...) that will be read. They are checked to the last byte, the others only
            for the arrays they name.

    Raises:
        UnfinishedRun: It has no result.json.
        InputError: A file is damaged, or of another run than the others.
    """
    folder = Path(folder)
    config = schema.read_config(folder)
    if not (folder / "result.json").exists():
        raise UnfinishedRun(f"{folder}: found no result.json, expected a finished run")
    run = Run(folder, config, schema.read_result(folder, schema.KEYS))
    for name in (*schema.KEYS, "preset"):
        if name in config and name in run.result and config[name] != run.result[name]:
            raise InputError(
                f"{folder / 'config.json'}: {name}: found {config[name]!r}, expected {run.result[name]!r} as in result.json"
            )
    if run.has_ranking:
        _check_counts(run)
        _check_codes(run)
    for name in needs:
        if run.has(name):
            contents.CHECKS[name](run)
    return run


def run_folders(root: Path) -> list[Path]:
    """Run folders at `root` or under it, by name. Nothing is searched inside a run folder, nor below hidden names."""
    if any((root / mark).exists() for mark in MARKS):
        return [root]
    children = [child for child in sorted(root.iterdir()) if child.is_dir() and not hidden(child.name)]
    return [run for child in children for run in run_folders(child)]


def _check_counts(run: Run) -> None:
    """That counts.npz is whole, fits the bits and the database, and gives the MAP of result.json."""
    path, counts = run.folder / "counts.npz", run.counts
    if counts.bits != run.bits:
        raise InputError(f"{path}: total: found counts of {counts.bits} bits, expected {run.bits} as in result.json")
    report = Report(counts)
    expected = run.result.get("n_database", report.database_size)
    if report.database_size != expected:
        raise InputError(f"{path}: total: found {report.database_size} items per query, expected {expected}")
    found = Report(counts).map
    if abs(found - run.result["map"]) > MAP_TOLERANCE:
        raise InputError(
            f"{run.folder / 'result.json'}: map: found {run.result['map']}, expected {found} as in counts.npz"
        )


def _check_codes(run: Run) -> None:
    path = codes_path(run.folder)
    headers: dict[str, Header] = {}
    if path.is_dir():
        folder = open_codes_folder(path)
        headers = {**folder.headers, "bits": Header((), np.dtype(np.int64), False)}
    else:
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
