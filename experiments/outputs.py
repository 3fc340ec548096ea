"""Checks of `--out`: a program replaces only its own kind of file. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dseh_tf.data.files import is_there
from dseh_tf.errors import InputError
from dseh_tf.retrieval.search import is_index

# A folder with one of these files is a run folder, an export, or a folder of codes.
_MARKS = ("config.json", "model.json", "encode.json")
_READ = (*_MARKS, "result.json", "summary.json")


def check_answers(out: Path, images: Sequence[Path] = ()) -> None:
    """Raises InputError if a file of answers would replace a file of a run, an export or codes, or one of the images."""
    if not is_there(out):
        return
    if out.name in _READ and any(is_there(out.parent / name) for name in _MARKS):
        raise InputError(f"--out: found {out}, a file of a run, an export or codes, expected another name")
    if any(out.samefile(image) for image in images if is_there(image)):
        raise InputError(f"--out: found {out}, which is one of the images, expected another name")


def check_index(out: Path) -> None:
    """Raises InputError if an index would replace a file that is not an index."""
    if out.is_file() and not is_index(out):
        raise InputError(f"--out: found {out}, which is not an index, expected an index to replace, or a new name")
