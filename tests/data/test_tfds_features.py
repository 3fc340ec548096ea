"""Which features of a TFDS data set are taken, by small builders of its own; nothing is downloaded."""

import io
import json

import numpy as np
import pytest

from dseh_tf.data import catalog
from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.readers import tfds_records
from dseh_tf.data.readers.tfds_builders import find_builder, image_and_label, prepared_builder
from dseh_tf.data.readers.tfds_records import read_split
from dseh_tf.errors import InputError
from tests.data import miniatures

tfds = pytest.importorskip("tensorflow_datasets")
F = tfds.features


class _Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Features and rows as a test gives them; `prepared` counts how often its records are made."""

    VERSION = tfds.core.Version("1.0.0")
    features: dict
    keys = None
    rows: dict
    prepared = 0

    def _info(self):
        # Features are objects of one builder, so each is made anew.
        made = {name: make() for name, make in self.features.items()}
        return tfds.core.DatasetInfo(builder=self, features=F.FeaturesDict(made), supervised_keys=self.keys)

    def _split_generators(self, dl_manager):
        type(self).prepared += 1
        return {split: self._generate_examples(rows) for split, rows in self.rows.items()}

    def _generate_examples(self, rows):
        yield from enumerate(rows)


def _png(name):
    return io.BytesIO(miniatures.image_bytes(name))


def _label(classes=3):
    return lambda: F.ClassLabel(num_classes=classes)


def _define(monkeypatch, features, rows, keys=None):
    """Makes TFDS find a builder called `small`."""
    kind = type("Small", (_Small,), {"features": features, "rows": rows, "keys": keys}, skip_registration=True)
    found = tfds.builder

    def builder(name, data_dir=None, **options):
        return kind(data_dir=data_dir) if name == "small" else found(name, data_dir=data_dir, **options)

    monkeypatch.setattr(tfds, "builder", builder)
    return kind


def _rows(split, count, classes=3, image="image", label="label", **others):
    return [
        {image: _png(f"{split}{i}"), label: i % classes, **{name: make(i) for name, make in others.items()}}
        for i in range(count)
    ]


def _colour(dataset, part, row):
    return tuple(getattr(dataset, part).images.read(row)[0, 0])


VIDEO = {"clip": lambda: F.Video(shape=(None, 8, 8, 3)), "label": _label()}


@pytest.mark.parametrize(
    ("features", "keys", "found"),
    [
        (VIDEO, ("clip", "label"), "'clip' first, a video"),
        (VIDEO, None, "no Image of integers"),
        ({"still": F.Image, **VIDEO}, ("clip", "label"), "'clip' first, a video"),
        ({"sound": F.Audio, "label": _label()}, ("sound", "label"), "no Image of integers"),
        ({"a": F.Image, "b": F.Image, "label": _label()}, None, "2 Image of integers"),
        ({"a": F.Image, "one": _label(), "two": _label()}, None, "2 ClassLabel with classes"),
        ({"a": F.Image, "label": F.ClassLabel}, None, "no ClassLabel with classes"),
        ({"a": F.Image, "label": lambda: F.Sequence(F.ClassLabel(num_classes=3))}, ("a", "label"), "no ClassLabel"),
        ({"a": F.Image, "label": F.Text}, ("a", "label"), "no ClassLabel with classes"),
        (
            {"a": lambda: F.Image(shape=(8, 8, 1), dtype=np.float32), "label": _label()},
            ("a", "label"),
            "no Image of integers",
        ),
        (
            {"a": lambda: F.LabeledImage(labels=3, shape=(8, 8, 1)), "label": _label()},
            ("a", "label"),
            "no Image of integers",
        ),
        ({"a": lambda: F.Sequence(F.Image()), "label": _label()}, ("a", "label"), "no Image of integers"),
    ],
)
def test_refused_before_anything_is_read(tmp_path, monkeypatch, features, keys, found):
    kind = _define(monkeypatch, features, {"train": []}, keys)
    with pytest.raises(
        InputError, match=f"tfds:small has features .*: found {found}.*, expected an image and one class label"
    ):
        catalog.load("tfds:small", DataOptions(data_dir=tmp_path))
    assert kind.prepared == 0 and not list(tmp_path.rglob("*.tfrecord*"))


def test_a_video_on_disk_is_refused_too(tmp_path, monkeypatch):
    """Once prepared, a video is a list of encoded frames under its name, as an image is one."""
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    rows = {"train": [{"clip": frames, "label": 0}]}
    _define(monkeypatch, VIDEO, rows, ("clip", "label"))
    builder = prepared_builder("small", tmp_path)
    with pytest.raises(InputError, match="found 'clip' first, a video"):
        catalog.load("tfds:small", DataOptions(data_dir=tmp_path))
    records = read_split(builder, "train", None)
    with pytest.raises(InputError, match=r"feature 'image': found 0 images in the record of train/0, expected one"):
        records.images.read(0)


@pytest.mark.parametrize(
    "keys", [("points", "kind"), ("sound", "kind"), ("points", "sound"), (("points", "sound"), "kind"), None]
)
def test_the_only_image_and_the_only_class_label_are_taken(tmp_path, monkeypatch, keys):
    features = {
        "points": lambda: F.Tensor(shape=(4,), dtype=np.float32),
        "sound": F.Audio,
        "photo": F.Image,
        "kind": _label(),
        "note": F.Text,
    }
    others = {
        "points": lambda i: np.zeros(4, np.float32),
        "sound": lambda i: np.zeros(5, np.int64),
        "note": lambda i: "x",
    }
    rows = {
        split: _rows(split, count, image="photo", label="kind", **others)
        for split, count in (("train", 9), ("test", 6))
    }
    _define(monkeypatch, features, rows, keys)
    dataset = catalog.load("tfds:small", DataOptions(data_dir=tmp_path))
    assert [len(dataset.train), len(dataset.query), len(dataset.database)] == [9, 6, 9]
    assert dataset.notes["image_feature"] == "photo" and dataset.notes["label_feature"] == "kind"
    for part, split in (("train", "train"), ("query", "test")):
        colours = {miniatures.colour_of(f"{split}{i}"): i % 3 for i in range(9)}
        for row in range(len(getattr(dataset, part))):  # TFDS writes its rows in an order of its own
            assert colours[_colour(dataset, part, row)] == getattr(dataset, part).labels[row].argmax()


def test_the_supervised_pair_comes_before_others(tmp_path, monkeypatch):
    features = {"a": F.Image, "b": F.Image, "coarse": _label(2), "fine": _label(5)}
    _define(monkeypatch, features, {}, ("b", "fine"))
    assert image_and_label(find_builder("small", tmp_path), "small") == ("b", "fine")


def _unlabelled(split, count, labelled=0):
    return [{**row, "label": row["label"] if i < labelled else -1} for i, row in enumerate(_rows(split, count))]


def test_queries_come_from_validation_where_test_has_no_labels(tmp_path, monkeypatch, caplog):
    rows = {"train": _rows("train", 30), "validation": _rows("validation", 6), "test": _unlabelled("test", 9)}
    _define(monkeypatch, {"image": F.Image, "label": _label()}, rows)
    dataset = catalog.load("tfds:small", DataOptions(data_dir=tmp_path))
    assert len(dataset.query) == 6 and all(name.startswith("validation/") for name in dataset.query.ids.tolist())
    assert len(dataset.train) == len(dataset.database) == 30 and dataset.database.labels.any(axis=1).all()
    assert dataset.notes["queries_from"] == "validation"
    (said,) = [record.getMessage() for record in caplog.records if "no label" in record.getMessage()]
    assert said == "tfds:small: the 9 images of 'test' have no label, so queries come from 'validation'"


def test_queries_come_from_train_where_nothing_else_has_labels(tmp_path, monkeypatch, caplog):
    rows = {"train": _rows("train", 60), "test": _unlabelled("test", 9)}
    _define(monkeypatch, {"image": F.Image, "label": _label()}, rows)
    dataset = catalog.load("tfds:small", DataOptions(data_dir=tmp_path))
    assert dataset.query.labels.sum(axis=0).tolist() == [2, 2, 2] and len(dataset.database) == 54
    assert all(name.startswith("train/") for name in dataset.query.ids.tolist())
    assert dataset.notes["queries_from"] == "train" and "queries come from 'train'" in caplog.text


def test_some_labels_missing(tmp_path, monkeypatch):
    rows = {"train": _rows("train", 30), "test": _unlabelled("test", 9, labelled=4)}
    _define(monkeypatch, {"image": F.Image, "label": _label()}, rows)
    with pytest.raises(InputError, match=r"split 'test': found 5 of 9 images without a label \(-1\), expected"):
        catalog.load("tfds:small", DataOptions(data_dir=tmp_path))


def test_training_labels_missing(tmp_path, monkeypatch):
    _define(monkeypatch, {"image": F.Image, "label": _label()}, {"train": _unlabelled("train", 9, labelled=7)})
    with pytest.raises(InputError, match="found 2 of 9 images of 'train' without one label of 3, expected one each"):
        catalog.load("tfds:small", DataOptions(data_dir=tmp_path))


def test_builders_that_fail(tmp_path, monkeypatch):
    def broken(name, data_dir=None):
        raise AssertionError("a builder's own\nerror")

    monkeypatch.setattr(tfds, "builder", broken)
    with pytest.raises(InputError, match=r"^dataset: TFDS cannot make 'small': a builder's own$"):
        find_builder("small", tmp_path)


@pytest.mark.parametrize("name", ["", "no such set", "cifar10/nothing", "cifar10:99.*.*", "../x", "a,b"])
def test_names_that_tfds_does_not_know(tmp_path, name):
    with pytest.raises(InputError, match="dataset: TFDS cannot make"):
        catalog.load(f"tfds:{name}", DataOptions(data_dir=tmp_path))


def test_a_damaged_index_is_made_again(tmp_path, caplog):
    miniatures.write_tfds(tmp_path, "cifar10", miniatures.cifar10_examples(20, 10))
    builder = prepared_builder("cifar10", tmp_path)
    first = read_split(builder, "test", "id")
    (file,) = tmp_path.rglob("index-test-*.npz")
    data = file.read_bytes()
    damaged = (b"", data[:50], data[: len(data) // 2], data.replace(b"'descr'", b"\x00descr'"), json.dumps({}).encode())
    for count, content in enumerate(damaged, 1):
        file.write_bytes(content)
        again = read_split(builder, "test", "id")
        assert again.ids.tolist() == first.ids.tolist() and again.labels.tolist() == first.labels.tolist()
        assert caplog.text.count("the records are indexed again") == count
    assert read_split(builder, "test", "id").ids.tolist() == first.ids.tolist()
    assert caplog.text.count("the records are indexed again") == len(damaged)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    miniatures.write_tfds(tmp_path, "cifar10", miniatures.cifar10_examples(20, 10))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds_records.np, "savez", full)
    assert len(read_split(prepared_builder("cifar10", tmp_path), "test", "id").ids) == 10
    assert "the index cannot be kept (No space left on device)" in caplog.text
    assert not list(tmp_path.rglob("*index-*"))


def test_records_are_regular_files(tmp_path):
    import os

    miniatures.write_tfds(tmp_path, "cifar10", miniatures.cifar10_examples(20, 10))
    builder = prepared_builder("cifar10", tmp_path)
    records = read_split(builder, "test", "id")
    records.images.files[0].unlink()
    with pytest.raises(InputError, match="no such file, expected a TFRecord file"):
        read_split(builder, "test", "id")
    os.mkfifo(records.images.files[0])
    for read in (lambda: read_split(builder, "test", "id"), lambda: records.images.read(0)):
        with pytest.raises(InputError, match="found a named pipe, expected a TFRecord file"):
            read()
