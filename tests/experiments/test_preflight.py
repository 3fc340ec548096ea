"""What is in the way of runs, found before the first starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from experiments import preflight
from tests.experiments.conftest import parsed
from tests.experiments.test_own_method import THIN

ROOT = Path(__file__).parents[2]


def problems(check, *runs: list[str]) -> list[str]:
    preflight._seen.clear()
    with parsed():
        return preflight._problems(runs, check)


@pytest.fixture
def features(tmp_path) -> Path:
    folder = tmp_path / "features"
    folder.mkdir()
    summary = {"dataset": "cifar10", "backbone": "x", "image_size": 8, "dim": 4, "mirrored": False, "fingerprint": "x"}
    (folder / "features.json").write_text(json.dumps(summary))
    return folder


def test_what_files_are_missing(label_lists, features, tmp_path):
    """Each is one line; the same for many runs is one line with their number."""
    lists = ["--dataset=image_lists", f"--lists_dir={label_lists}"]
    (tmp_path / "net.keras").write_text("")
    for given, line in (
        (["--typo=3"], "--typo: found no such flag"),
        (["--seed=x"], "--seed: found 'x', expected an integer"),
        (["--dataset=nope"], "dataset: found 'nope', expected one of multi_digits"),
        (["--dataset=image_lists"], "lists_dir: found none"),
        (["--dataset=image_lists", "--lists_dir=absent"], "absent: no such folder"),
        ([*lists], f"{label_lists}/train/0.jpg: found no such file, expected an image of the train list"),
        ([*lists, "--images_root=absent"], "absent/train/0.jpg: found no such file"),
        (["--dataset=image_folder", "--images_root=absent"], "absent: no such folder"),
        (["--dataset=nus_wide_21", "--data_dir=absent"], "absent: found no ImageList here"),
        (["--dataset=mirflickr25k", "--data_dir=absent"], "absent: found no mirflickr here"),
        ([*lists, "--features=absent"], "absent/features.json"),
        ([*lists, f"--features={features}"], "features.json: dataset: found 'cifar10', expected 'image_lists'"),
        (["--backbone=absent.keras"], "backbone: absent.keras: found no such file"),
        (["--backbone=cnn_f", "--backbone_weights=absent.mat"], "backbone_weights: absent.mat: found no such file"),
        (
            ["--lists_dir=x"],
            "lists_dir: found 'x', which --dataset=multi_digits does not read, expected --dataset=image_lists",
        ),
        (["--dataset=cifar10", "--nus_pool=tagged"], "nus_pool: found 'tagged', which --dataset=cifar10 does not read"),
    ):
        found = problems(preflight.check_files, given, [*given, "--bits=8"], ["--bits=16"])
        assert len(found) == 1 and line in found[0] and found[0].endswith("(2 of 3 runs)"), (given, found)
    for given in (
        [], [*lists, "--phases=labnet"], [f"--backbone={tmp_path}/net.keras"], ["--dataset=cifar10"], [*lists, "--skip_bad_images"],
        ["--backbone=cnn_f", "--backbone_weights=random"], ["--backbone=resnet50", "--backbone_weights=imagenet"],
    ):  # fmt: skip
        assert problems(preflight.check_files, given) == []


def test_lists_whose_images_are_there(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png")
    (tmp_path / "train.txt").write_text("a.png 1 0\n")
    (tmp_path / "test.txt").write_text("b.png 1 1\n")
    given = ["--dataset=image_lists", f"--lists_dir={tmp_path}"]
    assert problems(preflight.check_files, given) == []
    (tmp_path / "b.png").unlink()
    assert "b.png: found no such file, expected an image of the query list" in problems(preflight.check_files, given)[0]


def test_settings_backbones_and_tfds(tf, tmp_path):
    for given, line in (
        (["--method=nope"], "method: found 'nope', expected one of lsh"),
        (
            ["--method=itq", "--set=iteratons=3"],
            "set: found 'iteratons=3', expected name=value with name one of iterations",
        ),
        (["--method=itq", "--preset=paper"], "preset: found 'paper', but itq has no such setting"),
        (["--method=itq", "--train_backbone"], "train_backbone: found True, but itq has no network"),
        (["--backbone=rsnet50"], "backbone: found 'rsnet50', expected compact, cnn_f"),
        (["--backbone=cnn_f"], "backbone_weights: found none, expected the path of imagenet-vgg-f.mat"),
        (["--dataset=tfds:no_such_set"], "dataset: TFDS cannot make 'no_such_set'"),
        (["--dataset=imagenet_100", f"--data_dir={tmp_path}"], f"nor files in {tmp_path}/downloads/manual"),
    ):
        (found,) = problems(preflight.check_method, given)
        assert line in found, given
    for given in (
        [],
        ["--method=itq"],
        ["--phases=labnet", "--backbone=cnn_f"],
        ["--dataset=cifar10", f"--data_dir={tmp_path}"],
    ):
        assert problems(preflight.check_method, given) == []


@pytest.mark.slow
def test_a_suite_without_its_data_starts_nothing_and_a_class_from_elsewhere_is_found(tmp_path, monkeypatch):
    from experiments import suite

    (tmp_path / "their.py").write_text(f'{THIN}\n\nFirstPixels.trials = ({{}}, {{"a": 1}})\n')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    command = [
        sys.executable, "-m", "experiments.suite", "--suite=table1", "--datasets=nus_wide_21,mirflickr25k", "--bits=8",
        "--methods=their:FirstPixels,lsh", f"--runs={tmp_path / 'runs'}", f"--run_flag=--data_dir={tmp_path}/no", "--seeds=0",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert [line[: 7 + len(f"{tmp_path}/no")] for line in done.stderr.splitlines()] == [f"error: {tmp_path}/no"] * 2
    assert "(2 of 4 runs)" in done.stderr
    assert suite.outside_methods(["itq", "their:FirstPixels"]) == {"their:FirstPixels": ({}, {"a": 1})}


def test_files_are_looked_at_without_tensorflow():
    code = (
        'import sys, io\nsys.stdin = io.StringIO(\'[["--dataset=nus_wide_21", "--data_dir=absent"]]\')\n'
        "from experiments import preflight\npreflight.main()\nassert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "absent: found no ImageList" in json.loads(done.stdout)[0]
