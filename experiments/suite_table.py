"""The live table of a suite: redrawn in place on a terminal; elsewhere, one line per change of state."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from enum import Enum
from typing import TextIO

from experiments.suites import SuiteRun


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Table:
    """The state of every run. A cell shows the mean MAP of the finished seeds, their number, `>` for running, `x` for
    failed."""

    def __init__(self, runs: Sequence[SuiteRun], stream: TextIO) -> None:
        self.states = {run: State.WAITING for run in runs}
        self._maps: dict[SuiteRun, float] = {}
        self._stream = stream
        self._started = time.monotonic()
        self._drawn = 0

    def change(self, run: SuiteRun, state: State, note: str = "", score: float | None = None) -> None:
        """Sets the state of a run; `score` is its MAP, `note` a remark."""
        self.states[run] = state
        if score is not None:
            self._maps[run] = score
        lines = self.text().splitlines()
        size = shutil.get_terminal_size()
        fits = len(lines) < size.lines and max(map(len, lines)) <= size.columns
        if self._stream.isatty() and fits:
            up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
            print(up + "\n".join(lines), file=self._stream, flush=True)
            self._drawn = len(lines)
            return
        finished = sum(s in (State.DONE, State.FAILED) for s in self.states.values())
        told = "" if score is None else f"MAP {score:.4f}"
        parts = (f"[{finished}/{len(self.states)}]", f"{state.value:8}", run.name, told, note)
        print(" ".join(part for part in parts if part), file=self._stream, flush=True)

    def close(self) -> None:
        """Prints the final table, unless it is already on the terminal."""
        if not self._drawn:
            print(self.text(), file=self._stream, flush=True)

    def text(self) -> str:
        """The whole table as plain text, its counts in the last line."""
        lengths = sorted({run.bits for run in self.states})
        rows = dict.fromkeys((run.dataset, run.method) for run in self.states)
        cells = [["data set", "method", *(f"{n} bits" for n in lengths)]]
        cells += [[*row, *(self._cell(*row, n) for n in lengths)] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        count = {state: sum(s is state for s in self.states.values()) for state in State}
        seconds = int(time.monotonic() - self._started)
        counted = ", ".join(f"{count[state]} {state.value}" for state in State if count[state])
        clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        lines.append(f"{len(self.states)} run{'' if len(self.states) == 1 else 's'}: {counted}; {clock}")
        return "\n".join(lines)

    def _cell(self, dataset: str, method: str, bits: int) -> str:
        runs = [r for r in self.states if (r.dataset, r.method, r.bits) == (dataset, method, bits)]
        found = [self._maps[run] for run in runs if run in self._maps]
        mean = f"{statistics.fmean(found):.4f}" if found else "-"
        states = [self.states[run] for run in runs]
        marks = ">" * states.count(State.RUNNING) + "x" * states.count(State.FAILED)
        return f"{mean} {states.count(State.DONE)}/{len(runs)} {marks}".rstrip()
