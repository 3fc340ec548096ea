"""How programs fail: one line on standard error, exit code 2."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import absl.logging
import numpy as np
import pytest

from dseh_tf.errors import InputError
from experiments import program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(monkeypatch):
    def _call(failure: Exception, *arguments: str) -> None:
        def main(_):
            raise failure

        monkeypatch.setattr(program.app, "run", lambda guarded, **_: guarded(["program", *arguments]))
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


def test_names_that_the_terminal_has_no_letters_for():
    """Ids are of any letters; a terminal, or a file that the output goes to, may have ASCII only."""
    script = "from experiments import program; program.run(lambda _: print('sea \\u65e5 \\udce9'))"
    for encoding in ("ascii", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        shown = "\u65e5".encode() if encoding == "utf-8" else b"\\u65e5"
        assert done.stdout == b"sea " + shown + b" \\udce9\n"


def test_an_allocation_that_fails_is_one_line(call, capsys, tf):
    """Python's, numpy's and TensorFlow's own errors, as each raises them."""

    def raised(allocate) -> Exception:
        with pytest.raises(Exception) as error:
            allocate()
        return error.value

    for allocate, what in (
        (lambda: [0] * 2**60, "what was asked for"),
        (lambda: np.empty(10**14), r"728\. TiB for an array with shape \(100000000000000,\) and data type float64"),
        (lambda: tf.zeros((10**8, 10**6)), r"a tensor of shape \[100000000,1000000\]"),
        (
            lambda: tf.function(lambda n: tf.random.normal((n, n)))(tf.constant(10**7)),
            r"a tensor of shape \[10000000,10000000\]",
        ),
    ):
        failure = raised(allocate)
        assert isinstance(failure, (MemoryError, tf.errors.ResourceExhaustedError))
        with pytest.raises(SystemExit) as stop:
            call(failure)
        assert stop.value.code == 2
        assert re.fullmatch(
            rf"error: memory: found too little for {what}, expected enough; use .*\n", capsys.readouterr().err
        )


def test_a_full_disk_is_no_lack_of_memory(tf):
    error = tf.errors.ResourceExhaustedError(None, None, "checkpoints/ckpt-1.index; No space left on device")
    assert program.out_of_memory(error) is None
    assert program.out_of_memory(tf.errors.InternalError(None, None, "tensor with shape[3]")) is None


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
        ("tensorflow/dseh_tf/methods/dseh/reports.py", logging.INFO, True),
    ],
)
def test_tensorflows_chatter_is_left_out(call, monkeypatch, path, level, told):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with pytest.raises(SystemExit):
        call(InputError("bits: found 0, expected 1"))
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    record = logging.LogRecord("absl", level, path, 1, "a line", None, None)
    assert bool(absl.logging.get_absl_logger().filter(record)) == told


def test_ctrl_c_is_one_line(call, capsys):
    with pytest.raises(SystemExit) as stop:
        call(KeyboardInterrupt())
    assert stop.value.code == 130 and capsys.readouterr().err == "stopped\n"


def _start(body: str, **how) -> subprocess.Popen:
    code = f"import os, subprocess, sys, time\nfrom experiments import program\ndef main(_):\n    {body}\nprogram.run(main)\n"
    return subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], text=True, **how)


def test_a_reader_that_goes_away_is_no_traceback():
    child = _start("print('x' * 10**6)", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.wait(60) == 141 and child.stderr.read() == ""


def test_a_program_ends_with_the_process_that_started_it(monkeypatch):
    """Started with `child_environment` by a process that is killed; a program started without it goes on."""
    monkeypatch.delenv(program._PARENT, raising=False)
    child = (
        "[sys.executable, '-c', 'from experiments import program; import time; program.run(lambda _: time.sleep(60))']"
    )
    started = f"{{}} = subprocess.Popen({child}, env={{}}, start_new_session=True, stdout=subprocess.DEVNULL)"
    both = "; ".join((started.format("a", "program.child_environment()"), started.format("b", "None")))
    parent = _start(f"{both}; print(a.pid, b.pid, flush=True); time.sleep(60)", stdout=subprocess.PIPE)
    bound, free = map(int, parent.stdout.readline().split())
    try:
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 30
        while _alive(bound):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _alive(free)
    finally:
        for pid in filter(_alive, (bound, free)):
            os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


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
