"""Rows of results from run folders: which runs are taken, and how rows are read, merged and written."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.files import json_text
from dseh_tf.runs.schema import identity
from experiments import collect, result_rows, suites
from experiments.suite_options import Options
from experiments.suites import Row, Suite
from tests.runs import FORMAT_1

SMALL = Options(rounds=1, imgnet_epochs=3, settings={"labnet_width": 32, "feature_dim": 4})
SUITE = Suite(("multi_digits",), ("itq", Row("dseh", SMALL), Row("lsh")), (8,), (0,))


@pytest.fixture
def room(tmp_path) -> Path:
    """The two run folders of format 1, written on the second of January 2026."""
    shutil.copytree(FORMAT_1, tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*/result.json"):
        os.utime(path, (1767312000 + 60, 1767312000 + 60))
    return tmp_path / "runs"


@pytest.fixture
def call(monkeypatch):
    """call(...) is `python -m experiments.collect ...` with SUITE as the suite `multi_digits`."""
    monkeypatch.setattr(suites, "load", lambda name: SUITE)

    def _call(*arguments: str) -> None:
        values = flags.FlagValues()
        collect.define_flags(values)
        values(["collect", *arguments])
        collect.main(["collect"], values)

    return _call


@pytest.fixture
def today(monkeypatch):
    """What the registry resolves rows to, without asking it: what the run folders hold."""
    known = {name: json.loads((FORMAT_1 / name / "config.json").read_text()) for name in ("itq", "dseh")}

    def expected(commands):
        found = []
        for command in commands:
            method = next(item.removeprefix("--method=") for item in command if item.startswith("--method="))
            config = known[method]
            data = {name: value for name, value in config["data"].items() if name != "validation"}
            preset = {"preset": "modern", "phases": "all"} if method == "dseh" else {}
            found.append({"settings": config["settings"], "data": data, "whole_database": False, **preset})
        return found

    monkeypatch.setattr(collect, "expected", expected)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def changed(folder: Path, **values) -> None:
    """Changes fields of a run folder's config.json."""
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json_text(config))


def test_runs_become_rows(call, room, tmp_path, capsys):
    """With the real registry: DSEH's small run is of the suite's row, which gives rounds, epochs and two settings."""
    out = tmp_path / "results" / "multi_digits.csv"
    call("--suite=multi_digits", f"--runs={room}", f"--out={out}")
    dseh, itq = rows_of(out)
    assert dseh == {
        "data": "multi_digits", "method": "dseh", "preset": "modern",
        "settings": "rounds=1 imgnet_epochs=3 labnet_width=32 feature_dim=4", "bits": "8", "seed": "0",
        "map": "0.439460", "map_stable_order": "0.439697", "map_unseen": "0.438679", "map_encoded_database": "",
        "map_labels": "0.821098", "n_h": "125",
        "train_seconds": "69.2", "commit": "unknown", "hardware": "x86_64, 2 cores", "date": "2026-01-02", "lists": "",
        "backbone": "compact at 48 pixels",
    }  # fmt: skip
    assert itq["method"] == "itq" and itq["settings"] == itq["preset"] == itq["map_labels"] == itq["n_h"] == ""
    assert itq["map"] == "0.364556" and itq["train_seconds"] == "8.4"
    assert capsys.readouterr().out == f"{out}: 2 rows, 2 of them new\n"
    written = out.read_bytes()
    call("--suite=multi_digits", f"--runs={room}", f"--out={out}")
    assert out.read_bytes() == written and capsys.readouterr().out == f"{out}: 2 rows, 0 of them new\n"


def test_other_runs_are_left_out_and_say_why(call, today, room, tmp_path, capsys):
    config = json.loads((room / "itq" / "config.json").read_text())
    for name, values in {
        "settings": {"settings": {"iterations": 99, "normalise": True}},
        "older": {"settings": {"normalise": True}},
        "split": {"data": {**config["data"], "queries": 7}},
        "trial": {"data": {**config["data"], "validation": 0.1}},
        "bfloat16": {"bfloat16": True},
        "data_set": {"dataset": "cifar10"},
    }.items():
        shutil.copytree(room / "itq", room / name)
        changed(room / name, **values)
        if "dataset" in values:
            result = json.loads((room / name / "result.json").read_text()) | values
            (room / name / "result.json").write_text(json_text(result))
    shutil.copytree(room / "dseh", room / "preset")
    changed(room / "preset", preset="release")
    result = json.loads((room / "preset" / "result.json").read_text()) | {"preset": "release"}
    (room / "preset" / "result.json").write_text(json_text(result))
    (room / "unfinished").mkdir()
    (room / "unfinished" / "config.json").write_text((room / "itq" / "config.json").read_text())
    out = tmp_path / "out.csv"
    call("--suite=multi_digits", f"--runs={room}", f"--out={out}")
    assert [row["method"] for row in rows_of(out)] == ["dseh", "itq"]
    lines = capsys.readouterr().out.splitlines()
    for name, line in {
        "settings": "settings.iterations: found 99, expected 50 as the suite's row has today",
        "older": "settings.iterations: found nothing, expected 50",
        "split": "data.queries: found 7, expected null",
        "trial": "its queries are held-out training rows",
        "bfloat16": "bfloat16: found true, expected false",
        "data_set": "found no row of multi_digits for its method, data set and lists",
        "preset": "preset: found 'release', expected 'modern'",
        "unfinished": "found no result.json, expected a finished run",
    }.items():
        (found,) = [each for each in lines if each.startswith(f"left out: {room / name}:")]
        assert line in found
    assert len(lines) == 9
    call("--suite=multi_digits", f"--runs={room / 'older'}", f"--out={out}", "--unrecorded=iterations")
    assert "2 rows, 0 of them new" in capsys.readouterr().out
    with pytest.raises(InputError, match="found no finished run of multi_digits"):
        call("--suite=multi_digits", f"--runs={room / 'settings'}", f"--out={out}", "--unrecorded=iterations")


def test_rows_of_other_image_lists_are_left_out(room):
    suite = Suite(("image_lists",), ("itq",), (8,), (0,), lists={"abc": "birds"})
    run = collect._read(room / "itq", [])
    run.config["dataset"] = "image_lists"
    assert collect._candidates(suite, run) == []
    run.config["lists"] = "abd"
    assert collect._candidates(suite, run) == []
    run.config["lists"] = "abc"
    assert collect._candidates(suite, run) == [Options()]
    row = result_rows.row_of(run, Options(preset_dataset="imagenet"), suite.lists)
    assert row["data"] == "birds" and row["lists"] == "abc" and row["settings"] == "preset_dataset=imagenet"


def test_what_a_folder_does_not_hold_is_unknown(room):
    changed(room / "itq", git_commit="", machine={})
    row = result_rows.row_of(collect._read(room / "itq", []), Options(), {})
    assert row["commit"] == row["hardware"] == "unknown"
    changed(room / "itq", git_commit="0123456789abcdef")
    assert result_rows.row_of(collect._read(room / "itq", []), Options(), {})["commit"] == "0123456789ab"


def test_the_network_of_a_run_becomes_flags():
    config = {"dataset": "ms_coco", "method": "csq", "bits": 8, "seed": 3}
    trunk = {"backbone": "net.keras", "image_size": 96, "train": False, "scaling": [1.0, 2.0], "weights": None}
    assert collect._flags({**config, "trunk": trunk}, Options(rounds=2)) == [
        "--dataset=ms_coco", "--method=csq", "--bits=8", "--seed=3", "--backbone=net.keras", "--image_size=96",
        "--backbone_scaling=1.0,2.0", "--rounds=2",
    ]  # fmt: skip
    trained = collect._flags(
        {**config, "trunk": {**trunk, "train": True, "train_from": "top", "scaling": None}}, Options()
    )
    assert trained[-2:] == ["--train_backbone=true", "--train_backbone_from=top"]
    assert collect._flags(config, Options()) == ["--dataset=ms_coco", "--method=csq", "--bits=8", "--seed=3"]


def row(**values: object) -> dict[str, str]:
    plain = {**dict.fromkeys(result_rows.FIELDS, ""), "data": "birds", "method": "itq", "bits": "8", "seed": "0"}
    return {**plain, **{name: str(value) for name, value in values.items()}}


def test_merging():
    before = [row(map=0.5, date="2026-01-01"), row(seed=10, map=0.7)]
    new = [row(map=0.5, date="2026-02-02"), row(seed=2, map=0.6), row(method="csq", bits=16), row(seed=10, map=0.8)]
    rows, lines = result_rows.merged(before, new)
    assert [(each["method"], each["bits"], each["seed"]) for each in rows] == [
        ("csq", "16", "0"), ("itq", "8", "0"), ("itq", "8", "2"), ("itq", "8", "10"),
    ]  # fmt: skip
    assert rows[1] == before[0]  # a copy of the same run
    assert rows[3]["map"] == "0.8" and lines == ["replaced: birds itq, 8 bits, seed 10: map 0.7 -> 0.8"]
    rows, _ = result_rows.merged(before, [row(settings="iterations=3"), row(preset="release"), row(data="bees")])
    assert len(rows) == 5
    with pytest.raises(
        InputError, match=r"birds itq, 8 bits, seed 4: lists: found 'b', expected '' as in the other rows"
    ):
        result_rows.merged(before, [row(seed=4, lists="b")])
    with pytest.raises(InputError, match="backbone: found 'other at 96 pixels'"):
        result_rows.merged(before, [row(seed=4, backbone="other at 96 pixels")])


def test_a_file_is_the_same_whatever_the_order_of_rows(tmp_path):
    rows = [row(seed=s, map=0.25, hardware="x86_64, 2 cores") for s in range(12)]
    result_rows.write(tmp_path / "a.csv", rows)
    result_rows.write(tmp_path / "b.csv", rows[::-1])
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()
    assert result_rows.read(tmp_path / "a.csv") == rows == rows_of(tmp_path / "a.csv")


HEADER = ",".join(result_rows.FIELDS)
LINE = "birds,itq,,,8,0,.5,.5,,,,,3.0,abc,unknown,2026-01-01,,"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1: found 'an empty file', expected data,method"),
        ("data,method\n", "line 1: found 'data,method', expected data,method,preset"),
        (f"{HEADER}\nbirds,itq\n", "line 2: found 2 values, expected 18"),
        (f"{HEADER}\n{LINE}\n{LINE}\n", "line 3: found a second row of birds itq, 8 bits, seed 0, expected one"),
        (f"{HEADER}\n{LINE.replace(',8,', ',eight,')}\n", "line 2: bits: found 'eight', expected a number"),
        (f"{HEADER}\n{LINE.replace(',8,', ',,')}\n", "line 2: bits: found '', expected a number"),
        (f"{HEADER}\n{LINE.replace('.5,.5', 'high,.5')}\n", "line 2: map: found 'high', expected a number"),
        (f"{HEADER}\n{LINE.replace('.5,.5', 'nan,.5')}\n", "line 2: map: found 'nan', expected a number"),
        (f'{HEADER}\n"birds\n', "expected a table of experiments.collect"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, text, line):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        result_rows.read(path)
    assert str(error.value).startswith(f"{path}: ") and line in str(error.value) and "\n" not in str(error.value)
    path.write_text(f"{HEADER}\n{LINE}\n")
    assert len(result_rows.read(path)) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--suite: found none, expected one of coco_labels, corel5k"),
        (["--suite=quick"], "--runs: found none"),
        (["--suite=quick", "--runs=absent"], "--runs: found no folder absent"),
    ],
)
def test_bad_flags(call, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line):
        call(*arguments)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="--runs: found no run folder in empty"):
        call("--suite=quick", "--runs=empty")


def test_a_changed_configuration_is_not_taken(room):
    """A config.json that was edited no longer fits its digest."""
    config = json.loads((room / "itq" / "config.json").read_text())
    stamped = {"format": 2, "identity": identity(config), **config}
    (room / "itq" / "config.json").write_text(json_text(stamped))
    assert collect._read(room / "itq", []) is not None
    changed(room / "itq", seed=1)
    lines: list[str] = []
    assert collect._read(room / "itq", lines) is None and "the file was changed" in lines[0]
