"""Writes files atomically: under a temporary name first, which is then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.errors import disk_errno

PARTIAL = ".partial-"  # how the name of a file begins until it is whole


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Adds the name of the file that is being written to disk errors inside the block.

    On a full disk, zipfile, numpy and Pillow raise errors without a file name, `numpy.save` without an errno, and
    TensorFlow a `tf.errors.OpError`. All of them leave the block as an OSError with both, which programs print as one
    line (`dseh_tf.errors.refusal`).
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        number = disk_errno(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def replacing(path: Path | str, mark: str | None = None) -> Iterator[Path]:
    """Yields a temporary name next to `path`. If the block ends without an error, the file is renamed to `path`,
    otherwise it is removed.

    An existing file stays until then. The temporary name has the same suffix as `path`.

    Args:
        path: The final name.
        mark: Distinguishes writers of the same file; random by default.
    """
    path = Path(path)
    # Not the process id: processes of several machines, which may have the same one, write to a shared folder.
    temporary = path.with_name(f"{PARTIAL}{mark or secrets.token_hex(4)}-{path.name}")
    with writing(path):
        try:
            yield temporary
            temporary.replace(path)
        except OSError as error:
            if error.filename is not None and os.fspath(error.filename) == str(temporary):
                error.filename, error.filename2 = str(path), None  # the name that its user knows
            raise
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Mapping[str, Any]) -> None:
    """Writes an object as JSON atomically."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Any, indent: int | None = 1) -> str:
    """JSON of plain values, numpy scalars, paths, tuples and sets (both lists in JSON, sets sorted)."""
    return json.dumps(value, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def write_npz(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to a compressed npz file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
