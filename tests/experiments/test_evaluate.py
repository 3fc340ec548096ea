"""The evaluation program reads codes again, without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes, pack, save_codes
from experiments.evaluation import print_report
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


def _finish(workdir, **changed):
    """Writes the result.json that belongs to the folder's codes, with some fields changed."""
    codes = load_codes(workdir / "codes.npz")
    report = evaluate(codes.query_codes, codes.database_codes, codes.query_labels, codes.database_labels, codes.bits)
    found = {"dataset": "x", "method": "itq", "bits": 12, "seed": 0, "n_train": 50, "n_query": 10, "n_database": 50}
    (workdir / "result.json").write_text(json.dumps({**found, **metrics(report, 50), **changed}))


def test_numbers_that_agree_with_result_json(workdir):
    _finish(workdir)
    done = _evaluate(workdir)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "error" in line]) == (0, [])


def test_codes_of_another_run_are_told(workdir, tmp_path, rng):
    """A codes.npz that is consistent in itself but not the run's: the table of what it holds, one line, exit code 2."""
    _finish(workdir)
    stored = load_codes(workdir / "codes.npz")
    old = json.loads((workdir / "result.json").read_text())["map"]
    swapped = {**vars(stored), "database_codes": stored.database_codes[rng.permutation(50)]}
    save_codes(workdir / "codes.npz", **swapped)
    now = evaluate(*(swapped[f"{p}_{w}"] for w in ("codes", "labels") for p in ("query", "database")), 12).map
    done = _evaluate(workdir)
    assert done.returncode == 2 and f"MAP {now:.4f} (expected over tied orders)" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert line == (
        f"error: {workdir / 'result.json'}: map: found {old}, expected {now} as in codes.npz and config.json; "
        "the files are from different runs"
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"map_at": {"50": 0.123}}, "map_at.50: found 0.123, expected 0."),
        ({"method": "lsh"}, "method: found 'lsh', expected 'itq'"),
        ({"bits": 16}, "bits: found 16, expected 12"),
        ({"n_query": 11}, "n_query: found 11, expected 10"),
        ({"map": "high"}, "map: found 'high', expected a number"),
        ({"map_at": {"50": "high"}}, "map_at.50: found 'high', expected a number"),
        ({"map_at": 3}, "map_at: found 3, expected a JSON object"),
        ({"train_seconds": "long"}, "train_seconds: found 'long', expected a number"),
        ({"map_labels": 0.5}, "map_labels_database: found None, expected a value beside map_labels"),
        ({"code_health": {"train": {"distinct_codes": "all"}}}, "code_health.train.label_vectors: found None"),
        ({"code_health": {"train": 3}}, "code_health.train: found 3, expected a JSON object"),
        ({"code_health": {"warning": 3}}, "code_health.warning: found 3, expected a text"),
        ({"n_train": -1}, "n_train: found -1, expected a whole number of at least 0"),
        ({"n_train": True}, "n_train: found True, expected a whole number of at least 0"),
    ],
)
def test_a_result_that_is_not_the_codes(workdir, changed, told):
    _finish(workdir, **changed)
    with pytest.raises(InputError) as error:
        print_report(workdir)
    assert str(error.value).startswith(f"{workdir / 'result.json'}: {told}") and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["dataset", "method", "bits", "seed", "map"])
def test_a_result_without_what_every_run_has(workdir, name):
    """An empty result.json has nothing that differs; it is no result of a run with codes either."""
    _finish(workdir)
    result = json.loads((workdir / "result.json").read_text())
    del result[name]
    (workdir / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=rf"result\.json: {name}: found None, expected "):
        print_report(workdir)


@pytest.mark.parametrize(
    "changed", [{"bits": "12"}, {"bits": [12]}, {"bits": 0}, {"seed": None}, {"method": 3}, {"trunk": 7}]
)
def test_an_odd_config(workdir, changed):
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(InputError, match=rf"config\.json: {next(iter(changed))}: found .*, expected "):
        print_report(workdir)


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
