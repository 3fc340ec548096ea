"""A collapse is said while LabNet trains and at the end, and is kept; healthy codes are measured without a word."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.retrieval import code_health, evaluate, load_codes
from experiments import health
from figures import report
from figures.runs import read_runs
from tests.experiments.test_evaluate import _evaluate

SMALL = ("--set=labnet_width=64", "--set=feature_dim=32", "--rounds=1", "--labnet_epochs=20")


def write_lists(folder: Path, labels: np.ndarray) -> Path:
    """Label lists whose image files do not exist: the first rows train, every fifth row of them is a query too."""
    folder.mkdir()
    for name, rows in (("train", labels), ("test", labels[::5])):
        lines = [f"{name}/{i}.jpg " + " ".join(map(str, row)) for i, row in enumerate(rows)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def warnings(caplog) -> list[str]:
    return [line for record in caplog.records if (line := record.getMessage()).startswith("warning:")]


def test_a_collapse_on_twenty_classes(run, result, tmp_path, caplog, capsys):
    """A similarity of .001 asks all pairs to be unlike, also those of one class."""
    lists, workdir = write_lists(tmp_path / "lists", np.eye(20, dtype=int)[np.arange(400) % 20]), tmp_path / "run"
    run("--dataset=image_lists", f"--lists_dir={lists}", "--phases=labnet", f"--workdir={workdir}", "--bits=24", *SMALL,
        "--preset=release", "--set=labnet_code_similarity=0.001", "--set=labnet_feature_similarity=0.001")  # fmt: skip
    during, last = warnings(caplog)
    assert during.startswith("warning: codes have collapsed: ") and "(round 0, labnet, epoch " in during
    assert 17 <= int(during.split("epoch ")[1].split(")")[0]) < 20  # 200 steps are 17 epochs
    assert "(labnet); try --preset=modern, " in last and last.endswith(", or smaller learning rates")
    found = result(workdir)["code_health"]
    assert found["warning"] == last and found["labnet"]["label_vectors"] == 20
    assert found["labnet"]["distinct_codes"] == result(workdir)["distinct_label_codes"] < 10
    printed = capsys.readouterr().out
    assert f"  {last}\n" in printed and "  health   labnet: " in printed
    (path,) = report.draw(read_runs(tmp_path), tmp_path / "out")
    page = path.read_text()
    assert '<h2 id="health">Code health</h2>' in page and page.count("⚠ collapsed") == 1
    assert last in page and f"{found['labnet']['distinct_codes']} / 20" in page


def test_healthy_codes_of_several_labels(run, result, tmp_path, caplog, capsys):
    """Fewer codes than label vectors are no collapse."""
    rng = np.random.default_rng(3)
    labels = (rng.random((400, 12)) < 0.15).astype(int)
    labels[np.arange(400), rng.integers(0, 12, 400)] = 1
    lists, workdir = write_lists(tmp_path / "lists", labels), tmp_path / "run"
    run("--dataset=image_lists", f"--lists_dir={lists}", "--phases=labnet", f"--workdir={workdir}", "--bits=16", *SMALL,
        "--set=labnet_weight_size=0.1", "--set=labnet_learning_rate=0.003")  # fmt: skip
    assert warnings(caplog) == []
    found = result(workdir)["code_health"]
    assert set(found) == {"labnet"}
    assert 12 < found["labnet"]["distinct_codes"] < found["labnet"]["label_vectors"]
    assert {"units", "dead_units", "mean_correlation", "least_distance"} <= set(found["labnet"])
    assert "warning" not in capsys.readouterr().out
    events = b"".join(path.read_bytes() for path in (workdir / "tensorboard").iterdir())
    assert b"health/labnet/distinct_codes" in events and b"health/labnet/dead_units" in events


@pytest.fixture
def partly_trained(lists, tmp_path) -> Path:
    """100 of 160 database rows are training rows."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "test.txt").write_text((lists / "test.txt").read_text())
    lines = (lists / "train.txt").read_text().splitlines(keepends=True)
    (folder / "database.txt").write_text("".join(lines))
    (folder / "train.txt").write_text("".join(lines[::8] + lines[1::2]))
    return folder


def test_map_over_rows_that_were_not_trained_on(run, result, lists, partly_trained, tmp_path, capsys):
    workdir = tmp_path / "run"
    run("--dataset=image_lists", f"--lists_dir={partly_trained}", f"--images_root={lists}", "--method=lsh", "--bits=12",
        f"--workdir={workdir}")  # fmt: skip
    found, codes = result(workdir), load_codes(workdir / "codes.npz")
    trained = set((partly_trained / "train.txt").read_text().split()) & set(codes.database_ids.tolist())
    unseen = np.array([name not in trained for name in codes.database_ids.tolist()])
    assert unseen.sum() == found["n_database_unseen"] == 60
    np.testing.assert_array_equal(codes.database_trained, ~unseen)
    rest = evaluate(
        codes.query_codes, codes.database_codes[unseen], codes.query_labels, codes.database_labels[unseen], 12
    )
    whole = evaluate(codes.query_codes, codes.database_codes, codes.query_labels, codes.database_labels, 12)
    assert found["map_unseen"] == pytest.approx(rest.map, abs=1e-12)
    assert found["map"] == pytest.approx(whole.map, abs=1e-12)
    assert found["map_stable_order"] == pytest.approx(whole.map_stable_order, abs=1e-12)
    line = f"MAP {rest.map:.4f} (expected over tied orders) over the 60 database rows that were not trained on"
    assert line in capsys.readouterr().out
    measured = code_health(codes.database_codes, codes.database_labels, 12).record()
    assert found["code_health"] == {"database": measured}  # and no warning of random projections
    events = b"".join(path.read_bytes() for path in (workdir / "tensorboard").iterdir())
    assert b"health/database/worst_balance" in events

    done = _evaluate(workdir)
    assert line in done.stdout and f"  health   database: {measured['distinct_codes']} distinct codes" in done.stdout
    (workdir / "result.json").unlink()
    arrays = {name: value for name, value in np.load(workdir / "codes.npz").items() if name != "database_trained"}
    np.savez(workdir / "codes.npz", **arrays)  # as written before the mask existed
    done = _evaluate(workdir)
    assert done.returncode == 0 and "not trained on" not in done.stdout and f"MAP {whole.map:.4f}" in done.stdout


@pytest.mark.parametrize("part", ["all", "none"])
def test_no_such_map(run, result, lists, partly_trained, tmp_path, part):
    """The database is the training set, or holds no row of it."""
    lines = (partly_trained / "database.txt").read_text().splitlines(keepends=True)
    (partly_trained / "train.txt").write_text("".join(lines if part == "all" else lines[:80]))
    (partly_trained / "database.txt").write_text("".join(lines if part == "all" else lines[80:]))
    run("--dataset=image_lists", f"--lists_dir={partly_trained}", f"--images_root={lists}", "--method=lsh", "--bits=12",
        f"--workdir={tmp_path / 'run'}")  # fmt: skip
    assert not {"map_unseen", "n_database_unseen"} & set(result(tmp_path / "run"))


def test_a_record_names_what_is_wrong_where():
    codes, labels = np.ones((40, 8), np.int8), np.eye(4, dtype=np.uint8)[np.arange(40) % 4]
    found = health.record({"labnet": code_health(codes, labels), "database": code_health(codes, labels)}, "try less")
    text = "1 distinct code for 4 label vectors, 8 constant bits of 8"
    assert found["warning"] == f"warning: codes have collapsed: {text} (labnet); {text} (database); try less"
    assert json.loads(json.dumps(found)) == found
    assert [line.split(":")[0] for line in health.lines(found)] == [
        "  health   labnet",
        "  health   database",
        "  warning",
    ]
