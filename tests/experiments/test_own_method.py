"""A stranger's method, in a file outside the package, runs like the others."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes

MARGIN = """
from dataclasses import dataclass

import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings


@dataclass(frozen=True)
class MarginSettings(DeepSettings):
    \"\"\"margin: that dissimilar rows are held apart by.\"\"\"

    margin: float = 1.0
    floor: float | None = None
    widths: tuple[float, ...] = ()


class Margin(DeepMethod):
    name = "margin"
    Settings = MarginSettings
    PUBLISHED = {"nus_wide": MarginSettings()}

    def loss(self, outputs, batch, bank):
        codes = tf.tanh(outputs["logits"])
        similar = losses.similarity(batch["labels"], batch["labels"])
        distance = 0.5 * (1 - tf.matmul(codes, codes, transpose_b=True) / self.bits)
        apart = tf.nn.relu(self.settings.margin - distance)
        return {"total": tf.reduce_mean(similar * distance + (1 - similar) * apart)}
"""
THIN = """
import numpy as np

from dseh_tf.methods import Fitted, Method
from dseh_tf.methods.base import input_matrix


class FirstPixels(Method):
    name = "first_pixels"

    def fit(self, dataset, runtime=None):
        return Codes(self.bits)


class Codes(Fitted):
    def encode(self, split, modality="image"):
        return np.where(input_matrix(split)[:, : self.bits] > 0.5, 1, -1).astype(np.int8)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder on the path with a stranger's module, and small pictures in class folders' colours as lists."""
    from PIL import Image

    (tmp_path / "their_methods.py").write_text(textwrap.dedent(MARGIN) + textwrap.dedent(THIN))
    monkeypatch.syspath_prepend(str(tmp_path))
    lists = tmp_path / "lists"
    lists.mkdir()
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, 3))
    for name, count in (("train", 64), ("test", 12)):
        lines = []
        for i in range(count):
            label = int(rng.integers(3))
            pixels = np.clip(colours[label] + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(lists / f"{name}{i}.png")
            lines.append(f"{name}{i}.png " + " ".join(str(int(k == label)) for k in range(3)))
        (lists / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def _arguments(folder, method: str) -> list[str]:
    return [
        "--dataset=image_lists", f"--lists_dir={folder / 'lists'}", f"--method={method}", "--image_size=16", "--bits=8",
        f"--data_dir={folder / 'data'}", f"--workdir={folder / 'run'}",
    ]  # fmt: skip


def test_a_deep_method_from_elsewhere(run, result, elsewhere, capsys):
    # 80 steps: the normalised outputs of a network from scratch need some until their running statistics are theirs.
    arguments = [*_arguments(elsewhere, "their_methods:Margin"), "--set=epochs=40", "--set=margin=0.8", "--learning_rate=0.003",
                 "--set=floor=0.5", "--set=widths=0.5,1.0"]  # fmt: skip
    run(*arguments)
    found = result(elsewhere / "run")
    assert found["method"] == "margin" and found["map"] > 0.8
    config = json.loads((elsewhere / "run" / "config.json").read_text())
    assert config["method_class"] == "their_methods:Margin"
    settings = {name: config["settings"][name] for name in ("margin", "learning_rate", "floor", "widths")}
    assert settings == {"margin": 0.8, "learning_rate": 0.003, "floor": 0.5, "widths": [0.5, 1.0]}
    assert (elsewhere / "run" / "losses.npz").exists() and (elsewhere / "run" / "imgnet.keras").exists()
    capsys.readouterr()
    run(*arguments)
    assert "finished" in capsys.readouterr().out


def test_a_method_without_a_network(run, result, elsewhere):
    run(*_arguments(elsewhere, "their_methods:FirstPixels"))
    assert result(elsewhere / "run")["method"] == "first_pixels"
    codes = load_codes(elsewhere / "run" / "codes.npz", bits=8)
    assert codes.query_codes.shape == (12, 1)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nowhere_at_all:Thing", "method: nowhere_at_all:Thing: No module named 'nowhere_at_all'"),
        ("their_methods:Nope", "method: their_methods:Nope: module 'their_methods' has no attribute 'Nope'"),
        ("their_methods:np", "method: their_methods:np: found <module 'numpy'"),
        ("nope", "method: found 'nope', expected one of lsh, sh, itq"),
    ],
)
def test_what_is_no_method(run, elsewhere, name, line):
    with pytest.raises(InputError) as error:
        run(*_arguments(elsewhere, name))
    assert str(error.value).startswith(line)
