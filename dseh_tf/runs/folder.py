"""The folder of a run: its lock, and the configuration that it belongs to."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import logging

from dseh_tf.errors import InputError
from dseh_tf.files import PARTIAL, json_text, read_json, write_json
from dseh_tf.runs import locks, schema

_LOCK = ".lock"  # only on Windows
_BEGUN = ("checkpoints", "codes.npz", "codes", "result.json", "imgnet.keras", "encoder.npz")


@contextmanager
def held(workdir: Path, flag: str = "workdir", work: str = "a run") -> Iterator[None]:
    """Makes the folder and locks it against other processes inside the block.

    Half-written files of a killed process are removed, because no other process can be writing here.

    On POSIX the folder itself is locked. On Windows a file `.lock` in it is locked, and is removed afterwards. If the
    file system has no locks, a warning is logged and nothing is locked.

    Args:
        workdir: The folder.
        flag: The flag that names it, for messages.
        work: What is done in it, for messages.

    Raises:
        InputError: Another process works in the folder, or the folder cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{flag}: {workdir}: found a file in its place, expected a folder") from None
    except OSError as error:
        raise InputError(f"{flag}: {workdir}: cannot be made ({error.strerror}), expected a writable folder") from None
    file = os.open(workdir, os.O_RDONLY) if locks.LOCKS_FOLDERS else os.open(workdir / _LOCK, os.O_RDWR | os.O_CREAT)
    try:
        try:
            locks.lock(file)
            _remove_partial(workdir)
        except BlockingIOError:
            raise InputError(
                f"{workdir}: another process is working on {work} here; choose a different --{flag}"
            ) from None
        except OSError as error:
            logging.warning("%s: cannot be locked (%s); do not start a second process in it", workdir, error.strerror)
        yield
    finally:
        os.close(file)
        if not locks.LOCKS_FOLDERS:
            with contextlib.suppress(OSError):  # another process has opened it
                (workdir / _LOCK).unlink()


def _remove_partial(workdir: Path) -> None:
    for left in workdir.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):  # of a folder that is read-only
            left.unlink()


def open_workdir(workdir: Path, config: Mapping[str, Any]) -> bool:
    """Writes `config.json` into the folder, or checks that the folder belongs to the same configuration.

    A run that failed before its first checkpoint is replaced.

    Args:
        workdir: The run folder.
        config: The resolved configuration, without `format` and `identity`.

    Returns:
        Whether the run in the folder is finished.

    Raises:
        InputError: Naming the first field that differs or cannot be read. Nothing is written then.
    """
    path = workdir / "config.json"
    if path.exists() and any((workdir / name).exists() for name in _BEGUN):
        before, now = schema.read_config(workdir), json.loads(json_text(config, indent=None))
        check_same(path, before, now)
        for name in schema.PROGRAMS:
            if before.get(name) != now.get(name):
                found, expected = _difference(before.get(name), now.get(name))
                logging.warning("%s: %s: begun with %s, now %s", path, name, found, expected)
        if not (workdir / "result.json").exists():
            return False
        schema.read_result(workdir)
        return True
    if path.exists() and not {"identity", "settings", "method"} & read_json(path).keys():
        raise InputError(f"{path}: found another program's file, expected an empty folder or a run's")
    if workdir.exists() and not path.exists() and entries(workdir):
        raise InputError(f"{workdir}: found files but no config.json, expected an empty folder or a run's")
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, schema.stamped(config))
    return False


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Checks that two configurations are of the same run.

    Args:
        path: The file that `before` was read from, for the message.
        before: The content of a `config.json` of any format.
        now: A resolved configuration, as JSON holds it.

    Raises:
        InputError: Naming the first field that differs.
    """
    if before.get("identity") == schema.identity(now):
        return
    before_fields, now_fields = schema.resolved(before), schema.resolved(now)
    for name in sorted(before_fields | now_fields):
        unknown = name in schema.ADDED and name not in before
        if not unknown and before_fields.get(name) != now_fields.get(name):
            found, expected = _difference(before.get(name), now.get(name))
            raise InputError(f"{path}: {name}: found {found}, expected {expected}; choose another --workdir")


def entries(workdir: Path) -> list[str]:
    """The names of what is in a run folder, without files that are being written and the lock."""
    return sorted(entry.name for entry in workdir.iterdir() if not entry.name.startswith((PARTIAL, _LOCK)))


def listing(workdir: Path) -> str:
    """The names of what is in a run folder, for people."""
    return ", ".join(f"{name}/" if (workdir / name).is_dir() else name for name in entries(workdir))


def _difference(before: Any, now: Any) -> tuple[str, str]:
    """The differing parts of two values; of two objects, those of the first field that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(set(before) | set(now)):
            if before.get(name) != now.get(name):
                return f"{name}={before.get(name)!r}", f"{name}={now.get(name)!r}"
    return repr(before), repr(now)
