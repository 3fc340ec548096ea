"""Checks a file before it is opened, and reads JSON."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(file: Path) -> str | None:
    """What `file` is if it is not a regular file ("a named pipe"); None for a regular file. Links are followed.

    Reading from a pipe or a device may block forever, so this is called before `open`. Raises OSError or ValueError
    like `Path.stat`.
    """
    mode = file.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")


def check_regular(file: Path, expected: str = "a regular file") -> None:
    """Raises InputError if `file` is missing, cannot be looked at, or is not a regular file."""
    try:
        kind = irregular(file)
    except FileNotFoundError:
        raise InputError(f"{file}: found no such file, expected {expected}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({reason(error)}), expected {expected}") from None
    if kind is not None:
        raise InputError(f"{file}: found {kind}, expected {expected}")


def read_json(path: Path | str, expected: str = "a run folder's") -> dict[str, Any]:
    """Reads the object in a JSON file. Raises InputError if the file is missing, damaged, or does not contain an
    object."""
    path = Path(path)
    check_regular(path, expected)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: found a file that cannot be read ({error.strerror}), expected {expected}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: found invalid JSON ({reason(error)}), expected JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found {type(value).__name__}, expected a JSON object")
    return value


def reason(error: Exception) -> str:
    """One short line that describes an error of another library."""
    if isinstance(error, MemoryError):
        return "more than the memory holds"
    if isinstance(error, OSError) and error.errno is not None and error.errno != errno.EINVAL:
        return os.strerror(error.errno)
    lines = str(error).splitlines()
    return printable(lines[0])[:160] if lines and lines[0].strip() else type(error).__name__


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
