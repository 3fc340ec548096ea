"""Programs of `experiments/` in processes forked from one that has imported TensorFlow and not used it yet.

A process of its own is what a kill or a limit on files needs; the import, which takes longer than a small run, is done once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")


@dataclass(frozen=True)
class Moment:
    """When a process is killed.

    Attributes:
        event: After how many changes of its folder: a file opened to be written, renamed or removed, a folder made or removed.
        delay: Seconds after that change; at 0 the process dies before it makes the change.
    """

    event: int
    delay: float


@dataclass
class Ended:
    """Attributes:
    status: The exit code; -9 after SIGKILL.
    output: What the process wrote to standard output and standard error.
    changes: Of the folder that was watched: seconds from the start, and which file or folder.
    seconds: How long it ran.
    """

    status: int
    output: str
    changes: list[tuple[float, str]]
    seconds: float


def start(act: Callable[[], None], log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Forks a process that calls `prepare` and `act`, with its output in `log`; returns its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        prepare()
        act()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def wait(child: int) -> int:
    """The exit code of a process, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def program(module: str, arguments: Sequence[str]) -> Callable[[], None]:
    """What `python -m MODULE ARGUMENTS` does, for `start`."""

    def act() -> None:
        from importlib import import_module

        from experiments import program as programs

        sys.argv = [module, *arguments]
        programs.run(import_module(module).main)

    return act


def watched(
    act: Callable[[], None],
    folder: Path,
    log: Path,
    moment: Moment | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Ended:
    """Runs `act` in a process of its own until it ends, or is killed at a moment.

    Args:
        act: What the process does.
        folder: Whose changes are counted.
        log: Where its output goes.
        moment: When it is killed; None lets it end.
        prepare: Called in the process before `act`.
    """
    told, tell = os.pipe()
    begun = time.monotonic()

    def prepare_watched() -> None:
        os.close(told)
        prepare()
        count = 0

        def changed(path: str) -> None:
            nonlocal count
            count += 1
            if moment and not moment.delay and count == moment.event:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(tell, f"{path}\n".encode())

        _on_change(folder, changed)

    child = start(act, log, prepare_watched)
    os.close(tell)
    changes: list[tuple[float, str]] = []
    kill_at = begun + moment.delay if moment and not moment.event else None
    lines = os.fdopen(told, "rb", buffering=0)
    while True:
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        if not select.select([lines], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            kill_at = None
            continue
        line = lines.readline()
        if not line:  # the process has ended
            break
        changes.append((time.monotonic() - begun, line.decode().rstrip("\n")))
        if moment and moment.delay and len(changes) == moment.event:
            kill_at = time.monotonic() + moment.delay
    lines.close()
    status = wait(child)
    return Ended(status, log.read_text(errors="replace"), changes, time.monotonic() - begun)


def limit_files(size: int) -> None:
    """No file of this process grows beyond `size` bytes: the operating system refuses, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_permissions() -> None:
    """Takes from a process of root the right to write where permissions forbid it (Linux: CAP_DAC_OVERRIDE)."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for place in (0, 1):  # effective, permitted
        sets[place] &= ~0b110
    assert libc.capset(header, sets) == 0


def _on_change(folder: Path, changed: Callable[[str], None]) -> None:
    """Calls `changed` with the path before every change that Python code makes in a folder; libraries' own are not seen."""
    within = str(folder)

    def heard(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, opened = arguments
            if not isinstance(opened, int) or not opened & _WRITES:
                return
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(within):
            changed(os.fspath(path))

    sys.addaudithook(heard)
