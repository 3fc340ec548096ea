"""Programs of `experiments/` in processes forked from one that has imported TensorFlow and not used it yet.

A process of its own is what a kill or a limit on files needs; the import, which takes longer than a small run, is done once.
"""

from __future__ import annotations

import contextlib
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
    times: Seconds from its start to each change of the folder that was watched.
    seconds: How long it ran.
    """

    status: int
    output: str
    times: list[float]
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
    act: Callable[[], None], folder: Path, log: Path, moment: Moment | None = None, limit: int | None = None
) -> Ended:
    """Runs `act` in a process of its own until it ends, or is killed at a moment.

    Args:
        act: What the process does.
        folder: Whose changes are counted.
        log: Where its output goes.
        moment: When it is killed; None lets it end.
        limit: The largest file that it may write, in bytes: beyond, the operating system refuses as a full disk does.
    """
    told, tell = os.pipe()
    begun = time.monotonic()

    def prepare() -> None:
        os.close(told)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        count = 0

        def changed() -> None:
            nonlocal count
            count += 1
            if moment and not moment.delay and count == moment.event:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(tell, b".")

        _on_change(folder, changed)

    child = start(act, log, prepare)
    os.close(tell)
    times: list[float] = []
    kill_at = begun + moment.delay if moment and not moment.event else None
    while True:
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        if not select.select([told], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            kill_at = None
            continue
        read = os.read(told, 1)
        if not read:  # the process has ended
            break
        times.append(time.monotonic() - begun)
        if moment and moment.delay and len(times) == moment.event:
            kill_at = time.monotonic() + moment.delay
    os.close(told)
    status = wait(child)
    return Ended(status, log.read_text(errors="replace"), times, time.monotonic() - begun)


def _on_change(folder: Path, changed: Callable[[], None]) -> None:
    """Calls `changed` before every change that Python code makes in a folder. TensorFlow's and HDF5's are not seen."""
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
            changed()

    sys.addaudithook(heard)
