"""Folders of codes: what is in them, what a kill leaves, what is refused. No TensorFlow here."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dseh_tf.encoding import folders
from dseh_tf.encoding.chunks import Chunk, chunk_name, read_chunk, write_chunk
from dseh_tf.encoding.codes_folder import open_codes
from dseh_tf.encoding.folders import Summary, encode_folder
from dseh_tf.encoding.image_names import ImageFiles, image_files
from dseh_tf.errors import InputError
from dseh_tf.runs.folder import held
from tests.encoding.encoded import Thresholds, by_hand, write_images

NAMES = [f"{'ab'[i % 2]}/{i:02d}.png" for i in range(23)]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pixels(tmp_path, rng) -> dict[str, np.ndarray]:
    return write_images(tmp_path / "images", NAMES, rng)


@pytest.fixture
def images(tmp_path, pixels) -> ImageFiles:
    return image_files(tmp_path / "images")


def parquet(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def rows(folder: Path) -> dict[str, bytes]:
    """Ids and codes as pyarrow alone reads them."""
    table = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("chunk-*.parquet")))
    return dict(zip(table["id"].to_pylist(), table["code"].to_pylist(), strict=True))


@pytest.mark.parametrize("batch", [3, 256])
def test_codes_are_those_of_the_images_in_order(images, pixels, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(folders, "BATCH", batch)
    model, out, told = Thresholds(), tmp_path / "new" / "codes", []
    assert encode_folder(model, images, out, 5, "d", progress=told.append) == Summary(23, 23, 0, 5)
    found = rows(out)
    assert list(found) == sorted(NAMES) and found == {name: by_hand(pixels[name]) for name in NAMES}
    sizes = [3, 2, 3, 2, 3, 2, 3, 2, 3] if batch == 3 else [5, 5, 5, 5, 3]
    assert model.calls == sizes and told == [0, *sizes]
    schema = pq.read_schema(out / chunk_name(0))
    assert schema.field("code").type == pa.binary(3) and not schema.field("code").nullable
    folder = open_codes(out)
    parts = list(folder.chunks())
    assert [len(ids) for ids, _ in parts] == [5, 5, 5, 5, 3]
    assert {
        name: code.tobytes() for ids, codes in parts for name, code in zip(ids.tolist(), codes, strict=True)
    } == found
    assert (folder.bits, folder.rows, folder.bad) == (20, 23, 0)
    assert folder.about == {**model.about, "digest": "d", "images": {"kind": "files", "root": str(images.root)}}
    assert (out / "bad_images.csv").read_text() == "id,reason\n"
    assert not list(out.glob(".partial*"))


def test_images_of_other_sizes_are_stretched(tmp_path, rng):
    large = rng.integers(0, 256, (40, 31, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(large).save(tmp_path / "images" / "x.png")
    encode_folder(Thresholds(), image_files(tmp_path / "images"), tmp_path / "codes")
    resized = np.asarray(Image.fromarray(large).resize((5, 6), Image.Resampling.BILINEAR))
    assert rows(tmp_path / "codes") == {"x.png": by_hand(resized)}


def test_codes_with_zero_bytes_keep_their_width(tmp_path, rng):
    """Zeros at the front, in the middle and at the end; numpy's bytes type would cut the last ones."""
    codes = np.array([[0, 0, 0], [0, 7, 0], [1, 0, 0], [0, 0, 9]], np.uint8)
    write_chunk(tmp_path / "x", Chunk("i", 0, tuple("abcd"), codes))
    assert pq.read_table(tmp_path / "x")["code"].to_pylist() == [bytes(code) for code in codes.tolist()]
    np.testing.assert_array_equal(read_chunk(tmp_path / "x", 24).codes, codes)


@pytest.mark.parametrize("fail_at", [0, 2, 4])
def test_an_encoding_that_failed_goes_on(images, tmp_path, fail_at):
    """Byte for byte as without the failure, and finished chunks are not encoded again."""
    encode_folder(Thresholds(), images, tmp_path / "whole", chunk=5)
    out = tmp_path / "codes"
    with pytest.raises(RuntimeError, match="the machine is gone"):
        encode_folder(Thresholds(fail_at=fail_at), images, out, chunk=5)
    assert sorted(parquet(out)) == [chunk_name(k) for k in range(fail_at)] and not (out / "summary.json").exists()
    with pytest.raises(
        InputError, match=r"found no summary.json, expected a finished folder: run experiments.encode again"
    ):
        open_codes(out)
    (out / chunk_name(0)).unlink(missing_ok=True)  # one in the middle is missing, too
    (out / ".partial-1-chunk-000004.parquet").write_bytes(b"PAR1")  # as a kill leaves it
    model, told = Thresholds(), []
    encode_folder(model, images, out, chunk=5, progress=told.append)
    again = 5 - max(0, fail_at - 1)
    assert len(model.calls) == again and told[0] == 23 - sum(model.calls)
    assert parquet(out) == parquet(tmp_path / "whole") and not list(out.glob(".partial*"))
    model = Thresholds()
    assert encode_folder(model, images, out, chunk=5) == Summary(23, 23, 0, 5) and model.calls == []


KILLED = """
import sys, time
from dseh_tf.encoding.folders import encode_folder
from dseh_tf.encoding.image_names import image_files
from tests.encoding.encoded import Thresholds

class Slow(Thresholds):
    def batch(self, images):
        time.sleep(.2)
        return super().batch(images)

encode_folder(Slow(), image_files(sys.argv[1]), sys.argv[2], chunk=1)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_whole_chunks(images, tmp_path):
    encode_folder(Thresholds(), images, tmp_path / "whole", chunk=1)
    out = tmp_path / "codes"
    process = subprocess.Popen([sys.executable, "-c", KILLED, images.root, out], cwd=ROOT)
    while not (out / chunk_name(3)).exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = parquet(out)
    assert 4 <= len(kept) < 23
    encode_folder(Thresholds(), images, out, chunk=1)
    assert parquet(out) == parquet(tmp_path / "whole") and kept.items() <= parquet(out).items()


def spoil(root: Path) -> None:
    (root / "a" / "00.png").write_text("a text")
    data = (root / "a" / "02.png").read_bytes()
    (root / "a" / "02.png").write_bytes(data[: len(data) // 2])
    (root / "b" / "01.png").unlink()
    (root / "b" / "01.png").mkdir()
    for k in (3, 5, 7, 9, 11):
        (root / "b" / f"{k:02d}.png").unlink()  # after they were listed


def test_bad_images_are_listed_and_have_no_row(images, pixels, tmp_path):
    spoil(images.root)
    bad = ["a/00.png", "a/02.png", *(f"b/{k:02d}.png" for k in (1, 3, 5, 7, 9, 11))]
    out = tmp_path / "codes"
    assert encode_folder(Thresholds(), images, out, chunk=3) == Summary(23, 15, 8, 8)
    assert rows(out) == {name: by_hand(pixels[name]) for name in sorted(NAMES) if name not in bad}
    with (out / "bad_images.csv").open(newline="") as file:
        header, *listed = csv.reader(file)
    assert header == ["id", "reason"] and [name for name, _ in listed] == bad
    reasons = dict(listed)
    assert reasons["a/00.png"].startswith("found no image that Pillow can read")
    assert reasons["a/02.png"].startswith("found a truncated or damaged image")
    assert reasons["b/01.png"] == "found a folder, expected an image" and reasons["b/03.png"] == "no such file"
    assert json.loads((out / "summary.json").read_text())["bad"] == 8 == open_codes(out).bad
    assert sum(len(ids) for ids, _ in open_codes(out).chunks()) == 15
    before = parquet(out)
    (out / chunk_name(4)).unlink()  # all of its images are bad
    encode_folder(Thresholds(), images, out, chunk=3)
    assert parquet(out) == before


def test_no_image_that_can_be_read(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.jpg").write_text("a text")
    with pytest.raises(InputError, match=r"images: found no image that can be read of 1 \(.*bad_images.csv says why\)"):
        encode_folder(Thresholds(), image_files(tmp_path / "images"), tmp_path / "codes")
    assert "found no image that Pillow can read" in (tmp_path / "codes" / "bad_images.csv").read_text()


def test_a_folder_of_images_that_is_gone_ends_the_encoding(images, tmp_path):
    """Its images are not bad ones."""
    images.root.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"images: found that the folder no longer exists, expected the images"):
        encode_folder(Thresholds(), images, tmp_path / "codes", chunk=5)
    (tmp_path / "elsewhere").rename(images.root)
    assert encode_folder(Thresholds(), images, tmp_path / "codes", chunk=5).bad == 0


def test_a_folder_of_other_codes_is_refused(images, tmp_path):
    out = tmp_path / "codes"
    encode_folder(Thresholds(), images, out, chunk=5)
    fewer, elsewhere = ImageFiles(images.root, images.ids[:-1]), ImageFiles(tmp_path, images.ids)
    reordered = ImageFiles(images.root, images.ids[::-1])
    before = parquet(out)
    for model, given, chunk, line in (
        (Thresholds(seed=1), images, 5, "encode.json: model: seed: found 0, expected 1; choose another folder"),
        (Thresholds(bits=24), images, 5, "encode.json: bits: found 20, expected 24"),
        (Thresholds(), fewer, 5, "encode.json: images: count: found 23, expected 22"),
        (Thresholds(), reordered, 5, "encode.json: images: digest: found '.*', expected '.*'; choose"),
        (Thresholds(), elsewhere, 5, "encode.json: images: root: found '.*images', expected"),
        (Thresholds(), images, 6, "encode.json: chunk: found 5, expected 6"),
        (Thresholds(), images, 0, "chunk: found 0, expected a positive number"),
    ):
        with pytest.raises(InputError, match=line):
            encode_folder(model, given, out, chunk=chunk)
    with pytest.raises(InputError, match=r"encode.json: model: digest: found '', expected 'e'; choose another folder"):
        encode_folder(Thresholds(), images, out, 5, "e")
    assert parquet(out) == before
    with (
        held(out),
        pytest.raises(
            InputError, match=r"codes: another process is working on an encoding here; choose a different --out"
        ),
    ):
        encode_folder(Thresholds(), images, out, chunk=5)
    with pytest.raises(InputError, match=r"images: found files but no encode.json, expected a new or empty folder"):
        encode_folder(Thresholds(), images, images.root)
    (out / "encode.json").write_text("{}")
    with pytest.raises(InputError, match=r"encode.json: format: found None, expected 1"):
        encode_folder(Thresholds(), images, out, chunk=5)


def test_logits_that_are_not_finite_name_the_image(images, tmp_path):
    class Overflow(Thresholds):
        def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            codes, logits = super().batch(images)
            logits[2, 7] = np.inf
            return codes, logits

    (images.root / "a" / "02.png").unlink()
    with pytest.raises(InputError, match=r"^a/06.png: found logits that are not finite, expected numbers"):
        encode_folder(Overflow(), images, tmp_path / "codes", chunk=5)
