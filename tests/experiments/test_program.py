"""How programs fail: one line on standard error, exit code 2."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import absl.logging
import pytest

from dseh_tf.errors import InputError
from experiments import program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(monkeypatch):
    def _call(failure: Exception, *arguments: str) -> None:
        def main(_):
            raise failure

        monkeypatch.setattr(program.app, "run", lambda guarded: guarded(["program", *arguments]))
        program.run(main)

    return _call


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (InputError("bits: found 0, expected 1"), "error: bits: found 0, expected 1\n"),
        (PermissionError(errno.EACCES, "Permission denied", "data/pixels"), "error: data/pixels: Permission denied\n"),
        (FileExistsError(errno.EEXIST, "File exists", "x"), "error: x: found a file in its place, expected a folder\n"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "runs/x"),
            "error: runs/x: found a file among the folders above it, expected folders\n",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", ".x.partial", None, "x"),
            "error: x: found a folder in its place, expected a file\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "codes.npz"), "error: codes.npz: No space left on device\n"),
    ],
)
def test_bad_input_and_a_disk_that_refuses(call, capsys, failure, line):
    with pytest.raises(SystemExit) as stop:
        call(failure)
    assert stop.value.code == 2 and capsys.readouterr().err == line


def test_what_is_no_flag(call, capsys):
    with pytest.raises(SystemExit) as stop:
        call(AssertionError("not reached"), "bits=3")
    assert stop.value.code == 2 and "found 'bits=3', expected flags only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "level", "told"),
    [
        ("lib/site-packages/tensorflow/python/checkpoint/functional_saver.py", logging.INFO, False),
        ("lib/site-packages/tensorflow/python/checkpoint/functional_saver.py", logging.WARNING, True),
        ("lib/site-packages/tensorflow_datasets/core/reader.py", logging.INFO, False),
        ("tensorflow/dseh_tf/training/alternating.py", logging.INFO, True),
    ],
)
def test_tensorflows_chatter_is_left_out(call, monkeypatch, path, level, told):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with pytest.raises(SystemExit):
        call(InputError("bits: found 0, expected 1"))
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    record = logging.LogRecord("absl", level, path, 1, "a line", None, None)
    assert bool(absl.logging.get_absl_logger().filter(record)) == told


def test_a_reader_that_wants_no_more():
    """`| head` ends a program without a traceback; a full disk below standard output is one line."""
    code = "from experiments import program; program.run(lambda _: [print('line') for _ in range(100_000)])"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "line\n"
    child.stdout.close()
    assert child.stderr.read() == "" and child.wait() == 1
    child.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_on_a_full_disk():
    code = "from experiments import program; program.run(lambda _: print('line'))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


def test_other_failures_keep_their_traceback(call):
    for failure in (ValueError("ours"), FileNotFoundError(errno.ENOENT, "No such file", "x")):
        with pytest.raises(type(failure)):
            call(failure)
