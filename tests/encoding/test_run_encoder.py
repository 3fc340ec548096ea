"""`load_run` on small folders: what is encoded, in which forms, and what is refused in one line. No TensorFlow here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf import load_run
from dseh_tf.data import ArrayImages, Split
from dseh_tf.encoding import shallow
from dseh_tf.errors import InputError

RNG = np.random.default_rng(1)
TRUNK = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
CONFIG = {"bits": 4, "seed": 0, "method": "lsh", "trunk": TRUNK}
IMAGES = RNG.integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run of 4 bits on raw images of 6 x 5."""
    folder = tmp_path / "run"
    folder.mkdir()
    rows = shallow.Rows(False, np.full(90, 0.5))
    shallow.Projection(rows=rows, image_shape=(6, 5), weights=RNG.normal(size=(90, 4))).save(folder / "encoder.npz")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def by_hand(folder: Path, images) -> np.ndarray:
    weights = np.load(folder / "encoder.npz")["weights"]
    pixels = [image.ravel().tolist() for image in images]
    values = [
        [sum((p / 255 - 0.5) * w for p, w in zip(x, column, strict=True)) for column in weights.T] for x in pixels
    ]
    return np.where(np.array(values) >= 0, 1, -1)


def test_paths_and_arrays_of_any_size(folder, tmp_path):
    """Images are resized to those trained on; a path, a string and an array of the same pixels have the same code."""
    large = RNG.integers(0, 256, (40, 31, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(large).resize((5, 6), Image.Resampling.BILINEAR))
    for name, pixels in (("large.png", large), ("small.png", IMAGES[0])):
        Image.fromarray(pixels).save(tmp_path / name)
    encoder = load_run(folder)
    codes = encoder.encode([tmp_path / "large.png", IMAGES[1], str(tmp_path / "small.png"), large])
    assert codes.dtype == np.int8 and codes.shape == (4, 4) == (4, encoder.bits)
    np.testing.assert_array_equal(codes, by_hand(folder, [resized, IMAGES[1], IMAGES[0], resized]))
    np.testing.assert_array_equal(encoder.encode((IMAGES[2],)), by_hand(folder, IMAGES[2:]))


def test_other_forms(folder):
    """An array of images, a split, and features are the same rows."""
    encoder, expected = load_run(folder), by_hand(folder, IMAGES)
    features = IMAGES.reshape(3, -1) / 255
    split = Split(np.array(list("abc")), np.zeros((3, 2), np.uint8), ArrayImages(IMAGES))
    for items in (IMAGES, split, features, features.tolist()):
        np.testing.assert_array_equal(encoder.encode(items), expected)
    outputs = encoder.outputs(IMAGES)
    np.testing.assert_array_equal(np.where(outputs >= 0, 1, -1), expected)
    assert len(np.unique(np.abs(outputs))) == 12


def test_more_rows_than_a_block(folder, monkeypatch):
    whole = load_run(folder).encode(IMAGES)
    monkeypatch.setattr(shallow, "BLOCK_ROWS", 2)
    np.testing.assert_array_equal(load_run(folder).encode(IMAGES), whole)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        ([], "items: found"),
        ("a.png", "items: found the path 'a.png', expected a list of paths"),
        (None, "items: found NoneType"),
        (["gone.png"], "gone.png: no such file"),
        (
            [IMAGES[0], IMAGES[0].astype(float)],
            r"items\[1\]: found float64 \[6, 5, 3\], expected a path or an image, uint8",
        ),
        ([IMAGES[0], IMAGES[0][..., :1]], r"items\[1\]: found uint8 \[6, 5, 1\], expected a path or an image"),
        ([IMAGES[0], IMAGES[0][:0]], r"items\[1\]: found uint8 \[0, 5, 3\], expected a path or an image"),
        ([IMAGES[0], 3], r"items\[1\]: found 3, expected a path or an image"),
        (IMAGES[:0], "items: found none, expected at least one"),
        (np.zeros((2, 7)), "encoded features: found 7 columns, expected 90, as in training"),
        (np.full((2, 90), np.nan), r"encoded features: found nan in row 0 \(items/0\), column 0"),
        (IMAGES[0], r"items: found uint8 \[6, 5, 3\], expected uint8 images \[n, height, width, 3\] or"),
    ],
)
def test_items_that_are_refused(folder, items, line):
    with pytest.raises(InputError, match=line) as caught:
        load_run(folder).encode(items)
    assert "\n" not in str(caught.value)


def test_folders_that_are_refused(folder, tmp_path):
    def refused(line: str, **options) -> None:
        with pytest.raises(InputError, match=line) as caught:
            load_run(folder, **options)
        assert "\n" not in str(caught.value)

    refused(
        "backbone: found x.keras, but encoder.npz of this run holds its backbone, expected none", backbone="x.keras"
    )
    for change, line in (
        ({"bits": 5}, r"encoder\.npz: found 4 bits, expected 5 as in config\.json"),
        ({"bits": "4"}, r"config\.json: bits: found '4', expected a whole number"),
        ({"trunk": {}}, r"config\.json: trunk: found {}, expected that of a run on images"),
        ({"seed": None}, r"config\.json: seed: found None"),
    ):
        (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))
        refused(line)
    (folder / "encoder.npz").unlink()
    (folder / "config.json").write_text(json.dumps({**CONFIG, "phases": "labnet"}))
    refused(
        r"run: found neither imgnet\.keras nor encoder\.npz \(the run trained on labels alone\), expected the encoder"
    )
    (folder / "config.json").unlink()
    refused(r"config\.json: found no such file")


def test_a_backbone_that_is_not_there(folder, tmp_path):
    """Features are encoded without it; images say which file is missing, before anything is decoded."""
    for name, trunk in (
        ("gone.keras", {**TRUNK, "backbone": str(tmp_path / "gone.keras")}),
        ("gone.mat", {**TRUNK, "backbone": "cnn_f", "weights": str(tmp_path / "gone.mat")}),
    ):
        (folder / "config.json").write_text(json.dumps({**CONFIG, "trunk": trunk}))
        encoder = load_run(folder)
        assert encoder.encode(np.zeros((2, 90))).shape == (2, 4)
        with pytest.raises(
            InputError, match=rf"{name}: found no such file, expected the backbone that the run was made with"
        ):
            encoder.encode([IMAGES[0]])
    (folder / "config.json").write_text(json.dumps({**CONFIG, "trunk": {**TRUNK, "backbone": "vgg16"}}))
    with pytest.raises(
        InputError, match=r"backbone: found x\.keras, but the backbone of this run, vgg16, is not read from a"
    ):
        load_run(folder, backbone="x.keras")


def test_no_tensorflow_for_a_shallow_method(folder):
    code = (
        "import sys, dseh_tf\n"
        "assert not {'numpy', 'dseh_tf.encoding'} & set(sys.modules)\nimport numpy as np\n"
        f"codes = dseh_tf.load_run({str(folder)!r}).encode(np.zeros((2, 90)))\n"
        "assert codes.shape == (2, 4) and 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
