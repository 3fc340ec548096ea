"""Reads a run folder's codes again and prints its numbers: every one from the codes alone, no network, no TensorFlow.

    python -m experiments.evaluate --workdir=runs/x

A finished run's numbers are compared with its result.json. Where they differ, the files are of different runs: one line says
so after the table, and the exit code is 2.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments import program
from experiments.evaluation import print_report

_WORKDIR = program.DEFINE_path("workdir", None, "Run folder with config.json and codes.npz or codes/.", required=True)
_SHARD_ROWS = flags.DEFINE_integer(
    "shard_rows",
    None,
    "Database rows that are evaluated at a time; the numbers are the same. Default: the shards of codes/, all rows of codes.npz.",
    lower_bound=1,
)


def main(_: list[str]) -> None:
    print_report(Path(_WORKDIR.value), _SHARD_ROWS.value)


if __name__ == "__main__":
    program.run(main)
