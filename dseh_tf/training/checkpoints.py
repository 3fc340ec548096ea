"""Checkpoints that are written atomically, with a fall-back to the previous one."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from dseh_tf.devices.workers import Workers
from dseh_tf.errors import InputError
from dseh_tf.files import read_json, read_npz, writing

_NEEDED = ("state.index", "progress.json", "traces.npz")

Progress = tuple[dict[str, Any], dict[str, np.ndarray]]


class CheckpointStore:
    """Numbered checkpoint folders; the newest `keep` stay.

    A checkpoint is a folder `<number>` with TensorFlow's files, `progress.json`, `traces.npz` and `manifest.json`, which
    names size and CRC-32 of each of the others. It is written under another name and renamed.
    """

    def __init__(self, folder: Path | None, keep: int = 3) -> None:
        self.folder = folder
        self.keep = keep
        self.restored: Path | None = None  # by the last call of `restore`

    def save(
        self, number: int, tracked: tf.train.Checkpoint, progress: Mapping[str, Any], traces: Mapping[str, np.ndarray]
    ) -> None:
        """Writes checkpoint `number`, or the next one that is free.

        If the writer is killed, earlier checkpoints stay untouched. The same holds for a full disk, which raises an
        OSError that names the checkpoint; the partial checkpoint is removed.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        number = max([number, *(int(earlier.name) + 1 for earlier in self._numbered())])
        target, partial = self.folder / f"{number:08d}", self.folder / f"{number:08d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with writing(target):
                partial.mkdir()
                tracked.write(str(partial / "state"))
                np.savez(partial / "traces.npz", allow_pickle=False, **traces)
                (partial / "progress.json").write_text(json.dumps(progress, indent=1))
                files = {f.name: [f.stat().st_size, _crc(f)] for f in sorted(partial.iterdir())}
                (partial / "manifest.json").write_text(json.dumps(files, indent=1))
                partial.replace(target)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError) and str(error.filename).startswith(str(partial)):
                error.filename, error.filename2 = str(target), None  # the name that its user knows
            raise
        for old in self._numbered()[: -self.keep]:
            shutil.rmtree(old)

    def restore(
        self,
        tracked: tf.train.Checkpoint,
        check: Callable[[Mapping[str, Any]], str] = lambda progress: "",
        only: str | None = None,
    ) -> Progress | None:
        """Restores the newest whole checkpoint.

        Args:
            tracked: what the checkpoints hold.
            check: says what is wrong with a checkpoint's progress, or an empty string.
            only: the name of the one checkpoint to restore; None for the newest.

        Returns:
            Its progress and traces; None if no checkpoint is whole. One that is not is logged and skipped.

        Raises:
            InputError: a checkpoint of other variables, or TensorFlow's files cannot be read though they are what was
                written, and no earlier checkpoint is whole.
        """
        folders, unread = self._numbered(), ""
        if only is not None:
            folders = [folder for folder in folders if folder.name == only]
        self.restored = None
        for folder in reversed(folders):
            found = _read(folder, check)
            if isinstance(found, str):
                _fall_back(folder, found)
                continue
            # Every saved value must find its variable: another network or optimiser is an error here, not a surprise.
            try:
                tracked.read(str(folder / "state")).assert_existing_objects_matched()
            except (AssertionError, ValueError) as error:  # the latter if a shape differs
                raise InputError(
                    f"checkpoint {folder}: found different variables ({str(error).splitlines()[0]}), "
                    "expected those of this configuration"
                ) from error
            except tf.errors.OpError as error:
                unread = (error.message.splitlines() or [type(error).__name__])[0][:200]
                _fall_back(folder, unread)
                continue
            self.restored = folder
            return found
        if unread:  # some variables have values of a checkpoint, others have not
            raise InputError(f"{self.folder}: found no readable checkpoint ({unread}), expected one of a run")
        if folders:
            logging.warning("%s: no checkpoint is intact; training starts over", self.folder)
        return None

    def _numbered(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        found = (f for f in self.folder.iterdir() if f.name.isascii() and f.name.isdigit() and f.is_dir())
        return sorted(found, key=lambda f: int(f.name))


def restore_together(
    store: CheckpointStore, workers: Workers, tracked: tf.train.Checkpoint, check: Callable[[Mapping[str, Any]], str]
) -> Progress | None:
    """Restores the checkpoint that worker 0 finds newest and whole, on all workers; one process restores its own.

    Args:
        store: The checkpoints of the folder that all workers share.
        workers: The workers of the run.
        tracked: As in `CheckpointStore.restore`.
        check: As in `CheckpointStore.restore`.

    Returns:
        As `CheckpointStore.restore`.

    Raises:
        InputError: This worker cannot read that checkpoint, or its manifest is not that of worker 0.
    """
    found = store.restore(tracked, check) if workers.chief else None
    if store.folder is None or workers.count == 1:
        return found
    own = None if store.restored is None else [store.restored.name, _crc(store.restored / "manifest.json")]
    chosen = workers.agree("checkpoint", own)[0]
    if chosen and not workers.chief:
        name, digest = chosen
        manifest = store.folder / name / "manifest.json"
        expected = f"checkpoint {name} of worker 0 (manifest's CRC-32 {digest:08x})"
        if not manifest.is_file():
            raise InputError(f"{manifest}: found no file, expected {expected}")
        if _crc(manifest) != digest:
            raise InputError(f"{manifest}: found CRC-32 {_crc(manifest):08x}, expected {expected}")
        found = store.restore(tracked, check, only=name)
        if found is None:
            raise InputError(f"{manifest.parent}: found a checkpoint that cannot be read, expected {expected}")
    workers.agree("restored", None)
    return found


def _fall_back(folder: Path, fault: str) -> None:
    logging.warning("checkpoint %s is truncated or damaged (%s): falling back to the previous one", folder, fault)


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _read(folder: Path, check: Callable[[Mapping[str, Any]], str]) -> Progress | str:
    """Progress and traces of a checkpoint, or what is wrong with its files."""
    try:
        fault = _fault(folder, read_json(folder / "manifest.json", "the sizes of the checkpoint's files"))
        if fault:
            return fault
        progress = read_json(folder / "progress.json")
        wrong = check(progress)
        return f"progress.json: {wrong}" if wrong else (progress, read_npz(folder / "traces.npz"))
    except InputError as error:
        return str(error).removeprefix(f"{folder}/")
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


def _fault(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What is wrong with the files of a checkpoint, or an empty string."""
    for name in (*_NEEDED, "state.data-*"):
        if not any(Path(known).match(name) for known in manifest):
            return f"manifest.json: found no entry of {name}, expected one"
    for name, entry in manifest.items():
        if not _whole_numbers(entry) or Path(name).name != name:
            return f"manifest.json: {name}: found {entry!r}, expected a file's size and CRC-32"
        size, crc = entry
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            return f"{name}: found {found} bytes, expected {size}"
        if _crc(path) != crc:
            return f"{name}: found other contents than were written"
    return ""


def _whole_numbers(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(type(value) is int for value in entry)
