"""The run folder: what one run leaves behind, each file whole or not there. No TensorFlow here."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.errors import InputError
from dseh_tf.files import PARTIAL, read_json, write_text
from dseh_tf.runs import read_config, read_result

__all__ = ["environment", "held", "open_workdir", "read_json", "write_json"]

# How or where a run is executed, not what it computes: may change when it is resumed. Of the programs it is told.
_PROGRAMS = ("python", "versions", "git_commit", "machine")
# `folder`, an image folder's path, stood for its files once.
_FREE = ("strategy", "replicas", "lists_dir", "data_dir", "images", "folder", *_PROGRAMS)

# Told by runs since a later version: a run that does not tell it cannot differ in it.
_ADDED = ("trunk_files", "folder_files")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes an object, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=False, default=_plain) + "\n")


@contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes out of it while this one works there. Raises InputError where one is.

    The lock is on the folder itself: nothing is left behind. A file system without locks has none.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"workdir: {workdir}: found a file in its place, expected a folder") from None
    except OSError as error:
        raise InputError(f"workdir: {workdir}: cannot be made ({error.strerror}), expected a place that can be written") from None
    folder = os.open(workdir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{workdir}: another process is at a run here; choose another --workdir") from None
        except OSError as error:
            logging.warning("%s: cannot be locked (%s); start no second run in it", workdir, error.strerror)
        yield
    finally:
        os.close(folder)


def open_workdir(workdir: Path, config: Mapping[str, Any]) -> bool:
    """Writes config.json into the folder, or checks that the one there is of the same configuration.

    Returns whether the run in it is finished. A run that failed before its first checkpoint gives way. Raises
    InputError, naming the first field that differs or cannot be read, and writes nothing then.
    """
    path = workdir / "config.json"
    begun = any((workdir / name).exists() for name in ("checkpoints", "codes.npz", "result.json"))
    if path.exists() and begun:
        before = read_config(workdir)
        now = json.loads(json.dumps(config, default=_plain))
        for name in sorted(set(before) | set(now)):
            unknown = name in _ADDED and name not in before
            if name not in _FREE and not unknown and before.get(name) != now.get(name):
                found, expected = _difference(before.get(name), now.get(name))
                raise InputError(f"{path}: {name}: found {found}, expected {expected}; choose another --workdir")
        for name in _PROGRAMS:
            if before.get(name) != now.get(name):
                found, expected = _difference(before.get(name), now.get(name))
                logging.warning("%s: %s: begun with %s, now %s", path, name, found, expected)
        if not (workdir / "result.json").exists():
            return False
        read_result(workdir)
        return True
    held = [file for file in workdir.iterdir() if not file.name.startswith(PARTIAL)] if workdir.exists() else []
    if held and not path.exists():
        raise InputError(f"{workdir}: found files but no config.json, expected an empty folder or a run's")
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, config)
    return False


def listing(workdir: Path) -> str:
    """The names of what is in a run folder, for people."""
    entries = sorted(workdir.iterdir())
    return ", ".join(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)


def _difference(before: Any, now: Any) -> tuple[Any, Any]:
    """The differing parts of two values; of two objects, those of the first field that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(set(before) | set(now)):
            if before.get(name) != now.get(name):
                return f"{name}={before.get(name)!r}", f"{name}={now.get(name)!r}"
    return repr(before), repr(now)


def environment() -> dict[str, Any]:
    """Package versions, git commit and machine of this process."""
    versions = {}
    for package in ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scipy", "scikit-learn", "numba", "dseh_tf"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    here = Path(__file__).parents[1]
    try:
        git = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = git.stdout.strip()
    except OSError:  # no git on this machine
        commit = ""
    machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    return {
        "python": platform.python_version(),
        "versions": versions,
        "git_commit": commit,
        "machine": machine,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Path, tuple, set)):
        return str(value) if isinstance(value, Path) else list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
