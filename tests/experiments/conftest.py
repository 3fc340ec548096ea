"""Running the programs inside the tests' own process: TensorFlow is imported once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from absl import flags


@pytest.fixture
def run(tf) -> Callable[..., None]:
    """run("--bits=8", ...) is `python -m experiments.run --noprogress --bits=8 ...`; errors are raised."""
    from experiments import run as module

    def call(*arguments: str) -> None:
        flags.FLAGS.unparse_flags()
        saved = {name: (f.value, f.present) for name, f in flags.FLAGS._flags().items()}
        try:
            flags.FLAGS(["run", "--noprogress", *arguments])
            module.main(["run"])
        finally:
            for name, (value, present) in saved.items():
                flag = flags.FLAGS[name]
                flag.value, flag.present = value, present

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
