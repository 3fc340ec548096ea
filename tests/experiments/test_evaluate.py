"""The evaluation program reads codes again, without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.retrieval import evaluate, pack, save_codes
from experiments.results import metrics, summary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workdir(tmp_path, rng) -> Path:
    codes = rng.choice(np.array([-1, 1], np.int8), (60, 12))
    labels = (rng.random((60, 4)) < 0.4).astype(np.uint8)
    save_codes(
        tmp_path / "codes.npz",
        query_codes=pack(codes[:10]),
        database_codes=pack(codes[10:]),
        query_labels=labels[:10],
        database_labels=labels[10:],
        query_ids=np.array([f"q{i}" for i in range(10)]),
        database_ids=np.array([f"d{i}" for i in range(50)]),
        bits=12,
    )
    config = {"dataset": "x", "method": "itq", "bits": 12, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "expected").write_text(f"{evaluate(codes[:10], codes[10:], labels[:10], labels[10:]).map:.4f}")
    return tmp_path


def _evaluate(workdir: Path) -> subprocess.CompletedProcess:
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        f"sys.argv = ['evaluate', '--workdir={workdir}']\n"
        "from experiments import evaluate, program; program.run(evaluate.main)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_prints_the_table_without_tensorflow(workdir):
    done = _evaluate(workdir)
    assert done.returncode == 0, done.stderr
    assert f"MAP {(workdir / 'expected').read_text()} (expected over tied orders)" in done.stdout
    ahead = [line for line in done.stdout.splitlines() if "MAP@50" in line]
    assert len(ahead) == 1 and ahead[0].endswith("(expected over tied orders; divided by the hits within)")
    assert len([line for line in done.stdout.splitlines() if line.strip()[:2].strip().isdigit()]) >= 13


def test_precision_at_n_tells_its_tie_rule():
    """One query, all of 150 items tied, 30 of them relevant: 1/5 is expected among any 100, whatever their order."""
    labels = (np.arange(150) < 30).astype(np.uint8)[:, None]
    found = metrics(evaluate(np.ones((1, 4), np.int8), np.ones((150, 4), np.int8), labels[:1], labels), 150)
    told = {"method": "itq", "dataset": "x", "bits": 4, "seed": 0, "n_train": 1, "n_query": 1, "n_database": 150}
    assert "           P@100 0.2000 (expected over tied orders)" in summary({**told, **found}).splitlines()


def test_another_number_of_bits(workdir):
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "config.json").write_text(json.dumps({**config, "bits": 16}))
    done = _evaluate(workdir)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "codes.npz: bits: found codes of 12 bits, expected 16" in errors[0]


def test_no_run_folder(tmp_path):
    done = _evaluate(tmp_path)
    assert done.returncode == 2 and "config.json: found no such file" in done.stderr
