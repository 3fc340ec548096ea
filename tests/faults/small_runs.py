"""Small image lists, the runs that faults are tried on, and what two runs must share."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

PARTIAL = ".partial"
# Flags of experiments.run by what is tried: several rounds, a rival, and learned database codes.
RUNS = {
    "DSEH, two rounds": [
        "--method=dseh", "--preset=modern", "--rounds=2", "--labnet_epochs=10", "--imgnet_epochs=4", "--set=labnet_width=64",
        "--set=feature_dim=32", "--set=imgnet_batch=32", "--set=labnet_batch=32",
    ],
    "DPSH": ["--method=dpsh", "--set=epochs=10", "--set=batch=32", "--set=feature_layer=32"],
    "ADSH": ["--method=adsh", "--whole_database", "--set=rounds=6", "--set=epochs=2", "--set=sample=64", "--set=batch=16"],
}  # fmt: skip
SHARED = ["--dataset=image_lists", "--bits=16", "--image_size=16", "--checkpoint_steps=10", "--noprogress"]


def write_lists(folder: Path) -> Path:
    """Image lists of 160 + 20 small coloured pictures of five classes."""
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (5, 3))
    for name, count in (("train", 160), ("test", 20)):
        lines = []
        for i in range(count):
            label = rng.integers(0, 5)
            colour = colours[label] + rng.normal(0, 80, 3)  # classes overlap: no MAP of 1
            pixels = np.clip(colour + rng.normal(0, 25, (20, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{i}.png")
            lines.append(f"{name}{i}.png " + " ".join("1" if k == label else "0" for k in range(5)))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def arguments(name: str, lists: Path, workdir: Path) -> list[str]:
    """The flags of a run of `RUNS`."""
    return [*SHARED, *RUNS[name], f"--lists_dir={lists}", f"--data_dir={lists.parent / 'data'}", f"--workdir={workdir}"]


def differences(found: Path, expected: Path) -> list[str]:
    """What two finished run folders do not share: arrays, bit for bit, and the numbers of result.json but for times."""
    told = []
    names = [{path.name for path in folder.glob("*.npz") if path.name[0] != "."} for folder in (found, expected)]
    if names[0] != names[1]:
        return [f"files: {sorted(names[0] ^ names[1])}"]
    for name in sorted(names[0]):
        with np.load(found / name) as one, np.load(expected / name) as other:
            if set(one.files) != set(other.files):
                told.append(f"{name}: {sorted({*one.files} ^ {*other.files})}")
                continue
            told += [
                f"{name}: {key}"
                for key in one.files
                if one[key].dtype != other[key].dtype
                or one[key].shape != other[key].shape
                or one[key].tobytes() != other[key].tobytes()
            ]
    results = [_timeless(json.loads((folder / "result.json").read_text())) for folder in (found, expected)]
    return told + [
        f"result.json: {key}"
        for key in sorted(results[0].keys() | results[1].keys())
        if results[0].get(key) != results[1].get(key)
    ]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if not key.endswith("seconds")}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def progress(workdir: Path) -> dict[str, int]:
    """Steps by phase in the newest checkpoint; empty without one."""
    whole = sorted(file for file in (workdir / "checkpoints").glob("*/progress.json") if file.parent.name.isdigit())
    return json.loads(whole[-1].read_text())["done"] if whole else {}


def place(workdir: Path, since: float) -> str:
    """What a process was doing in a run folder when it was killed, from what it left. since: seconds ago that it began."""
    began = time.time() - since
    partial = [
        path
        for path in workdir.rglob(f"*{PARTIAL}*")
        if path.stat().st_mtime >= began and "checkpoints/" not in f"{path.parent}/x"
    ]
    checkpoint = [path for path in (workdir / "checkpoints").glob(f"*{PARTIAL}") if path.stat().st_mtime >= began]
    if (workdir / "result.json").exists():
        return "after result.json"
    if checkpoint:
        return "writing a checkpoint"
    if partial:
        return f"writing {partial[-1].name.split('-', 2)[-1]}"
    if (workdir / "codes.npz").exists():
        return "writing results"
    done = progress(workdir)
    return f"phase {[*done][-1].partition('/')[0]}" if done else "before the first checkpoint"
