"""Every table and figure, and the report, from one folder of run folders.

python -m figures.all --runs=runs --out=out
"""

from __future__ import annotations

from pathlib import Path

from figures import (
    ablation_table,
    cli,
    code_correlation,
    direction_table,
    map_table,
    pr_curve,
    precision_at_n,
    report,
    seconds_table,
    semantic_features,
    top5k_table,
    training_curves,
)
from figures.runs import Runs

MODULES = (
    map_table,
    ablation_table,
    top5k_table,
    direction_table,
    pr_curve,
    precision_at_n,
    code_correlation,
    seconds_table,
    semantic_features,
    training_curves,
    report,
)


def draw(runs: Runs, out: Path) -> list[Path]:
    return [path for module in MODULES for path in module.draw(runs, out)]


if __name__ == "__main__":
    cli.program(draw, needs=("codes", "semantic_features", "losses", "thumbnails"))
