import io
import struct
import tarfile

import numpy as np
import pytest

from dseh_tf.data import pixels
from dseh_tf.data.readers import tfds_records
from dseh_tf.data.readers.tfds_builders import prepared_builder
from dseh_tf.data.readers.tfds_records import join, read_split
from dseh_tf.errors import InputError
from tests.data import miniatures


@pytest.fixture
def cifar10(tmp_path):
    examples = miniatures.cifar10_examples()
    return tmp_path, miniatures.write_tfds(tmp_path, "cifar10", examples), examples


def test_ids_labels_and_images_belong_together(cifar10):
    data_dir, _, examples = cifar10
    builder = prepared_builder("cifar10", data_dir)
    records = read_split(builder, "train", "id")
    assert len(records.images.files) > 1  # several shards
    assert records.ids.tolist() == [row["id"] for row in examples["train"]]
    assert records.labels.tolist() == [row["label"] for row in examples["train"]]
    assert len(records.class_names) == 10
    for row in (0, 39, 40, 199):
        np.testing.assert_array_equal(records.images.read(row), examples["train"][row]["image"])
    both = join([records, read_split(builder, "test", "id")])
    order = np.array([259, 3, 200, 150])
    part = both.images.take(order)
    rows = examples["train"] + examples["test"]
    for k, row in enumerate(order):
        np.testing.assert_array_equal(part.read(k), rows[row]["image"])
    assert both.ids[order].tolist() == [rows[row]["id"] for row in order]
    with pytest.raises(InputError, match="in two splits"):
        join([records, records])


def test_agrees_with_tfds_own_reader(cifar10):
    import tensorflow_datasets as tfds

    builder = prepared_builder("cifar10", cifar10[0])
    records = read_split(builder, "test", "id")
    rows = {name: row for row, name in enumerate(records.ids.tolist())}
    found = list(tfds.as_numpy(builder.as_dataset(split="test")))  # its order mixes the shards
    assert len(found) == len(rows) == 60
    for example in found:
        row = rows[example["id"].decode()]
        assert example["label"] == records.labels[row]
        np.testing.assert_array_equal(example["image"], records.images.read(row))


def test_index_is_made_once_and_follows_the_files(cifar10, monkeypatch):
    builder = prepared_builder("cifar10", cifar10[0])
    first = read_split(builder, "test", "id")
    scan = tfds_records._scan
    monkeypatch.setattr(tfds_records, "_scan", None)
    again = read_split(builder, "test", "id")
    np.testing.assert_array_equal(again.labels, first.labels)
    np.testing.assert_array_equal(again.images.read(7), first.images.read(7))
    monkeypatch.setattr(tfds_records, "_scan", scan)
    data = first.images.files[0].read_bytes()
    first.images.files[0].write_bytes(data[:-20])
    with pytest.raises(InputError, match=r"truncated at byte .*, expected a complete file"):
        read_split(builder, "test", "id")


def test_pixels_of_records_are_cached(cifar10, tmp_path):
    records = read_split(prepared_builder("cifar10", cifar10[0]), "test", "id")
    first = pixels.load_pixels(records.images, 8, cache_dir=tmp_path / "cache", memory_limit=0, progress=False)
    colours = [miniatures.colour_of(name) for name in records.ids.tolist()]
    np.testing.assert_array_equal(first.array[:, 0, 0], colours)
    backwards = records.images.take(np.arange(60)[::-1])
    turned = pixels.load_pixels(backwards, 8, cache_dir=tmp_path / "cache", memory_limit=0, progress=False)
    np.testing.assert_array_equal(turned.array[:, 4, 4], colours[::-1])


def test_damaged_files(cifar10):
    builder = prepared_builder("cifar10", cifar10[0])
    records = read_split(builder, "train", "id")
    file = records.images.files[1]
    data = file.read_bytes()
    file.write_bytes(data[:30])
    with pytest.raises(InputError, match=r"found a truncated file, expected the record of train_00041"):
        records.images.read(41)
    file.write_bytes(data[:12] + b"\xff" * (len(data) - 12))
    with pytest.raises(InputError, match="damaged record"):
        records.images.read(40)
    length = struct.unpack("<Q", data[:8])[0]
    file.write_bytes(data[12 + length + 4 :])
    with pytest.raises(InputError, match="found 199 records of 'train', expected 200"):
        read_split(builder, "train", "id")


def test_several_labels(tmp_path):
    examples = miniatures.coco_examples(30, 10)
    miniatures.write_tfds(tmp_path, "coco/2014", examples)
    records = read_split(prepared_builder("coco/2014", tmp_path), "train", "image/filename", "objects/label")
    assert records.labels.shape == (30, 80) and len(records.class_names) == 80
    for row, example in enumerate(examples["train"]):
        assert np.flatnonzero(records.labels[row]).tolist() == sorted({thing["label"] for thing in example["objects"]})
        assert tuple(records.images.read(row)[0, 0]) == miniatures.colour_of(str(records.ids[row]))


def test_an_id_twice_and_a_missing_split(tmp_path):
    examples = miniatures.cifar10_examples(10, 10)
    examples["train"][3]["id"] = "train_00001"
    miniatures.write_tfds(tmp_path, "cifar10", examples)
    builder = prepared_builder("cifar10", tmp_path)
    with pytest.raises(InputError, match="found train_00001 twice in 'train'"):
        read_split(builder, "train", "id")
    with pytest.raises(InputError, match="found splits train, test, expected 'validation'"):
        read_split(builder, "validation", "id")


def test_what_tfds_cannot_make_or_prepare(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    with pytest.raises(InputError, match="TFDS cannot make 'no_such_set'"):
        prepared_builder("no_such_set", tmp_path)
    with pytest.raises(
        InputError, match=r"imagenet2012.*files to be put by hand belong in .*manual.*https://image-net\.org"
    ):
        prepared_builder("imagenet2012", tmp_path)

    def offline(*_, **__):
        raise ConnectionError("no network\nmore lines")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(InputError, match=r"TFDS could not prepare 'cifar10' .*: ConnectionError: no network$"):
        prepared_builder("cifar10", tmp_path)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def test_imagenet_from_its_archives(tmp_path):
    """The official archives: a tar of tars, one a class, and a flat one whose labels TFDS has."""
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as train:
        for class_name in ("n01440764", "n01443537"):
            one_class = io.BytesIO()
            with tarfile.open(fileobj=one_class, mode="w") as inner:
                for i in range(3):
                    _add(inner, f"{class_name}_{i}.JPEG", miniatures.image_bytes(f"{class_name}_{i}.JPEG", kind="JPEG"))
            _add(train, f"{class_name}.tar", one_class.getvalue())
    with pytest.raises(InputError, match=r"ILSVRC2012_img_val\.tar.*register on https://image-net\.org"):
        prepared_builder("imagenet2012", tmp_path)
    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as validation:
        for i in range(1, 5):
            name = f"ILSVRC2012_val_{i:08d}.JPEG"
            _add(validation, name, miniatures.image_bytes(name, kind="JPEG"))
    builder = prepared_builder("imagenet2012", tmp_path)
    found = join([read_split(builder, part, "file_name") for part in ("train", "validation")])
    assert len(found.ids) == 10 and found.class_names[:2] == ("n01440764", "n01443537")
    for row, name in enumerate(found.ids.tolist()):
        colour = found.images.read(row)[0, 0].astype(int)
        assert np.abs(colour - miniatures.colour_of(name)).max() <= 4  # JPEG
        if name.startswith("n"):
            assert found.class_names[found.labels[row]] == name.split("_")[0]


def test_a_cut_off_archive_is_told(tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for part in ("train", "val"):
        (manual / f"ILSVRC2012_img_{part}.tar").write_bytes(b"n01440764.tar" + b"\0" * 600)
    with pytest.raises(InputError, match=r"TFDS could not prepare 'imagenet2012'.*ReadError"):
        prepared_builder("imagenet2012", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "text", "other arrays"])
def test_a_damaged_index_is_made_again(tmp_path, caplog, damage):
    """It is a cache beside the records: nothing is lost with it."""

    def scanned(path):
        yield 12, b"one"
        yield 28, b"two"

    records = tmp_path / "a.tfrecord"
    records.write_bytes(bytes(60))
    arguments = (tmp_path, "train", (records,), None, "label")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds_records, "_scan", scanned)
        patch.setattr(tfds_records, "_example", lambda record, path: _example_with(record))
        first = tfds_records._index(*arguments)
        (file,) = tmp_path.glob("index-*.npz")
        if damage == "other arrays":
            np.savez(file, **{**first, "labels": first["labels"][:1]})
        else:
            file.write_bytes(file.read_bytes()[:90] if damage == "cut" else b"text")
        again = tfds_records._index(*arguments)
    assert "indexed again" in caplog.text and str(file) in caplog.text
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["a.tfrecord", file.name])


def _example_with(record: bytes):
    """As a tf.train.Example of one label: the record's length."""
    from types import SimpleNamespace as Names

    label = Names(int64_list=Names(value=[len(record)]))
    return Names(features=Names(feature={"label": label}))


def test_a_full_disk_while_tfds_prepares(tmp_path, monkeypatch):
    """TFDS raises the writer's error again as a RuntimeError, which no longer says that it is of the disk."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    class Builder:
        data_dir, MANUAL_DOWNLOAD_INSTRUCTIONS = tmp_path / "mnist", None
        info = type("Info", (), {"splits": {}})

        def download_and_prepare(self, **_):
            with tf.io.TFRecordWriter("/dev/full") as writer:
                try:
                    writer.write(b"x" * 100_000)
                except tf.errors.OpError as error:
                    raise RuntimeError(f"{type(error).__name__}: Failed to finalize writing of split") from error

    monkeypatch.setattr(tfds, "builder", lambda *_, **__: Builder())
    with pytest.raises(InputError) as error:
        prepared_builder("mnist", tmp_path)
    assert (
        str(error.value) == f"/dev/full: No space left on device ({tmp_path / 'mnist'}: TFDS could not prepare 'mnist')"
    )
