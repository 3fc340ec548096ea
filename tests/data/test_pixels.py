import functools
import os

import numpy as np
import pytest
from PIL import Image

from dseh_tf.data import ArrayImages, FileImages, Split, memory_maps, pixels
from dseh_tf.data.decoding import decode_file, resize
from dseh_tf.data.pixels import image_batches, load_pixels
from dseh_tf.errors import InputError


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    paths = []
    for i in range(9):
        path = tmp_path / "images" / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (20 + i, 30 - i, 3), np.uint8)).save(path)
        paths.append(path)
    return FileImages(tuple(paths), tuple(f"train.txt:{i + 1}" for i in range(9)))


def _expected(files, size):
    return np.stack([resize(decode_file(path), size) for path in files.paths])


def test_in_memory(files):
    found = load_pixels(files, 16, progress=False)
    np.testing.assert_array_equal(found.array, _expected(files, 16))
    assert not isinstance(found.array, np.memmap)
    load_pixels(files, 16, cache_dir=files.paths[0].parents[1] / "cache", progress=False)
    assert not (files.paths[0].parents[1] / "cache").exists()  # it fits: the disk is not needed


def test_a_split_in_another_order(files):
    split = Split(np.arange(9).astype(str), np.ones((9, 1), np.uint8), files)
    order = np.array([4, 8, 1])
    np.testing.assert_array_equal(load_pixels(split.take(order), 16, progress=False).array, _expected(files, 16)[order])


def test_cache_is_written_whole_and_used_again(files, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = load_pixels(files, 16, cache_dir=cache, memory_limit=0, progress=False)
    np.testing.assert_array_equal(first.array, _expected(files, 16))
    assert isinstance(first.array, np.memmap) and len(list(cache.iterdir())) == 1
    monkeypatch.setattr(pixels, "_fill", None)  # a second decoding would fail
    np.testing.assert_array_equal(
        load_pixels(files, 16, cache_dir=cache, memory_limit=0, progress=False).array, first.array
    )


def test_cache_follows_order_size_and_content(files, tmp_path):
    cache = tmp_path / "cache"
    load_pixels(files, 16, cache_dir=cache, memory_limit=0, progress=False)
    other = load_pixels(files.take(np.arange(9)[::-1]), 16, cache_dir=cache, memory_limit=0, progress=False)
    np.testing.assert_array_equal(other.array, _expected(files, 16)[::-1])
    assert load_pixels(files, 8, cache_dir=cache, memory_limit=0, progress=False).array.shape == (9, 8, 8, 3)
    Image.new("RGB", (5, 5), "red").save(files.paths[2])
    os.utime(files.paths[2], (1, 1))
    changed = load_pixels(files, 16, cache_dir=cache, memory_limit=0, progress=False)
    assert (changed.array[2] == [255, 0, 0]).all()


def test_beyond_the_memory_limit_goes_to_disk(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load_pixels(files, 16, memory_limit=100, progress=False)
    assert isinstance(found.array, np.memmap)
    assert len(list((tmp_path / "data" / "pixels").iterdir())) == 1


def test_a_bad_image_is_named_and_leaves_no_cache(files, tmp_path):
    files.paths[5].write_bytes(files.paths[5].read_bytes()[:60])
    with pytest.raises(InputError, match=r"5\.png.*train\.txt:6"):
        load_pixels(files, 16, cache_dir=tmp_path / "cache", memory_limit=0, progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_image_is_named(files, tmp_path):
    files.paths[3].unlink()
    with pytest.raises(InputError, match=r"3\.png: no such file \(named in train\.txt:4\)"):
        load_pixels(files, 16, cache_dir=tmp_path / "cache", memory_limit=0, progress=False)


def test_a_run_puts_them_into_its_folder(tf, files, tmp_path, monkeypatch):
    """Training reads the same batches from memory and from the disk."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import image_encoder
    from dseh_tf.training.batches import TrainingRows

    split = Split(np.arange(9).astype(str), np.ones((9, 1), np.uint8), files)
    trunk, runtime = (
        image_encoder.Trunk("compact", 16),
        Runtime(progress=False, pixel_cache=tmp_path / "run" / "pixels"),
    )
    in_memory = image_encoder.training_inputs(split, trunk, runtime).plain
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(image_encoder, "load_pixels", functools.partial(load_pixels, memory_limit=0))
    on_disk = image_encoder.training_inputs(split, trunk, runtime).plain
    assert isinstance(on_disk, np.memmap) and len(list((tmp_path / "run" / "pixels").iterdir())) == 1
    batches = [
        [b["inputs"].numpy() for b in TrainingRows({"inputs": x}, 4, 0, "imgnet", 0, {}).dataset(
            tf.distribute.InputContext(), 0, 3)]
        for x in (in_memory, on_disk)
    ]  # fmt: skip
    np.testing.assert_array_equal(*batches)


def test_arrays(tmp_path):
    images = ArrayImages(np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8))
    assert load_pixels(images, 12) is images
    np.testing.assert_array_equal(load_pixels(images, 6, progress=False).array[1], resize(images.array[1], 6))
    assert load_pixels(images, 6, cache_dir=tmp_path, memory_limit=0, progress=False).array.shape == (3, 6, 6, 3)
    with pytest.raises(InputError, match="labels only"):
        load_pixels(Split(np.array(["a"]), np.ones((1, 1), np.uint8)), 6)


def test_a_full_disk_is_told_beforehand(files, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(memory_maps.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GiB free"):
        load_pixels(files, 16, cache_dir=tmp_path / "cache", memory_limit=0, progress=False)


@pytest.mark.parametrize("batch_size", [5, 40])
@pytest.mark.parametrize("threads", [None, 1])
def test_batches_come_in_order_at_one_size(batch_size, threads):
    images = np.stack([np.full((10, 10, 3), i, np.uint8) for i in range(93)])
    batches = list(image_batches(ArrayImages(images), 6, batch_size, threads))
    assert [len(b) for b in batches] == [batch_size] * (93 // batch_size) + [93 % batch_size]
    assert batches[0].shape == (batch_size, 6, 6, 3)
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0, 0, 0], np.arange(93))


def test_batches_name_the_first_bad_image(files):
    for row in (7, 4):
        files.paths[row].write_bytes(b"")
    batches = image_batches(files, 8, 3)
    np.testing.assert_array_equal(next(batches), _expected(files.take(np.arange(3)), 8))
    with pytest.raises(InputError, match=r"train\.txt:5"):
        list(batches)
