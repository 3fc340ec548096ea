"""A worker of a run of two processes that fits methods one after another: python -m tests.methods.two_workers ROOM NAME..."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import numpy as np

from dseh_tf.devices.cluster import read_cluster
from dseh_tf.devices.workers import Workers


def arrays_of(fitted) -> dict[str, np.ndarray]:
    """What a fit leaves, as arrays by name."""
    from .small import small_dataset, values

    query = small_dataset().query
    found = {"values": values(fitted, query), "codes": fitted.encode(query)}
    if fitted.database_codes is not None:
        found["database_codes"] = fitted.database_codes
    return found | {f"trace {name}": trace for name, trace in fitted.traces.items()}


def main(room: Path, names: list[str]) -> None:
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime

    from .small import fit

    workers = Workers(read_cluster(), 200, 200, lambda line: (print(line, file=sys.stderr, flush=True), os._exit(2)))
    strategy = make_strategy("multi_worker")
    for name in names:
        # Parts of 16 rows: both workers have some of the 24 queries and of the 96 training rows.
        fitted = fit(name, Runtime(strategy=strategy, workers=workers, progress=False, encode_batch=16))
        np.savez(room / f"{name}-{workers.index}.npz", **arrays_of(fitted))
    workers.finish()


if __name__ == "__main__":
    code = 1
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # TensorFlow would wait for the other worker
