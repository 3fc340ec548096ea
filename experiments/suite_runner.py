"""Starts a suite's runs as child processes, so many at a time, and keeps the table of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dseh_tf.data.readers import image_folder, image_lists
from dseh_tf.errors import InputError
from dseh_tf.runs import read_config, read_map
from experiments import program
from experiments.run_folder import environment
from experiments.suite_table import State, Table
from experiments.suites import SuiteRun

PROGRAM = (sys.executable, "-m", "experiments.run")
_PROMPT = "$ "
_PAUSE = 0.1  # seconds between two looks at the children
_GRACE = 10.0  # seconds that a child is given to end
# Flags that say how or where a run is executed; another value of them is still the same run.
_FREE = ("data_dir", "images_root", "workdir", "strategy", "replicas", "progress", "noprogress")


@dataclass
class Runner:
    """arguments: of every run, in order. folder: where the run folders are made. jobs: how many run at a time."""

    arguments: Mapping[SuiteRun, tuple[str, ...]]
    folder: Path
    jobs: int
    table: Table
    failures: dict[SuiteRun, str] = field(default_factory=dict)
    _children: dict[SuiteRun, tuple[subprocess.Popen, int, float]] = field(default_factory=dict)
    _held: set[SuiteRun] = field(default_factory=set)
    _commit: str = field(default_factory=lambda: environment()["git_commit"])

    def run(self) -> dict[SuiteRun, str]:
        """Runs all that is not finished and returns those that failed with their reasons.

        However it is left, no child of it goes on: where this process is killed, they notice it and end.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for run in self.arguments:
            if self._finished(run) and not self._to_check(run):
                self._take(run, "finished before")
        try:
            while self._left():
                self._start_more()
                time.sleep(_PAUSE)
                self._collect()
        finally:
            self._end_children()
        return self.failures

    def _left(self) -> bool:
        return any(state in (State.WAITING, State.RUNNING) for state in self.table.states.values())

    def _start_more(self) -> None:
        for run, state in list(self.table.states.items()):
            if len(self._children) >= self.jobs:
                return
            if state is State.WAITING and self._prepared(run.dataset):
                self._start(run)

    def _prepared(self, dataset: str) -> bool:
        """Whether one more run of the data set may start: two first ones would both extract its features."""
        states = [state for run, state in self.table.states.items() if run.dataset == dataset]
        return State.DONE in states or State.RUNNING not in states

    def _start(self, run: SuiteRun) -> None:
        command = [*PROGRAM, *self.arguments[run], "--noprogress", f"--workdir={self.folder / run.name}"]
        with self._log(run).open("ab") as log:
            # The child inherits the lock with the file: nobody begins the same run beside it, even where this process
            # was killed and the child has not yet noticed.
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if run not in self._held:
                    self._held.add(run)
                    self.table.change(run, State.WAITING, "another process is at this run; waiting for it to end")
                return
            if self._finished(run) and not self._to_check(run):
                self._take(run, "finished by another process")
                return
            checked = self._finished(run)
            log.write(f"{_PROMPT}{shlex.join(command)}\n".encode())
            log.flush()
            begins = log.tell()
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=program.child_environment(),
            )  # fmt: skip
        self._children[run] = child, begins, time.monotonic()
        resumed = "resumed" if (self.folder / run.name / "checkpoints").exists() else ""
        self.table.change(run, State.RUNNING, "finished before; whether it is the same run is asked" if checked else resumed)

    def _collect(self) -> None:
        for run, (child, begins, started) in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[run]
            if code == 0 and self._finished(run):
                self._take(run, f"{time.monotonic() - started:.0f} s")
            else:
                self._fail(run, _reason(self._log(run), begins, code))

    def _to_check(self, run: SuiteRun) -> bool:
        """Whether a finished run of the same command may still be another run: made by other code, or of other lists.

        Then experiments.run is asked, which compares all that it resolved, and answers without training.
        """
        path = self.folder / run.name / "config.json"
        if self._refusal(run) or not path.is_file():
            return False
        try:
            config = read_config(path.parent)
        except InputError:  # experiments.run says what is wrong with it, as of a run that fails
            return True
        known = {"git_commit": self._commit}
        lists = [item.partition("=")[2] for item in self.arguments[run] if item.startswith("--lists_dir=")]
        if lists and "lists" in config:
            known["lists"] = image_lists.digest(Path(lists[-1]))
        roots = [item.partition("=")[2] for item in self.arguments[run] if item.startswith("--images_root=")]
        if roots and "folder_files" in config:
            known["folder_files"] = image_folder.digest(Path(roots[-1]))
        return any(config.get(name, value) != value for name, value in known.items())

    def _refusal(self, run: SuiteRun) -> str | None:
        """Why a finished run is not this suite's: another command made it, or nobody knows which."""
        before = _last_command(self._log(run))
        if before is None:
            return "finished by a command that is not known, as it has no .log; choose another --runs"
        changed = meaning(before) ^ meaning([*PROGRAM, *self.arguments[run]])
        return f"finished by a command that differs in {', '.join(sorted(changed))}; choose another --runs" if changed else None

    def _take(self, run: SuiteRun, note: str) -> None:
        """Counts a finished run, unless another command made it or its result cannot be read."""
        refusal = self._refusal(run)
        if refusal:
            self._fail(run, refusal)
            return
        try:
            score = read_map(self.folder / run.name)
        except InputError as error:
            self._fail(run, str(error))
            return
        self.table.change(run, State.DONE, note, score)

    def _fail(self, run: SuiteRun, reason: str) -> None:
        self.failures[run] = reason
        self.table.change(run, State.FAILED, reason)

    def _end_children(self) -> None:
        for child, _, _ in self._children.values():
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for child, _, _ in self._children.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.wait()

    def _finished(self, run: SuiteRun) -> bool:
        return (self.folder / run.name / "result.json").exists()

    def _log(self, run: SuiteRun) -> Path:
        return self.folder / f"{run.name}.log"


def _signal(child: subprocess.Popen, number: signal.Signals) -> None:
    """To the child and whatever it started: it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _reason(log: Path, begins: int, code: int) -> str:
    """Why a run failed: its last `error:` line, or how it ended and the last it said."""
    with log.open("rb") as file:
        file.seek(begins)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    if errors:
        return errors[-1]
    if code == 0:
        return "ended without a result.json"
    try:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        how = f"killed by signal {-code}"
    return f"{how}: {lines[-1]}" if lines else how


def _last_command(log: Path) -> list[str] | None:
    """The command that a log tells last; None where there is no log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    told = [line.removeprefix(_PROMPT) for line in lines if line.startswith(f"{_PROMPT}{PROGRAM[0]} ")]
    return shlex.split(told[-1]) if told else None


def meaning(command: Sequence[str]) -> set[str]:
    """The flags that say what is computed; of a path to lists only the folder's name, as the figures tell them apart.

    Where the images are is free, but of an image_folder they are the data.
    """
    free = [name for name in _FREE if name != "images_root" or "--dataset=image_folder" not in command]
    kept = set()
    for item in command:
        name, equals, value = item.removeprefix("--").partition("=")
        if item.startswith("--") and name not in free:
            kept.add(f"--{name}{equals}{Path(value).name if name == 'lists_dir' else value}")
    return kept
