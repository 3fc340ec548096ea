"""Running the programs inside the tests' own process: TensorFlow is imported once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from experiments import suite, suite_runner

# By method the types of its settings, as `suite.registered_methods` returns them.
_OF_DSEH = {"labnet_feature_weight": "float", "labnet_feature_similarity": "float", "imgnet_epochs": "tuple[int, ...]"}
REGISTERED = {
    **{name: {"iterations": "int"} for name in ("lsh", "sh", "itq", "itq_cca", "ksh", "sdh", "fasth", "hashnet")},
    **{name: _OF_DSEH for name in ("dhn", "dpsh", "cnnh", "dseh", "dseh_s", "dseh_ss", "dseh_l", "dseh_a")},
}

# Notes each start and end beside the run folder; fails, dies, or waits for a file as its folder's parent says.
# What experiments.run resolves flags to, and writes as config.json.
CONFIG = """
def config(arguments):
    given = dict(a[2:].partition("=")[::2] for a in arguments)
    return {
        "dataset": given["dataset"], "method": given["method"], "bits": int(given["bits"]), "seed": int(given["seed"]),
        "settings": dict(a.removeprefix("--set=").split("=") for a in arguments if a.startswith("--set=")),
        "data_dir": given.get("data_dir"), "lists": given.get("lists_dir"), "folder_files": given.get("images_root"),
        "git_commit": given.get("commit", "1"),
    }
"""
STUB = (
    CONFIG
    + """
import json, os, pathlib, signal, sys, time
given = dict(a[2:].partition("=")[::2] for a in sys.argv[1:])
work = pathlib.Path(given["workdir"]); room = work.parent
def note(what):
    with (room / "events").open("a") as file:
        file.write(f"{what} {work.name}\\n")
extra = sum(len(a) for a in sys.argv if a.startswith("--set"))  # what settings are worth
note("start")
if (room / "wait").exists():
    from experiments import program
    program._PARENT_PAUSE = .05
    program._end_with_parent()
(work / "checkpoints").mkdir(parents=True, exist_ok=True)
if (room / f"{work.name}.fails").exists():
    print("error: an earlier matter"); print("error: bits: found 3, expected 4", file=sys.stderr); sys.exit(2)
if (room / f"{work.name}.breaks").exists():
    raise ValueError("nothing to hash")
if (room / f"{work.name}.dies").exists():
    os.kill(os.getpid(), signal.SIGKILL)
(work / "pid").write_text(str(os.getpid()))
while (room / "wait").exists() and "sh" in given["method"]:
    time.sleep(.02)
time.sleep(float(given.get("sleep", 0)))
(work / "config.json").write_text(json.dumps(config(sys.argv[1:])))
(work / "result.partial").write_text(json.dumps({"map": int(given["bits"]) / 100 + extra / 1e4, "seed": given["seed"]}))
(work / "result.partial").replace(work / "result.json")
note("end")
"""
)


def stub_configs(runs: Sequence[Sequence[str]]) -> list[dict]:
    """What `suite.resolved` returns for runs of the stub."""
    names: dict = {}
    exec(CONFIG, names)
    return [names["config"](arguments) for arguments in runs]


@contextmanager
def parsed(*arguments: str) -> Iterator[None]:
    """The programs' flags as the command line `arguments` sets them, and as they were behind it."""
    flags.FLAGS.unparse_flags()
    saved = {name: (flag.value, flag.present) for name, flag in flags.FLAGS._flags().items()}
    try:
        flags.FLAGS(["program", *arguments])
        yield
    finally:
        for name, (value, present) in saved.items():
            flag = flags.FLAGS[name]
            flag.value, flag.present = value, present


@pytest.fixture
def run(tf) -> Callable[..., None]:
    """run("--bits=8", ...) is `python -m experiments.run --noprogress --bits=8 ...`; errors are raised."""
    from experiments import run as module

    def call(*arguments: str) -> None:
        with parsed("--noprogress", *arguments):
            module.main(["run"])

    return call


@pytest.fixture
def label_lists(tmp_path) -> Path:
    """Lists of 120 + 30 rows over 6 classes whose image files do not exist."""
    folder = tmp_path / "lists"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for name, count in (("train", 120), ("test", 30)):
        rows = (rng.random((count, 6)) < 0.3).astype(int)
        rows[np.arange(count), rng.integers(0, 6, count)] = 1
        lines = [f"{name}/{i}.jpg " + " ".join(map(str, row)) for i, row in enumerate(rows)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def result() -> Callable[[Path], dict]:
    return lambda workdir: json.loads((workdir / "result.json").read_text())


@pytest.fixture
def stub(tmp_path, monkeypatch) -> tuple[str, ...]:
    script = tmp_path / "stub.py"
    script.write_text(STUB)
    monkeypatch.setattr(suite_runner, "PROGRAM", (sys.executable, str(script)))
    monkeypatch.setattr(suite_runner, "_PAUSE", 0.01)
    monkeypatch.setattr(suite, "registered_methods", lambda: REGISTERED)
    monkeypatch.setattr(suite, "check_runs", lambda runs: [])
    monkeypatch.setattr(suite, "resolved", stub_configs)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return suite_runner.PROGRAM


@pytest.fixture(scope="session")
def lists(tmp_path_factory) -> Path:
    """Image lists of noise: 160 to train on, 12 queries, one of four labels each. To be read only."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("lists")
    rng = np.random.default_rng(0)
    for name, count in (("train", 160), ("test", 12)):
        lines = []
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(folder / f"{name}{i}.png")
            lines.append(f"{name}{i}.png " + " ".join("1" if k == i % 4 else "0" for k in range(4)))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
