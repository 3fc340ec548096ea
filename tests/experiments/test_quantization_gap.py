"""What the signs cost, from a finished run: on features, on images, and what is refused."""

from __future__ import annotations

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.errors import InputError
from tests.experiments.conftest import parsed
from tests.experiments.test_extract_features import network  # noqa: F401  a fixture

DPSH = ["--method=dpsh", "--bits=8", "--set=epochs=1", "--dataset=image_lists"]


@pytest.fixture
def gap(capsys):
    """gap(workdir, features=..., ...) is the program; returns what it printed."""
    from experiments import quantization_gap

    def call(workdir, **flags) -> str:
        capsys.readouterr()
        places = dict.fromkeys(("features", "data_dir", "lists_dir", "images_root"))
        quantization_gap.main(["quantization_gap"], SimpleNamespace(workdir=workdir and str(workdir), **places | flags))
        return capsys.readouterr().out

    return call


def numbers(printed: str) -> dict[str, float]:
    rows = re.findall(r"^  (MAP of the \w+|mean of \|output\||distinct codes)\s+([\d.]+)", printed, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def by_hand(workdir, inputs_of) -> float:
    """MAP of the outputs, each query's ranking sorted on its own."""
    import keras

    from dseh_tf.retrieval import load_codes

    model, codes = keras.models.load_model(workdir / "imgnet.keras", compile=False), load_codes(workdir / "codes.npz")
    query, database = (
        np.asarray(model(inputs_of(part), training=False)["logits"], np.float64) for part in ("query", "database")
    )
    found = []
    for q, wanted in zip(query, codes.query_labels, strict=True):
        order = np.argsort(-(database @ q) / np.linalg.norm(database, axis=1))
        relevant = (codes.database_labels[order] & wanted).any(axis=1)
        found.append(np.mean(np.arange(1, relevant.sum() + 1) / (np.flatnonzero(relevant) + 1)))
    return float(np.mean(found))


def test_on_features(run, gap, lists, network, tmp_path, result):  # noqa: F811
    from experiments import extract_features

    features, workdir = tmp_path / "features", tmp_path / "run"
    moved = shutil.copytree(lists, tmp_path / "moved")
    with parsed("--dataset=image_lists", f"--lists_dir={moved}", f"--backbone={network}", "--image_size=12"):
        extract_features.main([], SimpleNamespace(out=str(features), mirrored=False, seed=0, progress=False))
    run(*DPSH, f"--lists_dir={moved}", f"--features={features}", f"--workdir={workdir}")
    found = numbers(gap(workdir, features=str(features)))
    assert found["MAP of the codes"] == pytest.approx(result(workdir)["map"], abs=6e-5)
    expected = by_hand(workdir, lambda part: np.load(features / f"{part}.npy"))
    assert found["MAP of the outputs"] == pytest.approx(expected, abs=2e-3)  # near ties, in float64 here

    with pytest.raises(InputError, match="features: found none, expected the folder that the run trained on"):
        gap(workdir)
    shutil.move(moved, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"moved"):
        gap(workdir, features=str(features))
    assert numbers(gap(workdir, features=str(features), lists_dir=str(tmp_path / "elsewhere"))) == found
    (tmp_path / "elsewhere" / "test.txt").write_text("test0.png 1 0 0 0\n")
    with pytest.raises(InputError, match=r"codes\.npz: query_ids: found other rows"):
        gap(workdir, features=str(features), lists_dir=str(tmp_path / "elsewhere"))


def test_on_images_and_held_out_rows(run, gap, lists, tmp_path, result):
    from PIL import Image

    workdir = tmp_path / "run"
    run(*DPSH, f"--lists_dir={lists}", "--image_size=12", "--validation=.2", f"--workdir={workdir}", "--set=batch=32")
    found = numbers(gap(workdir))
    assert found["MAP of the codes"] == pytest.approx(result(workdir)["map"], abs=6e-5)
    from dseh_tf.retrieval import load_codes

    codes = load_codes(workdir / "codes.npz")

    def pixels(part):
        return np.stack([np.asarray(Image.open(lists / name), np.float32) for name in getattr(codes, f"{part}_ids")])

    assert found["MAP of the outputs"] == pytest.approx(by_hand(workdir, pixels), abs=2e-3)


def test_refuses(run, gap, label_lists, tmp_path):
    with pytest.raises(InputError, match="workdir: found none"):
        gap(None)
    with pytest.raises(InputError, match=r"config\.json: found no such file"):
        gap(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"found neither imgnet\.keras nor encoder\.npz, expected the encoder of a finished run"
    ):
        gap(tmp_path)
