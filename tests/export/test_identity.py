"""Which encoders' codes may be compared. No TensorFlow here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dseh_tf.errors import InputError
from dseh_tf.export import about, about_model, check_same
from tests.export.runs import shallow_run

CONFIG = {"bits": 12, "method": "itq", "dataset": "x", "seed": 3, "features": {"backbone": "small"}}
MAP = {"alone": 0.5, "float32_database": 0.25, "float32": 0.75}


def export(folder: Path, encoder: str = "float32", **about) -> Path:
    """An export as far as `model.json`."""
    folder.mkdir()
    model_format = "litert" if encoder == "float32" else encoder
    found = {"bits": 12, "method": "itq", "dataset": "x", "seed": 3, "backbone": "small", **about}
    if encoder != "float32":
        found["encoder"] = encoder
    content = {
        "format": 1, "model_format": model_format, "encoder": encoder, "bits": 12, "about": found, "class_names": [],
        "image_size": [6, 5], "input": {}, "files": {}, "digest": "", "versions": {}, "check_images": [],
        "check": {} if encoder == "float32" else {"map": MAP},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def test_fields():
    assert about(CONFIG) == {"bits": 12, "method": "itq", "dataset": "x", "seed": 3, "backbone": "small"}
    assert about({"trunk": {"backbone": "/a/small.keras"}, **CONFIG})["backbone"] == "/a/small.keras"


def test_of_a_folder(tmp_path):
    shallow_run(tmp_path / "run")
    found = {"dataset": "arrays", "method": "lsh", "bits": 12, "seed": 0, "backbone": "compact"}
    assert about_model(tmp_path / "run") == found
    assert about_model(export(tmp_path / "int8", "litert_int8"))["encoder"] == "litert_int8"
    with pytest.raises(InputError, match=r"config\.json: found no such file"):
        about_model(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("bits", 16), ("method", "lsh"), ("backbone", "large"), ("seed", 4)])
def test_another_run(tmp_path, field, value):
    model = export(tmp_path / "model")
    assert check_same(model, about(CONFIG), "the index") is None
    assert check_same(model, {}, "the index") is None  # an index of codes from elsewhere
    with pytest.raises(InputError, match=f"model: {field}: found .*, expected {value} as in the index"):
        check_same(model, {**about(CONFIG), field: value}, "the index", allow_mixed=True)


def test_another_precision(tmp_path):
    int8, plain, codes = export(tmp_path / "int8", "litert_int8"), export(tmp_path / "plain"), about(CONFIG)
    assert check_same(int8, {**codes, "encoder": "litert_int8"}, "the index") is None
    with pytest.raises(
        InputError, match=r"encoder: found litert_int8, expected float32 as in the index \(--allow_mixed"
    ):
        check_same(int8, codes, "the index")
    with pytest.raises(InputError, match="encoder: found float32, expected litert_int8"):
        check_same(plain, {**codes, "encoder": "litert_int8"}, "the index")
    told = check_same(int8, codes, "the index", allow_mixed=True)
    assert told.endswith(
        "MAP at its export: 0.5000 alone, 0.2500 with a database of float32 codes, 0.7500 float32 alone"
    )
    told = check_same(plain, {**codes, "encoder": "litert_int8"}, "the index", allow_mixed=True)
    assert told.endswith("plain encodes by float32, the index holds codes by litert_int8")


def test_no_tensorflow(tmp_path):
    model = export(tmp_path / "model")
    code = (
        "import sys\nfrom dseh_tf.export import about_model, check_same\n"
        f"check_same({str(model)!r}, about_model({str(model)!r}), 'x')\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
