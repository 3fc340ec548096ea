"""The command line of all modules in figures/: --runs, --out, and the selection of runs.

Exit codes: 0 everything drawn (a run that is not finished is skipped, with a line) · 2 nothing drawn (bad flags, no run
folder, none that could be read) · 3 drawn, but a damaged run folder was skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags

from dseh_tf.errors import InputError
from experiments import program as programs
from figures import style
from figures.runs import Runs, read_runs

SKIPPED_EXIT_CODE = 3

Draw = Callable[[Runs, Path], list[Path]]


def define_flags() -> None:
    """Defines the flags. Called when a module is run and not on import, because other programs use the same names."""
    programs.DEFINE_path("runs", "runs", "A folder of run folders, or one run folder.")
    programs.DEFINE_path("out", "figures_out", "Folder for the output files; created if it does not exist.")
    flags.DEFINE_list("datasets", [], "Draw only these data sets. Default: all that have runs.")
    flags.DEFINE_list("methods", [], "Draw only these methods. Default: all that have runs.")
    flags.DEFINE_list("bits", [], "Draw only these code lengths. Default: all that have runs.")


def chosen(runs: Runs) -> Runs:
    """The runs that --datasets, --methods and --bits ask for. Raises InputError on a name that no run has."""
    asked = {"dataset": flags.FLAGS.datasets, "method": flags.FLAGS.methods, "bits": flags.FLAGS.bits}
    for name, values in asked.items():
        known = sorted({str(getattr(run, name)) for run in runs})
        for value in values:
            if value not in known:
                raise InputError(
                    f"--{name.removesuffix('s')}s: found {value!r}, expected one of {', '.join(known) or 'none'}"
                )
    return runs.where(
        lambda run: all(not values or str(getattr(run, name)) in values for name, values in asked.items())
    )


def program(draw: Draw, needs: tuple[str, ...] = ()) -> None:
    """Runs a module: reads the runs, draws, prints each file written; problems go to standard error."""

    def main(_: list[str]) -> int:
        runs = read_runs(Path(flags.FLAGS.runs), needs)
        for line in (*runs.problems, *(f"note: {note}" for note in runs.notes)):
            print(line, file=sys.stderr)
        if not len(runs) and any(not problem.unfinished for problem in runs.problems):
            raise InputError(f"--runs: found no run folder in {runs.root} that can be read, expected at least one")
        style.apply()
        paths = draw(chosen(runs), Path(flags.FLAGS.out))
        for path in paths:
            print(path)
        if not paths:
            print("nothing to draw: no run has what this figure needs", file=sys.stderr)
        return SKIPPED_EXIT_CODE if any(not problem.unfinished for problem in runs.problems) else 0

    define_flags()
    programs.run(main)
