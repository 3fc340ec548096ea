"""Loss traces, codes and features of a small run of every method, to compare two versions of the code.

    python -m benchmarks.recorded_numbers --out=before.npz
    python -m benchmarks.recorded_numbers --out=after.npz --compare=before.npz

Every registered method trains on one device with deterministic operations: on random features with several labels per row
and words, and, where it trains a network, on random images with the default network. `--compare` prints, for each method and data
set, "equal" where all arrays agree bit for bit, else the largest difference of a loss relative to its size and the
share of bits that differ. Exit code 1 if a difference is above 1e-6, an array is missing, or a bit differs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.files import write_npz
from dseh_tf.methods import METHODS, Method
from dseh_tf.methods.image_encoder import Trunk
from experiments import program

BITS, SEED, TOLERANCE = 12, 3, 1e-6
ROWS = {"train": 160, "query": 40, "database": 200}


def dataset(images: bool) -> RetrievalDataset:
    """Rows with 1 to 3 of 6 labels whose features, or pixels, depend on the labels."""
    rng = np.random.default_rng(SEED)
    directions = rng.standard_normal((6, 24 * 24 * 3 if images else 48))
    parts = {}
    for part, rows in ROWS.items():
        labels = np.zeros((rows, 6), np.uint8)
        for row in labels:
            row[rng.choice(6, rng.integers(1, 4), replace=False)] = 1
        x = labels @ directions + 0.5 * rng.standard_normal((rows, directions.shape[1]))
        pixels = np.clip(128 + 30 * x, 0, 255).astype(np.uint8).reshape(rows, -1, 24, 3) if images else None
        parts[part] = (x.astype(np.float32) if pixels is None else pixels, labels)
    words = np.random.default_rng(SEED)
    texts = {part: _words(labels, words) for part, (_, labels) in parts.items()}
    return RetrievalDataset.from_arrays(parts["train"], parts["query"], parts["database"], texts=texts)


def _words(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two words for each label, each left out with probability .2, and four words at random."""
    of_labels = np.repeat(labels, 2, axis=1) * (rng.random((len(labels), 12)) < 0.8)
    return np.hstack([of_labels, rng.random((len(labels), 4)) < 0.3]).astype(np.float32)


def runs(only: str) -> Iterator[tuple[str, Any, RetrievalDataset]]:
    """(name, method, data set) of every run."""
    for images in (False, True):
        data = dataset(images)
        for name, kind in METHODS.items():
            if name not in (only or name) or (images and "trunk" not in kind.OPTIONS):
                continue
            for variant, options in _options(kind).items():
                options |= {"trunk": Trunk(image_size=24)} if images else {}
                given = data.replace(database=data.train) if kind.learns_database else data
                yield f"{name}{variant}/{'images' if images else 'features'}", kind(BITS, SEED, **options), given


def _options(kind: type[Method]) -> Mapping[str, dict[str, Any]]:
    known = {field.name for field in fields(kind.Settings)}
    if "labnet_epochs" in known:
        rounds = 1 if kind.name == "dseh_a" else 2  # it has no second one
        short = {"labnet_epochs": (3, 2)[:rounds], "imgnet_epochs": (2, 2)[:rounds]}
        presets = ("release", "paper", "modern") if kind.name == "dseh" else ("release",)
        return {f"-{preset}": {"preset": preset, **short} for preset in presets}
    small = {"epochs": 3, "rounds": 2, "sample": 100, "labnet_steps": 20}
    small |= {"passes": 2, "label_passes": 2, "text_passes": 2, "discriminator_passes": 2}
    return {"": {name: value for name, value in small.items() if name in known} if "trunk" in kind.OPTIONS else {}}


def record(only: str) -> dict[str, np.ndarray]:
    """Arrays by <run>/<array>: the codes of every part, and the trace of every loss."""
    found: dict[str, np.ndarray] = {}
    for name, method, data in runs(only):
        tf.keras.utils.set_random_seed(SEED)
        fitted = method.fit(data, Runtime(progress=False))
        for part in ROWS:
            found[f"{name}/codes/{part}"] = np.asarray(fitted.encode(getattr(data, part)))
        if fitted.database_codes is not None:
            found[f"{name}/codes/learned"] = fitted.database_codes
        for trace, values in getattr(fitted, "traces", {}).items():
            found[f"{name}/trace/{trace}"] = values
        for array, values in fitted.arrays.get("semantic_features", {}).items():
            if array != "train_ids":
                found[f"{name}/semantic/{array}"] = values
        print(name, flush=True)
    return found


def compare(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> bool:
    """Prints a line per run; returns True if nothing differs by more than `TOLERANCE`."""
    fine = True
    for run in dict.fromkeys("/".join(key.split("/")[:2]) for key in before):
        keys = [key for key in before if key.startswith(f"{run}/")]
        missing = [key for key in keys if key not in after]
        if missing:
            print(f"{run}: {len(missing)} arrays are missing, {missing[0]} the first")
            fine = False
            continue
        if all(np.array_equal(before[key], after[key]) for key in keys):
            print(f"{run}: equal")
            continue
        losses, bits = 0.0, 0.0
        for key in keys:
            if before[key].shape != after[key].shape:
                losses = np.inf
            elif "/codes/" in key:
                bits = max(bits, float(np.mean(before[key] != after[key])))
            elif "/trace/" in key:
                scale = max(float(np.abs(before[key]).max()), 1e-12)
                losses = max(losses, float(np.abs(before[key] - after[key]).max()) / scale)
        fine &= losses <= TOLERANCE and bits == 0
        print(f"{run}: losses differ by {losses:.1e} of their size, {bits:.2%} of the bits differ")
    return fine


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--out", type=program.path, required=True)
    parser.add_argument("--compare", type=program.path)
    parser.add_argument("--only", default="", help="one method")
    given = parser.parse_args()
    tf.config.experimental.enable_op_determinism()
    found = record(given.only)
    write_npz(given.out, found)
    if given.compare:
        with np.load(given.compare, allow_pickle=False) as before:
            known = {key: before[key] for key in before.files if not given.only or key.startswith(given.only)}
        if not compare(known, found):
            sys.exit(1)


if __name__ == "__main__":
    main()
