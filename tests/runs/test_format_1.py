"""Run folders from before `config.json` had a format number (`format_1/README.md`): evaluated, resumed and drawn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes
from dseh_tf.runs import identity, open_run, read_run
from dseh_tf.runs.contents import CHECKS
from experiments.evaluation import print_report
from tests.experiments.conftest import parsed
from tests.runs import FORMAT_1

DSEH = (
    "--preset=modern", "--rounds=1", "--labnet_epochs=10", "--imgnet_epochs=3", "--set=labnet_width=32",
    "--set=feature_dim=4", "--set=imgnet_least_steps=0",
)  # fmt: skip
COMMANDS = {"itq": (), "dseh": DSEH}
NAMES = tuple(COMMANDS)


@pytest.fixture(params=NAMES)
def folder(request, tmp_path) -> Path:
    return Path(shutil.copytree(FORMAT_1 / request.param, tmp_path / request.param))


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_folders_are_of_format_1_and_name_no_machine():
    for file in FORMAT_1.glob("*/*.json"):
        text = file.read_text()
        assert '"format"' not in text and '"identity"' not in text
        assert not any(place in text for place in ("/home", "/root", "/tmp", "/work", "/Users"))


def test_evaluate(folder, capsys):
    """The MAP that was stored, derived again from the codes: precision by position, averaged within each block of ties."""
    print_report(folder)
    codes = load_codes(folder / "codes.npz", 8)
    query, database = (np.unpackbits(getattr(codes, f"{part}_codes"), axis=1) for part in ("query", "database"))
    values = []
    for code, labels in zip(query, codes.query_labels, strict=True):
        distance, relevant = (code != database).sum(1), (codes.database_labels & labels).any(1)
        total = hits_before = items_before = 0.0
        for step in range(9):
            items, hits = float((distance == step).sum()), float((relevant & (distance == step)).sum())
            if hits:
                # The expected precision at a relevant item that is i-th of its block.
                i = np.arange(1, items + 1)
                others = (i - 1) * ((hits - 1) / (items - 1) if items > 1 else 0.0)
                total += hits / items * ((hits_before + 1 + others) / (items_before + i)).sum()
            hits_before, items_before = hits_before + hits, items_before + items
        values.append(total / hits_before if hits_before else 0.0)
    stored = json.loads((folder / "result.json").read_text())["map"]
    assert np.mean(values) == pytest.approx(stored, abs=1e-9)
    assert f"MAP {np.mean(values):.4f} (expected over tied orders)" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_resume(tf, tmp_path, capsys, name):
    """The same command says that the run is finished and changes nothing; another one is refused."""
    from experiments import run

    folder = Path(shutil.copytree(FORMAT_1 / name, tmp_path / name))
    before = _content(folder)
    command = (
        "--noprogress",
        "--dataset=multi_digits",
        "--bits=8",
        f"--method={name}",
        *COMMANDS[name],
        f"--workdir={folder}",
    )
    with parsed(*command, "--data_dir=elsewhere"):
        run.main(["run"])
    assert "this run is finished; nothing was changed" in capsys.readouterr().out
    with parsed(*command, "--seed=1"), pytest.raises(InputError, match=r"config\.json: seed: found 0, expected 1"):
        run.main(["run"])
    assert _content(folder) == before


def test_read(folder):
    run = read_run(folder, tuple(CHECKS))
    assert (run.dataset, run.method, run.bits, run.seed) == ("multi_digits", folder.name, 8, 0)
    assert run.codes.bits == 8 and run.counts.bits == 8 and run.finished and run.has_ranking
    assert len(identity(run.config)) == 16
    (folder / "result.json").unlink()
    waiting = open_run(folder)
    assert (waiting.dataset, waiting.method, waiting.bits, waiting.seed) == ("multi_digits", folder.name, 8, 0)
    assert waiting.preset == run.preset and not waiting.finished and not waiting.has_ranking
    with pytest.raises(InputError, match=r"found no result\.json, expected a finished run"):
        read_run(folder)


@pytest.mark.slow
def test_figures(tmp_path):
    command = [sys.executable, "-m", "figures.all", f"--runs={FORMAT_1}", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    table = (tmp_path / "map_table.md").read_text()
    for name in NAMES:
        assert f"{json.loads((FORMAT_1 / name / 'result.json').read_text())['map']:.4f}" in table
    assert {"report.html", "pr_curve_multi_digits_8.png", "training_curves_multi_digits_dseh_modern_8.png"} <= {
        file.name for file in tmp_path.iterdir()
    }
