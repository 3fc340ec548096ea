"""Folders of codes that are damaged, or whose files do not belong together: each one clear line. No TensorFlow here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dseh_tf.encoding.chunks import Chunk, chunk_name, read_chunk, write_chunk
from dseh_tf.encoding.codes_folder import open_codes
from dseh_tf.encoding.folders import encode_folder
from dseh_tf.encoding.image_names import ImageFiles, image_files
from dseh_tf.errors import InputError
from tests.encoding.encoded import Thresholds, write_images


@pytest.fixture
def images(tmp_path, rng) -> ImageFiles:
    write_images(tmp_path / "images", [f"{'ab'[i % 2]}/{i:02d}.png" for i in range(23)], rng)
    return image_files(tmp_path / "images")


def chunk_of(path: Path, **changes) -> None:
    """Writes the chunk again with other values."""
    chunk = read_chunk(path, 20)
    write_chunk(path, Chunk(**{**vars(chunk), **changes}))


def damages() -> dict[str, tuple]:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-20])

    def flipped(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[20] ^= 1  # in the first column
        path.write_bytes(data)

    def wide(path: Path) -> None:
        chunk_of(path, codes=np.zeros((5, 4), np.uint8))

    def foreign(path: Path) -> None:
        pq.write_table(pa.table({"id": ["x"], "code": pa.array([b"abc"], pa.binary(3))}), path)

    return {
        "cut": (cut, "found a damaged or truncated file"),
        "flipped": (flipped, "found a damaged or truncated file"),
        "empty": (lambda path: path.write_bytes(b""), "found a damaged or truncated file"),
        "text": (lambda path: path.write_text("no Parquet at all"), "found a damaged or truncated file"),
        "folder": (lambda path: (path.unlink(), path.mkdir()), "found a folder, expected a file of codes"),
        "foreign": (foreign, "found no metadata of experiments.encode"),
        "wide": (
            wide,
            r"found the columns id string not null, .*fixed_size_binary\[4\].*, expected .*\[3\] not null for 20 bits",
        ),
        "padding": (
            lambda path: chunk_of(path, codes=np.full((5, 3), 255, np.uint8)),
            "code: found a padding bit that is set",
        ),
        "other": (lambda path: chunk_of(path, identity="f" * 16), "found chunk 0 of the encoding 'f+', expected 0 of"),
        "moved": (lambda path: chunk_of(path, number=1), "found chunk 1 of the encoding .*, expected 0 of"),
    }


@pytest.mark.parametrize("kind", list(damages()))
def test_a_damaged_chunk_is_one_line(images, tmp_path, kind):
    out = tmp_path / "codes"
    encode_folder(Thresholds(), images, out, chunk=5)
    act, line = damages()[kind]
    act(out / chunk_name(0))
    with pytest.raises(InputError, match=rf"chunk-000000.parquet: {line}") as first:
        list(open_codes(out).chunks())
    (out / chunk_name(4)).unlink()
    model = Thresholds()
    with pytest.raises(InputError) as second:
        encode_folder(model, images, out, chunk=5)
    assert str(first.value) == str(second.value) and "\n" not in str(first.value)
    assert model.calls == []  # it is found before the work that is left is done


def test_a_changed_byte_is_never_another_code(tmp_path, rng):
    """Wherever it is: the file is refused, or its ids and codes are unchanged."""
    path, ids = tmp_path / "x", tuple("abcdefghijkl")
    codes = rng.integers(0, 256, (12, 3), dtype=np.uint8)
    write_chunk(path, Chunk("i", 0, ids, codes))
    data, refused = path.read_bytes(), 0
    for place in range(0, len(data), 5):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            found = read_chunk(path, 24)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: found ") and "\n" not in str(error)
        else:
            assert found.ids == ids and (found.codes == codes).all(), place
    assert 50 < refused < len(data) / 5


def test_chunks_that_do_not_fit_the_folder(images, tmp_path):
    out = tmp_path / "codes"
    encode_folder(Thresholds(), images, out, chunk=5)
    data = (out / chunk_name(2)).read_bytes()
    chunk_of(out / chunk_name(2), ids=("v", "w", "x", "y", "z"))
    with pytest.raises(InputError, match=r"chunk-000002.parquet: id: found other images than in the list"):
        encode_folder(Thresholds(), images, out, chunk=5)
    (out / chunk_name(2)).write_bytes(data)
    chunk = read_chunk(out / chunk_name(2), 20)
    chunk_of(out / chunk_name(2), ids=chunk.ids[:3], codes=chunk.codes[:3])
    with pytest.raises(InputError, match=r"chunk-000002.parquet: id: found other images"):
        encode_folder(Thresholds(), images, out, chunk=5)
    with pytest.raises(InputError, match=r"summary.json: rows: found 23, expected 21 as in the chunks"):
        list(open_codes(out).chunks())
    (out / chunk_name(2)).unlink()
    with pytest.raises(InputError, match=r"chunk-000002.parquet: found no such chunk, expected it"):
        list(open_codes(out).chunks())
    (out / chunk_name(2)).write_bytes(data)
    (out / chunk_name(5)).write_bytes(data)
    with pytest.raises(InputError, match=r"chunk-000005.parquet: found a further file of codes, expected 5 of them"):
        encode_folder(Thresholds(), images, out, chunk=5)


def test_manifests_that_are_no_manifests(images, tmp_path):
    out = tmp_path / "codes"
    encode_folder(Thresholds(), images, out, chunk=5)
    manifest = json.loads((out / "encode.json").read_text())
    for change, line in (
        ({"format": 2}, "encode.json: format: found 2, expected 1"),
        ({"bits": "x"}, "encode.json: bits: found 'x', expected a whole number"),
        ({"chunk": 0}, "encode.json: chunk: found 0, expected a positive number"),
        ({"images": []}, r"encode.json: images: found \[\], expected"),
        ({"identity": "0"}, "summary.json: identity: found '.*', expected '0' as in encode.json"),
    ):
        (out / "encode.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(InputError, match=line):
            open_codes(out)
    with pytest.raises(InputError, match=r"encode.json: found no such file, expected a folder of codes"):
        open_codes(images.root)
