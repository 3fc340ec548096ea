"""Recomputes the metrics of a run from its codes and prints them, without a network and without TensorFlow.

    python -m experiments.evaluate --workdir=runs/x

The metrics of a finished run are compared with its result.json. If they differ, the files are from different runs: an
error line follows the table, and the exit code is 2.
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
    "Database rows to evaluate at a time; the numbers stay the same. Default: the shards of codes/, or all rows of codes.npz.",
    lower_bound=1,
)


def main(_: list[str]) -> None:
    print_report(Path(_WORKDIR.value), _SHARD_ROWS.value)


if __name__ == "__main__":
    program.run(main)
