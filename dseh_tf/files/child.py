"""Reads a file in a separate process, for compiled readers that a damaged file can crash or keep busy forever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from dseh_tf.errors import InputError

PATIENCE = 60  # seconds that a child has in addition to those for the size of its file
_PACKAGE = str(Path(__file__).parents[2])


def read_in_child(path: Path, code: str, *arguments: str, patience: int = PATIENCE, expected: str) -> bytes:
    """What Python `code` writes to standard output, with the path and `arguments` as its arguments.

    Args:
        path: The file that it reads.
        code: Ends with exit code 0 if it writes a result, or the message on a file that is wrong.
        arguments: Further arguments.
        patience: Time limit in seconds, in addition to one second per MiB of the file.
        expected: What the file should be, for the error.

    Raises:
        InputError: The process was ended by a signal, took too long, or ended with another exit code.
    """
    paths = [_PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])]
    seconds = patience + (path.stat().st_size >> 20 if path.is_file() else 0)  # a MiB per second of a slow disk
    try:
        child = subprocess.run(
            [sys.executable, "-c", code, str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        how = f"no end in {seconds} s"
    else:
        if not child.returncode:
            return child.stdout
        how = _ending(child.returncode)
    raise InputError(f"{path}: found a damaged file that its reader fails on ({how}), expected {expected}")


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
