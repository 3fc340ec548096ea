"""Exports of small runs of each kind, loaded again: the run's codes, in this process and where the package is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf.errors import InputError
from dseh_tf.export import about, export_run, open_model, verify
from dseh_tf.export.runtimes import needed
from dseh_tf.retrieval import pack
from tests.export import runs

KINDS = {
    "deep": (runs.deep_run, (16, 16)),
    "frozen": (runs.frozen_run, (9, 9)),
    "shallow": (runs.shallow_run, runs.SHAPE),
}
PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}

PLAIN = """
import sys
sys.modules["dseh_tf"] = None  # importing it raises
import numpy as np, tensorflow as tf
folder, images, out = sys.argv[1:]
model = tf.saved_model.load(folder)
found = {}
for name, batch in np.load(images).items():
    outputs = model.signatures["encode"](images=tf.constant(batch))
    assert outputs["code"].dtype == tf.uint8 and outputs["logits"].dtype == tf.float32, outputs
    found[name + "_code"], found[name + "_logits"] = outputs["code"].numpy(), outputs["logits"].numpy()
assert (model.encode(batch)["code"].numpy() == found[name + "_code"]).all()
assert "keras" not in sys.modules or not any(k.startswith("dseh_tf.") for k in sys.modules)
np.savez(out, **found)
"""


@pytest.fixture(scope="module")
def exports(tf, tmp_path_factory):
    """By kind: the run, and its SavedModel's folder."""
    root = tmp_path_factory.mktemp("exports")
    found = {}
    for kind, (make, shape) in KINDS.items():
        run = make(root / kind)
        out = root / f"{kind}-export"
        export_run(run, out, runs.dataset(*shape), class_names=["dark", "bright"])
        found[kind] = run, out
    return found


def images_of(kind: str, count: int = 5) -> np.ndarray:
    return runs.dataset(*KINDS[kind][1], seed=9).query.images.array[:count]


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_the_runs(exports, kind, tmp_path):
    """Arrays, files and images of other sizes."""
    run, folder = exports[kind]
    model = open_model(folder)
    assert model.bits == run.bits and model.encoder == "float32" and model.image_size == KINDS[kind][1]
    assert model.about == about(run.config) and list(model.class_names) == ["dark", "bright"]
    images = images_of(kind)
    codes = model.encode(images)
    assert codes.dtype == np.uint8 and len(np.unique(codes, axis=0)) > 1
    np.testing.assert_array_equal(codes, pack(run.encode(images)))
    np.testing.assert_allclose(model.logits(images), run.outputs(images), rtol=1e-4, atol=1e-5)
    large = np.random.default_rng(0).integers(0, 256, (37, 23, 3), np.uint8)
    Image.fromarray(large).save(tmp_path / "large.png")
    expected = pack(run.encode([images[0], large, large]))
    np.testing.assert_array_equal(model.encode([images[0], tmp_path / "large.png", large]), expected)
    code, logits = model.batch(images[:1])
    assert np.array_equal(code, codes[:1]) and logits.shape == (1, run.bits) and logits.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_folder_opens_the_same_way(exports, kind):
    run, folder = exports[kind]
    model, images = open_model(run_folder(folder)), images_of(kind)
    assert model.bits == run.bits and model.about == about(run.config) and model.image_size == KINDS[kind][1]
    np.testing.assert_array_equal(model.encode(images), pack(run.encode(images)))
    np.testing.assert_allclose(model.logits(images), run.outputs(images), rtol=1e-6)
    np.testing.assert_array_equal(model.batch(images)[0], pack(run.encode(images)))


def run_folder(export: Path) -> Path:
    return export.with_name(export.name.removesuffix("-export"))


def test_plain_tensorflow(exports, tmp_path):
    """Another process without this package: images of the run's size and of another, which the model resizes."""
    run, folder = exports["deep"]
    images, large = images_of("deep"), np.random.default_rng(0).integers(0, 256, (2, 61, 18, 3), np.uint8)
    np.savez(tmp_path / "images.npz", own=images, large=large)
    arguments = [str(folder / "saved_model"), str(tmp_path / "images.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run([sys.executable, "-I", "-c", PLAIN, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    for name, batch in (("own", images), ("large", list(large))):
        np.testing.assert_array_equal(found[f"{name}_code"], pack(run.encode(batch)))
        np.testing.assert_allclose(found[f"{name}_logits"], run.outputs(batch), rtol=1e-4, atol=1e-5)


def test_layers_that_the_logits_do_not_need_are_left_out(exports):
    _, folder = exports["deep"]
    sizes = json.loads((folder / "model.json").read_text())["sizes"]
    convolutions = 9 * (3 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128)
    assert sizes["weights"] == 4 * (convolutions + 4 * (16 + 32 + 32 + 64 + 64 + 128) + 128 * 12 + 12)
    variables = folder / "saved_model" / "variables" / "variables.data-00000-of-00001"
    assert sizes["weights"] <= variables.stat().st_size < sizes["weights"] + 50_000


@pytest.mark.parametrize(
    ("kind", "model_format"),
    [
        *(("deep", name) for name in ("onnx", "litert", "litert_float16", "litert_int8")),
        ("trees", "onnx"),
        ("trees", "litert"),
    ],
)
def test_other_formats(tf, tmp_path, monkeypatch, kind, model_format):
    for package in PACKAGES[model_format.partition("_")[0]]:
        pytest.importorskip(package)
    from dseh_tf.export import check

    monkeypatch.setattr(check, "MAP_MOVES", 0.05)  # of 16 queries
    run = runs.shallow_run(tmp_path / "run", kind) if kind == "trees" else KINDS[kind][0](tmp_path / "run")
    shape = KINDS["deep" if kind == "deep" else "shallow"][1]
    found = export_run(run, tmp_path / "out", runs.dataset(*shape), model_format)
    assert found["check"]["images"] == 56
    model = open_model(tmp_path / "out")
    expected = "float32" if model_format in ("onnx", "litert") else model_format
    assert model.encoder == expected and model.about.get("encoder", "float32") == expected
    images = runs.dataset(*shape, seed=9).query.images.array
    differ = np.unpackbits(model.encode(list(images)) ^ pack(run.encode(images))).sum() / (len(images) * run.bits)
    assert differ <= {"float32": 0, "litert_float16": 0.01, "litert_int8": 0.08}[expected]
    assert verify(tmp_path / "out") == 4
    if expected != "float32":
        assert set(found["check"]["map"]) == {"queries", "database", "float32", "alone", "float32_database"}


def test_what_is_refused(exports, tmp_path, monkeypatch):
    run, folder = exports["shallow"]
    data = runs.dataset(*runs.SHAPE)
    with pytest.raises(InputError, match="found files, expected a new or empty folder"):
        export_run(run, folder, data)
    with pytest.raises(InputError, match="format: found 'torch', expected one of saved_model, onnx"):
        export_run(run, tmp_path / "x", data, "torch")
    with pytest.raises(InputError, match=r"found features, but .* takes images only"):
        open_model(folder).encode(np.zeros((2, runs.WIDTH)))
    with pytest.raises(InputError, match=r"backbone: found x\.keras, but .* is an export with its backbone inside"):
        open_model(folder, backbone="x.keras")
    with pytest.raises(
        InputError, match=r"found no package none-there, which onnx needs: pip install 'dseh_tf\[onnx\]'"
    ):
        needed("none_there", "onnx")
    assert not (tmp_path / "x").exists()


def test_a_model_that_fails_is_not_left_there(exports, tmp_path, monkeypatch):
    run, _ = exports["shallow"]
    from dseh_tf.export import check

    monkeypatch.setattr(check, "_FOLDED", 1e9)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"check of the export: float32: file: found .* the model was not kept"):
        export_run(run, tmp_path / "out", runs.dataset(*runs.SHAPE))
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and not any((tmp_path / "out").iterdir())


@pytest.fixture
def copy(exports, tmp_path) -> Path:
    return shutil.copytree(exports["shallow"][1], tmp_path / "copy")


def test_verify(exports, copy):
    assert verify(copy) == 5  # one of another size than the run's
    assert verify(exports["deep"][1]) == 5


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("format", 2, "format: found 2, expected 1, of this version"),
        ("format", None, "format: found None, expected 1"),
        ("bits", 13, "bits: found 13, expected those of about, 12"),
        ("bits", "12", "bits: found '12', expected int"),
        ("encoder", "litert_int8", "encoder: found 'litert_int8', expected 'float32' of this model_format"),
        ("model_format", "torch", "model_format: found 'torch', expected one of saved_model"),
        ("image_size", [6], r"image_size: found \[6\], expected height and width"),
        ("digest", "0" * 64, "digest: found 0{20}, expected that of the model's files"),
        ("files", {"../x": {}}, r"files: found '\.\./x', expected files of saved_model"),
        ("check_images", [], "check_images: found none, expected some"),
        (
            "check_images",
            [{"file": "../x.png", "code": "00", "logits": []}],
            r"check_images\[0\]: found .*, expected a file",
        ),
    ],
)
def test_another_description(copy, field, value, line):
    content = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**content, field: value}))
    with pytest.raises(InputError, match=rf"model\.json: {line}") as caught:
        verify(copy)
    assert "\n" not in str(caught.value)


def test_damaged_files(copy):
    def refused(line: str) -> None:
        with pytest.raises(InputError, match=line) as caught:
            verify(copy)
        assert "\n" not in str(caught.value)

    graph = copy / "saved_model" / "saved_model.pb"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(r"saved_model\.pb: found a different digest than in model\.json, expected the file as exported")
    with pytest.raises(InputError, match="found a different digest"):
        open_model(copy)
    graph.write_bytes(content[:-1])
    refused(r"saved_model\.pb: found [\d,]+ bytes, expected \d+ as in model\.json")
    graph.unlink()
    refused(r"saved_model\.pb: found no such file")
    graph.write_bytes(content)
    (copy / "saved_model" / "more").write_text("")
    refused(r"saved_model/more: found a file that model\.json does not name")
    (copy / "saved_model" / "more").unlink()
    picture = copy / "check" / "0.png"
    content = picture.read_bytes()
    picture.write_bytes(content[: len(content) // 2])
    refused(r"0\.png: found a truncated or damaged image|0\.png: cannot be read")
    Image.fromarray(np.zeros((*runs.SHAPE, 3), np.uint8)).save(picture)
    refused(r"0\.png: found logits .* away from model\.json's, expected the same")
    picture.write_bytes(content)
    assert verify(copy) == 5
    (copy / "model.json").write_text("{")
    refused(r"model\.json: found invalid JSON")
