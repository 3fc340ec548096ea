"""A run killed in any phase and started again ends with the same codes, bit for bit.

By the release's preset, whose banks pass from one network to the other; tests/methods/test_dseh_modern.py has `modern`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError

ROOT = Path(__file__).parents[2]
COMMAND = [
    sys.executable, "-m", "experiments.run", "--dataset=image_lists", "--preset=release", "--bits=16", "--image_size=16",
    "--rounds=2", "--labnet_epochs=20", "--imgnet_epochs=5", "--set=labnet_width=64", "--set=feature_dim=32",
    "--set=imgnet_batch=32", "--checkpoint_steps=20", "--noprogress",
]  # fmt: skip
# Steps of each phase: 160 rows in batches of 32 are 5 an epoch.
PHASES = {"labnet/0": 100, "imgnet/0": 25, "labnet/1": 100, "imgnet/1": 25}


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> Path:
    """Image lists of small coloured pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("lists")
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (5, 3))
    for name, count in (("train", 160), ("test", 20)):
        lines = []
        for i in range(count):
            label = rng.integers(0, 5)
            pixels = np.clip(colours[label] + rng.normal(0, 25, (20, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{i}.png")
            lines.append(f"{name}{i}.png " + " ".join("1" if k == label else "0" for k in range(5)))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def _start(lists: Path, workdir: Path) -> subprocess.Popen:
    command = [*COMMAND, f"--lists_dir={lists}", f"--workdir={workdir}", f"--data_dir={workdir.parent / 'data'}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(lists: Path, workdir: Path) -> str:
    process = _start(lists, workdir)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def _progress(workdir: Path) -> dict[str, int]:
    """Steps done in the newest checkpoint."""
    whole = sorted(f for f in (workdir / "checkpoints").glob("*/progress.json") if f.parent.name.isdigit())
    try:
        return json.loads(whole[-1].read_text())["done"] if whole else {}
    except OSError:  # pruned between the listing and the reading
        return {}


def _kill_in(phase: str, lists: Path, workdir: Path) -> int:
    """Kills the run once it has saved a checkpoint within `phase`; returns the steps of it that were saved."""
    process = _start(lists, workdir)
    deadline = time.monotonic() + 300
    while not 0 < _progress(workdir).get(phase, 0) < PHASES[phase]:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, f"{phase} was never seen half done"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (workdir / "result.json").exists()
    return _progress(workdir)[phase]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


@pytest.mark.slow
def test_killed_runs_end_with_the_same_codes(lists, run, tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _finish(lists, whole)
    for phase in PHASES:  # one run, killed in every phase in turn
        assert 0 < _kill_in(phase, lists, killed) < PHASES[phase]
    _finish(lists, killed)
    for name in ("codes.npz", "losses.npz", "semantic_features.npz"):
        expected, found = _arrays(whole / name), _arrays(killed / name)
        assert set(found) == set(expected)
        for array in expected:
            np.testing.assert_array_equal(found[array], expected[array], err_msg=f"{name}: {array}")
    expected, found = (json.loads((folder / "result.json").read_text()) for folder in (whole, killed))
    assert found["rounds"] == expected["rounds"]

    # Finished: said, nothing done again. Another configuration: an error, nothing overwritten.
    before = (whole / "result.json").stat().st_mtime_ns
    arguments = [*COMMAND[3:], f"--lists_dir={lists}", f"--workdir={whole}", f"--data_dir={tmp_path / 'data'}"]
    run(*arguments)
    assert "finished" in capsys.readouterr().out
    with pytest.raises(InputError) as error:
        run(*arguments, "--seed=1")
    assert str(error.value) == f"{whole / 'config.json'}: seed: found 0, expected 1; choose another --workdir"
    assert (whole / "result.json").stat().st_mtime_ns == before
