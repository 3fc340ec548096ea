"""Kills runs at random moments, resumes them, and compares what they leave with undisturbed runs.

    python -m tests.faults.soak [--kills=30] [--seed=N] [--keep=FOLDER] [--only=suite]

A moment is drawn over the life of a run: half of them evenly over time, half over the changes that it makes to its folder, so
that the short writes of checkpoints and results are met too. A run is killed up to five times before it may end. A suite of
two runs is killed with all that it started. The last table is of what was survived; exit code 1 where something was not.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from experiments import program
from tests.faults import forked, small_runs

ROOT = Path(__file__).parents[2]
SHARE = {"DSEH, two rounds": 0.4, "DPSH": 0.2, "ADSH": 0.25}  # of the kills; the rest are the suite's
CHAIN = 5  # kills of one run
SUITE_RUNS = ("image_lists-itq-16-0", "image_lists-dpsh-16-0")


class Soak:
    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.lists = small_runs.write_lists(root / "lists")
        self.survived: Counter[tuple[str, str]] = Counter()
        self.failures: list[str] = []

    def run(self, name: str, kills: int) -> None:
        """Kills a run of `small_runs.RUNS` `kills` times."""
        whole = self.root / f"{name.partition(',')[0]}-whole"
        undisturbed = self._session(name, whole)
        self._ended(name, undisturbed)
        print(
            f"{name}: {undisturbed.seconds:.0f} s undisturbed, {len(undisturbed.changes)} changes of its folder",
            flush=True,
        )
        chain = 0
        while kills > 0 and not self.failures:
            workdir, places = self.root / f"{name.partition(',')[0]}-{chain}", []
            for _ in range(min(CHAIN, kills)):
                session = self._session(name, workdir, self._moment(undisturbed))
                if session.status != -signal.SIGKILL:  # it was faster than the moment
                    self._ended(name, session)
                    break
                places.append(small_runs.place(workdir, session.seconds))
                print(f"{name}: killed after {session.seconds:.1f} s: {places[-1]}", flush=True)
            else:
                self._ended(name, self._session(name, workdir))
            self._compare(name, workdir, whole, places)
            shutil.rmtree(workdir)
            kills -= len(places)
            chain += 1

    def suite(self, kills: int) -> None:
        """Kills a suite and its children `kills` times, evenly over its life: its checks take longer than its runs."""
        whole = self.root / "suite-whole"
        seconds, _ = self._suite(whole, None)
        print(f"suite of two runs: {seconds:.0f} s undisturbed", flush=True)
        chain = 0
        while kills > 0 and not self.failures:
            killed, places = self.root / f"suite-{chain}", []
            while len(places) < min(CHAIN, kills):
                after = self.rng.uniform(0, seconds)
                if self._suite(killed, after)[0] < after:
                    break
                places.append(self._suite_place(killed))
                print(f"suite: killed after {after:.0f} s: {places[-1]}", flush=True)
            self._compare_suite(killed, whole)
            self._count("suite of two runs", places)
            kills -= len(places)
            chain += 1

    def _suite_place(self, runs: Path) -> str:
        done = [name for name in SUITE_RUNS if (runs / name / "result.json").exists()]
        begun = [name for name in SUITE_RUNS if name not in done and (runs / name).exists()]
        return f"{len(done)} of 2 runs finished" + (", one begun" if begun else "")

    def _compare_suite(self, killed: Path, whole: Path) -> None:
        _, output = self._suite(killed, None)
        for name in SUITE_RUNS:
            if (killed / name / "result.json").exists():
                told = small_runs.differences(killed / name, whole / name)
            else:
                told = [f"no result.json: {output[-500:]}"]
            self.failures += [f"suite: {name}: {line}" for line in told]

    def _moment(self, undisturbed: forked.Ended) -> forked.Moment:
        """A session's share of the life of the run is at most two parts of CHAIN + 1, so that most chains are whole."""
        share = 2 / (CHAIN + 1)
        if self.rng.random() < 0.5:
            return forked.Moment(self.rng.randint(1, max(1, round(share * len(undisturbed.changes)))), 0.0)
        at = self.rng.uniform(0, share * undisturbed.seconds)
        before = [event for event, _ in undisturbed.changes if event <= at]
        return forked.Moment(len(before), max(1e-3, at - (before[-1] if before else 0.0)))

    def _session(self, name: str, workdir: Path, moment: forked.Moment | None = None) -> forked.Ended:
        act = forked.program("experiments.run", small_runs.arguments(name, self.lists, workdir))
        return forked.watched(act, workdir, self.root / "log", moment)

    def _ended(self, name: str, session: forked.Ended) -> None:
        if session.status:
            self.failures.append(f"{name}: exit code {session.status}: {session.output[-2000:]}")

    def _compare(self, name: str, workdir: Path, whole: Path, places: list[str]) -> None:
        if not self.failures:
            self.failures += [f"{name}: {line} (killed: {places})" for line in small_runs.differences(workdir, whole)]
        if self.failures:
            shutil.copytree(workdir, self.root / "failed", dirs_exist_ok=True)
        self._count(name, places)

    def _count(self, name: str, places: list[str]) -> None:
        if not self.failures:
            self.survived.update((name, where) for where in places)

    def _suite(self, runs: Path, after: float | None) -> tuple[float, str]:
        """(seconds, output) of a suite, whose whole process group is killed after some seconds."""
        flags = [*small_runs.SHARED[2:], f"--lists_dir={self.lists}", f"--data_dir={self.root / 'data'}"]
        own = [f"dpsh:{flag}" for flag in small_runs.RUNS["DPSH"][1:]]
        command = [
            sys.executable, "-m", "experiments.suite", "--suite=quick", "--datasets=image_lists", "--methods=itq,dpsh",
            "--bits=16", f"--runs={runs}", *(f"--run_flag={flag}" for flag in [*flags, *own] if flag != "--noprogress"),
        ]  # fmt: skip
        begun = time.monotonic()
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            output, _ = child.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # its runs lead groups of their own, and notice
            output, _ = child.communicate()
        else:
            if child.returncode:
                self.failures.append(f"suite: exit code {child.returncode}: {output[-2000:]}")
        return time.monotonic() - begun, output

    def table(self) -> str:
        lines = ["| run | killed | survived |", "|---|---|---|"]
        lines += [f"| {run} | {where} | {count} |" for (run, where), count in sorted(self.survived.items())]
        return "\n".join([*lines, f"| all | | {sum(self.survived.values())} |"])


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments; default: the clock")
    parser.add_argument("--keep", type=program.path, default=None, help="folder to work in, which stays")
    parser.add_argument("--only", choices=[*SHARE, "suite"], default=None, help="what is killed; default: all in turn")
    given = parser.parse_args()
    print(f"seed of the moments: {given.seed}", flush=True)
    # The import alone: a process that has used TensorFlow cannot be forked.
    import tensorflow as tf  # noqa: F401

    import dseh_tf.methods  # noqa: F401

    with contextlib.ExitStack() as stack:
        root = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        soak = Soak(root.resolve(), random.Random(given.seed))
        counts = {name: round(share * given.kills) for name, share in SHARE.items()}
        counts["suite"] = given.kills - sum(counts.values())
        for name, kills in counts.items() if given.only is None else [(given.only, given.kills)]:
            soak.suite(kills) if name == "suite" else soak.run(name, kills)
    print(soak.table())
    for line in soak.failures:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(bool(soak.failures))


if __name__ == "__main__":
    main()
