"""An outer round of ADSH on frozen features compared with its network steps.

    python -m benchmarks.outer_round [--rows=50000] [--sampled=1000] [--classes=10] [--bits=48] [--rounds=12] [--lists=FOLDER]

A round is the draw of the sample, the network's steps and the V-step, as `Trainer.run` walks them. The network's steps are
the time inside the compiled loop: batches, forward, backward and Adam. Features are 1,280 wide, and the settings are those
for frozen features. Labels are random classes, one per row, or those of database.txt in FOLDER. The first two rounds, which
trace, do not count. Times are wall-clock times, ratios are those of the sums over rounds.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.readers.image_lists import read_image_list
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.asymmetric.adsh import ADSH, ADSHRecipe
from dseh_tf.methods.image_encoder import Trunk
from dseh_tf.training.recipe import Phase
from experiments import program

TRACED_ROUNDS = 2


def measure(recipe: ADSHRecipe, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each round by part: the stages, and "steps" inside the network's phase."""
    seconds: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(rounds))
    trainer, now = recipe.trainer, 0

    def timed(loop: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            start = time.perf_counter()
            found = loop(*args)
            found.numpy()
            seconds["steps"][now] += time.perf_counter() - start
            return found

        return call

    build = trainer._loop
    trainer._loop = lambda phase: timed(build(phase))  # type: ignore[method-assign]
    for stage in recipe.stages():
        now = stage.round
        start = time.perf_counter()
        if isinstance(stage, Phase):
            trainer.take(stage)
        else:
            stage.run()
        seconds["network" if isinstance(stage, Phase) else stage.name][now] += time.perf_counter() - start
    return seconds


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    for name, value in (("rows", 50_000), ("sampled", 1000), ("classes", 10), ("bits", 48), ("rounds", 12)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lists", help="folder with database.txt")
    flags = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = np.eye(flags.classes, dtype=np.uint8)[rng.integers(flags.classes, size=flags.rows)]
    if flags.lists:
        labels = read_image_list(Path(flags.lists) / "database.txt").labels
    features = rng.random((len(labels), 1280), np.float32)
    dataset = RetrievalDataset.from_arrays((features, labels), (features[:1], labels[:1]))
    method = ADSH(flags.bits, trunk=Trunk("features.keras"), rounds=flags.rounds + TRACED_ROUNDS, sample=flags.sampled)
    recipe = method.recipe(dataset, Runtime())
    assert isinstance(recipe, ADSHRecipe)
    seconds = {name: values[TRACED_ROUNDS:] for name, values in measure(recipe, flags.rounds + TRACED_ROUNDS).items()}
    steps = seconds.pop("steps")
    print(f"{len(labels):,} rows, {flags.sampled:,} sampled, {labels.shape[1]} classes, {flags.bits} bits, "
          f"{recipe.phase(0).steps} steps a round, {flags.rounds} rounds")  # fmt: skip
    print("| part | ms a round | / network steps |\n|---|---|---|")
    parts = {"network steps": steps, "batches and traces": seconds.pop("network") - steps, **seconds}
    for name, values in {**parts, "whole round": sum(parts.values())}.items():
        print(f"| {name} | {1e3 * values.mean():.1f} | {values.sum() / steps.sum():.3f} |")


if __name__ == "__main__":
    main()
