"""Folders of codes by Apache Beam: the same bytes as the plain loop's. `make test-beam` runs these tests."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.encoding.chunks import chunk_name
from dseh_tf.encoding.folders import Plan, Summary, encode_folder
from dseh_tf.encoding.image_names import ImageFiles, image_files
from dseh_tf.errors import InputError
from tests.encoding.encoded import Thresholds, write_images

pytest.importorskip("apache_beam", reason="needs the extra beam: make test-beam")

from dseh_tf.encoding import beam

NAMES = [f"{'ab'[i % 2]}/{i:02d}.png" for i in range(23)]
ROOT = Path(__file__).parents[2]
TWO = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


class Notes(Thresholds):
    """Leaves a file for each process that opens it, and fails where a file says so.

    Attributes:
        folder: For the files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        with (folder / f"pid-{os.getpid()}").open("a") as file:
            file.write("opened\n")

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        codes, logits = super().batch(images)
        if (self.folder / "fails").exists() and len(self.calls) == 3:
            raise OSError("the machine is gone")
        if (self.folder / "overflows").exists():
            logits[0, 0] = np.nan
        return codes, logits


@pytest.fixture
def images(tmp_path, rng) -> ImageFiles:
    write_images(tmp_path / "images", NAMES, rng)
    (tmp_path / "images" / "a" / "08.png").write_text("a text")
    (tmp_path / "notes").mkdir()
    return image_files(tmp_path / "images")


@pytest.fixture
def whole(images, tmp_path) -> dict[str, bytes]:
    """The files of the plain loop."""
    assert encode_folder(Thresholds(), images, tmp_path / "whole", chunk=3) == Summary(23, 22, 1, 8)
    return files(tmp_path / "whole")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != beam.LIST}


def encode(images: ImageFiles, out: Path, *options: str, chunk: int = 3, runner: str = "FnApiRunner") -> Summary:
    """In a temporary folder beside the images, notes say who opened the model."""
    plan = Plan.of(Thresholds(), images, chunk)
    return beam.encode_with_beam(plan, out, partial(Notes, images.root.parent / "notes"), runner, options)


def opened(images: ImageFiles) -> list[str]:
    return [path.read_text() for path in (images.root.parent / "notes").glob("pid-*")]


def test_one_worker_writes_the_files_of_the_plain_loop(images, whole, tmp_path):
    assert encode(images, tmp_path / "codes") == Summary(23, 22, 1, 8)
    assert files(tmp_path / "codes") == whole
    assert 'a/08.png,"found no image that Pillow can read' in whole["bad_images.csv"].decode()
    assert opened(images) == ["opened\n"]
    encode(images, tmp_path / "codes")  # nothing is left to do
    assert opened(images) == ["opened\n"]


def test_two_threads_share_one_model(images, whole, tmp_path):
    encode(images, tmp_path / "codes", "--direct_num_workers=2", "--direct_running_mode=multi_threading")
    assert files(tmp_path / "codes") == whole and opened(images) == ["opened\n"]


@pytest.mark.slow
def test_two_processes(images, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    encode(images, tmp_path / "codes", *TWO)
    assert files(tmp_path / "codes") == whole
    assert 1 <= len(opened(images)) <= 2 and set(opened(images)) == {"opened\n"}
    assert not (images.root.parent / "notes" / f"pid-{os.getpid()}").exists()


def test_a_failed_bundle_leaves_whole_chunks(images, whole, tmp_path):
    out, fails = tmp_path / "codes", images.root.parent / "notes" / "fails"
    fails.touch()
    with pytest.raises(Exception, match="the machine is gone"):
        encode(images, out)
    kept = {name: data for name, data in files(out).items() if name.startswith("chunk")}
    assert len(kept) == 2 and kept.items() <= whole.items() and "summary.json" not in files(out)
    assert not list(out.glob(".partial*"))
    fails.unlink()
    assert encode(images, out) == Summary(23, 22, 1, 8) and files(out) == whole


def test_a_chunk_that_is_encoded_twice_is_the_same(images, whole, tmp_path):
    out = tmp_path / "codes"
    encode(images, out)
    step = beam.EncodeChunk(
        Thresholds, Plan.of(Thresholds(), images, 3).manifest["identity"], str(images.root), str(out)
    )
    step.setup()
    lines = (out / beam.LIST).read_bytes().splitlines(keepends=True)
    for _ in range(2):
        assert list(step.process((1, len(lines[0]), len(lines[1])))) == [1]
    assert files(out) == whole


def test_the_plain_loop_goes_on_with_a_folder_of_beam_and_beam_with_one_of_it(images, whole, tmp_path):
    out = tmp_path / "codes"
    encode(images, out)
    (out / chunk_name(2)).unlink()
    encode_folder(Thresholds(), images, out, chunk=3)
    assert files(out) == whole
    (out / chunk_name(5)).unlink()
    encode(images, out)
    assert files(out) == whole


def test_what_is_refused(images, whole, tmp_path):
    out = tmp_path / "codes"
    encode(images, out)
    with pytest.raises(InputError, match=r"encode.json: chunk: found 3, expected 4; choose another folder"):
        encode(images, out, chunk=4)
    (out / chunk_name(8)).write_bytes((out / chunk_name(7)).read_bytes())
    with pytest.raises(InputError, match=r"chunk-000008.parquet: found a further file of codes, expected 8 of them"):
        encode(images, out)
    new = tmp_path / "new"
    for arguments, line in (
        (["--direct_num_worker=2"], r"options of Beam: found --direct_num_worker, expected pipeline options"),
        (["--direct_num_workers=x"], r"options of Beam: found .*: invalid int value: 'x'\), expected --name=value"),
        (["direct"], r"options of Beam: found direct, expected pipeline options of Beam as --name=value"),
    ):
        with pytest.raises(InputError, match=line):
            encode(images, new, *arguments)
    for name in ("NoRunner", "os.path.join"):
        with pytest.raises(InputError, match=rf"runner: found '{name}' .*, expected FnApiRunner, FlinkRunner"):
            encode(images, new, runner=name)
    assert not new.exists()
    (images.root.parent / "notes" / "overflows").touch()
    with pytest.raises(InputError, match=r"^[ab]/\d\d.png: found logits that are not finite, expected numbers$"):
        encode(images, new)
