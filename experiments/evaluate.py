"""Reads a run folder's codes again and prints its numbers: every one from the codes alone, no network, no TensorFlow.

    python -m experiments.evaluate --workdir=runs/x

A finished run's numbers are compared with its result.json. Where they differ, the files are of different runs: one line says
so after the table, and the exit code is 2.
"""

from __future__ import annotations

from pathlib import Path

from experiments import program
from experiments.evaluation import print_report

_WORKDIR = program.DEFINE_path("workdir", None, "Run folder with config.json and codes.npz.", required=True)


def main(_: list[str]) -> None:
    print_report(Path(_WORKDIR.value))


if __name__ == "__main__":
    program.run(main)
