"""Runs the runs of a suite as child processes, several at a time, and updates their table."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.runs import check_same, locks, read_config, read_map
from experiments import program
from experiments.suite_table import State, Table
from experiments.suites import SuiteRun

PROGRAM = (sys.executable, "-m", "experiments.run")
_PROMPT = "$ "
_PAUSE = 0.1  # seconds between two looks at the children
_GRACE = 10.0  # seconds that a child is given to end


@dataclass
class Runner:
    """Attributes:
    arguments: The flags of every run, in order.
    folder: Where the run folders are made.
    jobs: How many run at a time.
    table: What is shown.
    resolve: Returns, for each list of flags, the configuration that experiments.run makes of it, or the line that says
        why there is none. A finished run is counted only if its config.json is of this configuration.
    """

    arguments: Mapping[SuiteRun, Sequence[str]]
    folder: Path
    jobs: int
    table: Table
    resolve: Callable[[Sequence[Sequence[str]]], list[dict[str, Any] | str]]
    failures: dict[SuiteRun, str] = field(default_factory=dict)
    _children: dict[SuiteRun, tuple[subprocess.Popen, int, float]] = field(default_factory=dict)
    _held: set[SuiteRun] = field(default_factory=set)

    def run(self) -> dict[SuiteRun, str]:
        """Runs all that is not finished and returns those that failed with their reasons.

        However it ends, its children end too: if this process is killed, they notice it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_finished([run for run in self.arguments if self._finished(run)], "finished before")
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
            # The child inherits the lock with the file: nobody begins the same run next to it, even where this process
            # was killed and the child has not yet noticed.
            try:
                locks.lock(log.fileno())
            except BlockingIOError:
                if run not in self._held:
                    self._held.add(run)
                    self.table.change(run, State.WAITING, "another process is at this run; waiting for it to end")
                return
            if self._finished(run):
                self._take_finished([run], "finished by another process")
                return
            log.write(f"{_PROMPT}{shlex.join(command)}\n".encode())
            log.flush()
            begins = log.tell()
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=program.child_environment(),
            )  # fmt: skip
        self._children[run] = child, begins, time.monotonic()
        resumed = "resumed" if (self.folder / run.name / "checkpoints").exists() else ""
        self.table.change(run, State.RUNNING, resumed)

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

    def _take_finished(self, runs: Sequence[SuiteRun], note: str) -> None:
        """Counts runs that are finished, unless a different configuration made them."""
        for run, config in zip(runs, self.resolve([self.arguments[run] for run in runs]) if runs else [], strict=True):
            if isinstance(config, str):
                self._fail(run, config)
                continue
            folder = self.folder / run.name
            try:
                before = read_config(folder)
                check_same(folder / "config.json", before, config)
            except InputError as error:
                self._fail(run, str(error).replace("--workdir", "--runs"))
                continue
            other = before.get("git_commit") != config.get("git_commit")
            self._take(run, f"{note}, at another commit" if other else note)

    def _take(self, run: SuiteRun, note: str) -> None:
        """Counts a finished run, unless its result cannot be read."""
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
