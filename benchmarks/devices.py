"""One training run on 1, 2 and 4 devices: for how many steps the losses agree, and how much MAP changes, over seeds.

    python -m benchmarks.devices [--data_dir=data] [--methods=dpsh,dseh] [--seeds=3]

Uses a part of multi_digits: 500 training rows, 150 queries, 1,000 database rows at 32 pixels; the default network, 32
bits, 8 epochs of batches of 64 rows (DSEH: LabNet 10 epochs, one round). Devices are logical CPUs. Prints a line per
run: MAP, the fraction of the database's bits that equal those on one device, and for each phase the number of initial
steps whose losses agree to 1e-6 and 1e-4.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset, catalog
from dseh_tf.devices.replicas import logical_cpus, make_strategy
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods import METHODS
from dseh_tf.methods.image_encoder import ImageEncoder, Trunk
from dseh_tf.retrieval import evaluate
from experiments import program

DEVICES, TOLERANCES = (1, 2, 4), (1e-6, 1e-4)
OTHERS = {"epochs": 8, "batch": 64}
SETTINGS: dict[str, dict[str, Any]] = {
    "dseh": {"rounds": 1, "labnet_epochs": 10, "imgnet_epochs": 8, "imgnet_batch": 64, "imgnet_least_steps": 0}
}


def part(data_dir: Path) -> RetrievalDataset:
    """The rows that are trained on and evaluated."""
    data = catalog.load("multi_digits", catalog.DataOptions(data_dir=data_dir))
    rows = {"train": np.arange(0, 2000, 4), "query": np.arange(150), "database": np.arange(0, 5000, 5)}
    return data.replace(**{name: getattr(data, name).take(chosen) for name, chosen in rows.items()})


def fit(dataset: RetrievalDataset, name: str, seed: int, devices: int) -> ImageEncoder:
    strategy = make_strategy("default" if devices == 1 else "mirrored", devices)
    method = METHODS[name](32, seed=seed, trunk=Trunk("compact", 32), **SETTINGS.get(name, OTHERS))
    fitted = method.fit(dataset, Runtime(strategy=strategy, progress=False, evaluate_rounds=False))
    assert isinstance(fitted, ImageEncoder)
    return fitted


def agreeing(trace: np.ndarray, expected: np.ndarray, tolerance: float) -> int:
    """The number of first steps whose losses agree."""
    apart = np.abs(trace / expected - 1) > tolerance
    return int(np.argmax(apart)) if apart.any() else len(apart)


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--data_dir", type=program.path, default=Path("data"))
    parser.add_argument("--methods", default="dpsh,dseh")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    logical_cpus(max(DEVICES))
    tf.config.experimental.enable_op_determinism()
    dataset = part(given.data_dir)
    for name in given.methods.split(","):
        for seed in range(given.seeds):
            one: tuple[dict[str, np.ndarray], np.ndarray] | None = None
            for devices in DEVICES:
                fitted = fit(dataset, name, seed, devices)
                query, database = fitted.encode(dataset.query), fitted.encode(dataset.database)
                found = evaluate(query, database, dataset.query.labels, dataset.database.labels).map
                one = one or (fitted.traces, database)
                steps = [
                    f"{key.removesuffix('/0/total')} "
                    + ", ".join(f"{agreeing(trace, one[0][key], t)} to {t:g}" for t in TOLERANCES)
                    + f" of {len(trace)}"
                    for key, trace in fitted.traces.items()
                    if key.endswith("/total")
                ]
                same = f"{(database == one[1]).mean():.3f} of the bits"
                print(f"{name} seed {seed}, {devices} devices: MAP {found:.4f}, {same}; {'; '.join(steps)}", flush=True)


if __name__ == "__main__":
    main()
