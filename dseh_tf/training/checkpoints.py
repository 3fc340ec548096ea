"""Checkpoints that are whole or not there, and a fall-back to the one before."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from dseh_tf.errors import InputError


class CheckpointStore:
    """Numbered checkpoint folders; the newest `keep` stay.

    A checkpoint is a folder `<number>` with TensorFlow's files, `progress.json`, `traces.npz` and `manifest.json`, which
    names size and CRC-32 of each of the others. It is written under another name and renamed.
    """

    def __init__(self, folder: Path | None, keep: int = 3) -> None:
        self.folder = folder
        self.keep = keep

    def save(
        self, number: int, tracked: tf.train.Checkpoint, progress: Mapping[str, Any], traces: Mapping[str, np.ndarray]
    ) -> None:
        """Writes checkpoint `number`, or the next one that is free; a killed writer leaves the earlier ones untouched."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        number = max([number, *(int(earlier.name) + 1 for earlier in self._numbered())])
        target, partial = self.folder / f"{number:08d}", self.folder / f"{number:08d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        tracked.write(str(partial / "state"))
        np.savez(partial / "traces.npz", **traces)
        (partial / "progress.json").write_text(json.dumps(progress, indent=1))
        files = {f.name: [f.stat().st_size, _crc(f)] for f in sorted(partial.iterdir())}
        (partial / "manifest.json").write_text(json.dumps(files, indent=1))
        partial.replace(target)
        for old in self._numbered()[: -self.keep]:
            shutil.rmtree(old)

    def restore(self, tracked: tf.train.Checkpoint) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Restores the newest whole checkpoint and returns its progress and traces, or None where there is none.

        One that is cut short is named and passed over.
        """
        for folder in reversed(self._numbered()):
            fault = _fault(folder)
            if fault:
                logging.warning("checkpoint %s is cut short (%s): falling back to the one before", folder, fault)
                continue
            # Every saved value must find its variable: another network or optimiser is an error here, not a surprise.
            try:
                tracked.read(str(folder / "state")).assert_existing_objects_matched()
            except (AssertionError, ValueError) as error:  # the latter where a shape is another
                raise InputError(
                    f"checkpoint {folder}: found other variables ({str(error).splitlines()[0]}), "
                    "expected those of this configuration"
                ) from error
            progress = json.loads((folder / "progress.json").read_text())
            with np.load(folder / "traces.npz", allow_pickle=False) as saved:
                return progress, {name: saved[name] for name in saved.files}
        return None

    def _numbered(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(f for f in self.folder.iterdir() if f.name.isdigit())


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _fault(folder: Path) -> str:
    """What is wrong with the files of a checkpoint, or an empty string."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return "manifest.json: found none that can be read"
    for name, (size, crc) in manifest.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            return f"{name}: found {found} bytes, expected {size}"
        if _crc(path) != crc:
            return f"{name}: found other contents than were written"
    return ""
