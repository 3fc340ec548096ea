"""Features: each row that of its image, extracted once, kept in files that are checked before they are trusted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dseh_tf.data import FileImages, RetrievalDataset, Split
from dseh_tf.encoding import features
from dseh_tf.errors import InputError
from tests.data import miniatures

SIZE = 6


@pytest.fixture
def backbone(tf):
    """The mean colours of the left and of the right half: six features that mirroring exchanges."""
    import keras

    from dseh_tf.models.backbones import Backbone

    x = inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D((SIZE, SIZE // 2))(x))
    return Backbone("halves", keras.Model(inputs, x), SIZE, pretrained=True, trained=False)


def _two_coloured(name: str) -> np.ndarray:
    """uint8 [SIZE, SIZE, 3] of two colours that tell the name."""
    image = np.empty((SIZE, SIZE, 3), np.uint8)
    image[:, : SIZE // 2], image[:, SIZE // 2 :] = miniatures.colour_of(name), miniatures.colour_of(f"{name} right")
    return image


def _expected(ids, mirrored: bool = False) -> np.ndarray:
    sides = ("{} right", "{}") if mirrored else ("{}", "{} right")
    return np.array(
        [[*miniatures.colour_of(sides[0].format(i)), *miniatures.colour_of(sides[1].format(i))] for i in ids]
    )


@pytest.fixture
def dataset(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    names = np.array([f"{i:03d}.png" for i in range(150)])
    for name in names:
        Image.fromarray(_two_coloured(name)).save(tmp_path / "images" / name)
    labels = np.eye(3, dtype=np.uint8)[np.arange(150) % 3]
    pool = Split(names, labels, FileImages(tuple(tmp_path / "images" / name for name in names)))
    rng = np.random.default_rng(0)
    return RetrievalDataset(
        "halves", pool.take(rng.permutation(130)[:40]), pool.take(np.arange(130, 150)), pool.take(np.arange(130))
    )


def _check(found, mirrored=True):
    for part in ("train", "query", "database"):
        split = getattr(found, part)
        np.testing.assert_allclose(split.features, _expected(split.ids), atol=1e-3)
        assert split.features.dtype == np.float32
    if mirrored:
        np.testing.assert_allclose(found.train.flipped_features, _expected(found.train.ids, True), atol=1e-3)
    else:
        assert found.train.flipped_features is None


def _labels_only(dataset, order=None):
    parts = {}
    for part in ("train", "query", "database"):
        split = getattr(dataset, part)
        parts[part] = Split(split.ids, split.labels).take(np.arange(len(split)) if order is None else order(len(split)))
    return dataset.replace(**parts)


def _count_reads(monkeypatch) -> list[str]:
    read, seen = FileImages.read, []

    def counted(self, row):
        seen.append(self.paths[row].name)
        return read(self, row)

    monkeypatch.setattr(FileImages, "read", counted)
    return seen


@pytest.mark.parametrize("replicas", [1, 2])
def test_cache_holds_the_features_of_the_images(tf, dataset, backbone, tmp_path, monkeypatch, replicas):
    from dseh_tf.devices.replicas import make_strategy

    seen = _count_reads(monkeypatch)
    strategy = make_strategy("mirrored" if replicas > 1 else "default", replicas)
    found = features.with_features(dataset, backbone, tmp_path / "cache", strategy=strategy, progress=False)
    _check(found)
    assert isinstance(found.database.features, np.memmap)
    assert len(seen) == 130 + 20 + 40  # database, query, mirrored train: no training row a second time as it is
    again = features.with_features(dataset, backbone, tmp_path / "cache", progress=False)
    assert len(seen) == 190 and len(list((tmp_path / "cache").iterdir())) == 3
    _check(again)
    turned = dataset.replace(database=dataset.database.take(np.arange(130)[::-1]))
    _check(features.with_features(turned, backbone, tmp_path / "cache", progress=False))


def test_rows_are_written_as_they_come(dataset, backbone, tmp_path, monkeypatch):
    """Never more than a batch in memory."""
    sizes = []
    write = features._write_rows

    def watched(file, blocks, shape):
        def look():
            for block in blocks:
                sizes.append(len(block))
                yield block

        write(file, look(), shape)

    monkeypatch.setattr(features, "_write_rows", watched)
    features.with_features(dataset, backbone, tmp_path / "cache", progress=False)
    assert sizes == [64, 64, 2, 20, 40]


def test_features_that_are_not_finite_name_their_image(tf, dataset, backbone, tmp_path, monkeypatch):
    """Nothing of them is kept: an extraction by a mended backbone does not find them."""
    import keras

    from dseh_tf.models.backbones import Backbone

    monkeypatch.setattr(features, "_BATCH", 2)
    red = float(np.asarray(dataset.database.images.read(3), np.float32)[..., 0].mean())
    x = keras.Input((None, None, 3))
    mean = keras.layers.GlobalAveragePooling2D()(x)
    broken = Backbone("broken", keras.Model(x, 1 / keras.ops.where(abs(mean - red) < 1e-3, 0.0, mean)), 4, True, False)
    first = next(
        name
        for row, name in enumerate(dataset.database.ids)
        if abs(np.asarray(dataset.database.images.read(row), np.float32).mean((0, 1)) - red).min() < 1e-3
    )
    with pytest.raises(
        InputError, match=f"^features of database by broken: found inf for image {first}, expected finite numbers$"
    ):
        features.with_features(dataset, broken, tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_training_rows_outside_the_database_are_extracted(dataset, backbone, tmp_path):
    apart = dataset.replace(database=dataset.database.take(~np.isin(dataset.database.ids, dataset.train.ids[:5])))
    _check(features.with_features(apart, backbone, tmp_path / "cache", mirrored=False, progress=False), mirrored=False)


@pytest.fixture
def folder(dataset, backbone, tmp_path):
    folder = tmp_path / "features"
    facts = {"dataset": "halves", "split_seed": 0}
    assert not features.write_features(dataset, backbone, folder, facts, progress=False)
    return folder


def test_folder_serves_the_split_without_images(dataset, backbone, folder, tmp_path, monkeypatch):
    seen = _count_reads(monkeypatch)
    found = features.read_features(_labels_only(dataset), folder)
    _check(found)
    assert isinstance(found.database.features, np.memmap)
    rng = np.random.default_rng(1)
    _check(features.read_features(_labels_only(dataset, rng.permutation), folder))  # rows follow ids
    held = found.validation(0.25)
    for split in (held.train, held.query, held.database):
        np.testing.assert_allclose(split.features, _expected(split.ids), atol=1e-3)
    summary = json.loads((folder / "features.json").read_text())
    assert summary["dim"] == 6 and summary["image_size"] == SIZE and summary["rows"]["database"] == 130
    assert {p.name for p in folder.iterdir()} == {
        "features.json", "train.npy", "train_mirrored.npy", "query.npy", "database.npy",
        "train_ids.npy", "query_ids.npy", "database_ids.npy",
    }  # fmt: skip
    assert features.write_features(dataset, backbone, folder, {"dataset": "halves", "split_seed": 0}, progress=False)
    assert seen == []
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_stopped_extraction_goes_on(dataset, backbone, tmp_path, monkeypatch):
    missing = dataset.query.images.paths[3]
    whole = missing.read_bytes()
    stat = missing.stat()
    missing.write_bytes(whole[:40].ljust(len(whole), b"\0"))
    import os

    os.utime(missing, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match=missing.name):
        features.write_features(dataset, backbone, tmp_path / "f", {}, progress=False)
    assert not (tmp_path / "f").exists()
    missing.write_bytes(whole)
    os.utime(missing, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen = _count_reads(monkeypatch)
    features.write_features(dataset, backbone, tmp_path / "f", {}, progress=False)
    assert len(seen) == 60  # the database was finished before
    _check(features.read_features(_labels_only(dataset), tmp_path / "f"))


def test_another_extraction_overwrites_nothing(dataset, backbone, folder, tmp_path):
    with pytest.raises(InputError, match=r"features\.json: split_seed: found 0, expected 1; choose another folder"):
        features.write_features(dataset, backbone, folder, {"dataset": "halves", "split_seed": 1}, progress=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"features\.json: found no such file"):
        features.write_features(dataset, backbone, tmp_path / "notes", {}, progress=False)
    with pytest.raises(InputError, match="found labels only, expected images"):
        features.write_features(_labels_only(dataset), backbone, tmp_path / "other", {}, progress=False)


def _without_rows(folder, name):
    np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[1:])


def _with(folder, name, row, column, value):
    rows = np.load(folder / f"{name}.npy")
    rows[row, column] = value
    np.save(folder / f"{name}.npy", rows)


def _cut(folder, name):
    file = folder / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-7])


def _renamed(folder):
    ids = np.load(folder / "query_ids.npy")
    ids[4] = "none.png"
    np.save(folder / "query_ids.npy", ids)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: _cut(f, "database"), r"database\.npy: found a truncated or damaged file"),
        (lambda f: (f / "query.npy").write_bytes(b""), r"query\.npy: found a truncated or damaged file"),
        (lambda f: (f / "train_mirrored.npy").unlink(), r"train_mirrored\.npy: found no such file"),
        (lambda f: _without_rows(f, "database"), r"database\.npy: found float32 \[129, 6\], expected float32 \[130, 6\]"),
        (lambda f: np.save(f / "query.npy", np.zeros((20, 5), "f")), r"query\.npy: found float32 \[20, 5\], expected .*\[20, 6\]"),
        (lambda f: np.save(f / "query.npy", np.zeros((20, 6))), r"query\.npy: found float64 .*expected float32"),
        (lambda f: _with(f, "database", 77, 2, np.nan), r"database\.npy: found nan in row 77 \(077\.png\), column 2"),
        (lambda f: _with(f, "train", 1, 0, np.inf), r"train\.npy: found inf in row 1 .*expected a finite number"),
        (_renamed, r"query_ids\.npy: found no 134\.png \(1 of the 20 query rows are missing\).*halves, split_seed 0"),
        (lambda f: np.save(f / "train_ids.npy", np.arange(40)), r"train_ids\.npy: found int64 \[40\], expected text"),
        (lambda f: (f / "features.json").write_text("{"), r"features\.json: found invalid JSON"),
        (lambda f: (f / "features.json").write_text('{"backbone": "x"}'), r"features\.json: image_size: found None, expected int"),
        (lambda f: (f / "features.json").unlink(), r"features\.json: found no such file"),
        (lambda f: np.save(f / "query.npy", np.array([{}]), allow_pickle=True), r"query\.npy: found a truncated or damaged file"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_told_in_one_line(dataset, folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message) as error:
        features.read_features(_labels_only(dataset), folder)
    assert "\n" not in str(error.value)


def test_rows_without_features_can_be_left_out(dataset, folder):
    """As where the extraction left out images that cannot be read; but a part must keep a row."""
    _renamed(folder)
    found = features.read_features(_labels_only(dataset), folder, missing_ok=True)
    assert found.notes["bad_images"] == {"train": 0, "query": 1, "database": 0}
    kept = np.delete(np.arange(20), 4)
    np.testing.assert_array_equal(found.query.ids, dataset.query.ids[kept])
    np.testing.assert_array_equal(found.query.labels, dataset.query.labels[kept])
    np.testing.assert_array_equal(found.query.features, np.load(folder / "query.npy")[kept])
    np.save(folder / "query_ids.npy", np.array([f"other{i}.png" for i in range(20)]))
    with pytest.raises(InputError, match=r"found no .* \(20 of the 20 query rows are missing\)"):
        features.read_features(_labels_only(dataset), folder, missing_ok=True)
