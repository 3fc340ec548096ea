"""What is particular to one of the papers' data sets, on miniatures; tests/data/sets has what holds for all."""

import numpy as np
import pytest

from dseh_tf.data import catalog
from dseh_tf.data.catalog import DataOptions, protocol_of
from dseh_tf.data.check_split import check_split
from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.data.sets.imagenet_100 import chosen_classes
from dseh_tf.errors import InputError
from tests.data import miniatures

SMALL = miniatures.SMALL


@pytest.fixture
def data(miniatures_dir):
    return miniatures_dir


_options = miniatures.options


def test_labels_stay_with_their_ids(data, tmp_path):
    names, labels, tags = miniatures.write_nus_wide(tmp_path)
    dataset = catalog.load("nus_wide_10", DataOptions(data_dir=tmp_path, **SMALL["nus_wide_10"]))
    columns = [int(word.removeprefix("concept")) for word in dataset.class_names]
    rows = {name: row for row, name in enumerate(names)}
    for part in ("train", "query", "database"):
        split = getattr(dataset, part)
        chosen = [rows[name] for name in split.ids.tolist()]
        np.testing.assert_array_equal(split.labels, labels[np.ix_(chosen, columns)])
        np.testing.assert_array_equal(split.texts.toarray(), tags[chosen])
        assert split.texts.dtype == np.float32
    assert len(dataset.query) + len(dataset.database) == (labels[:, columns].any(axis=1)).sum()


def test_pools_of_nus_wide(data):
    labelled = catalog.load("nus_wide_21", _options(data, "nus_wide_21"))
    tagged = catalog.load("nus_wide_21", _options(data, "nus_wide_21", nus_pool="tagged"))
    assert labelled.notes["pool"] > tagged.notes["pool"]
    assert labelled.classes == 21 and labelled.train.texts is None
    assert protocol_of("nus_wide_21").images == 195_834
    assert protocol_of("nus_wide_21", DataOptions(nus_pool="tagged")).images == 190_421
    assert protocol_of("nus_wide_10", DataOptions(nus_pool="tagged")).images == 181_365


def test_the_papers_numbers_need_the_whole_data(data):
    for name, found in (
        ("nus_wide_21", r"found \d+ images, expected 195,834"),
        ("ms_coco", "found 119 images, expected 122,218"),
    ):
        with pytest.raises(InputError, match=found):
            catalog.load(name, DataOptions(data_dir=data))
    with pytest.raises(InputError, match=r"imagenet_100, class n\d+: found \d images, expected 50 query \+ 100 train"):
        catalog.load("imagenet_100", DataOptions(data_dir=data, imagenet_classes=data / "classes.txt"))


def test_hashnet_database_of_coco(data):
    options = _options(data, "ms_coco", coco_db="hashnet_lists")
    dataset = catalog.load("ms_coco", options)
    report = check_split(dataset, protocol_of("ms_coco", options))
    assert report.overlaps == {("train", "query"): 0, ("query", "database"): 20, ("train", "database"): 0}


def test_adsh_trains_on_the_whole_database(data):
    options = _options(data, "cifar10", cifar10_train="whole_database", train_rows=None)
    dataset = catalog.load("cifar10", options)
    check_split(dataset, protocol_of("cifar10", options))
    assert len(dataset.query) == 20 and len(dataset.train) == len(dataset.database) == 240


def test_imagenet_queries_are_validation_images(data):
    dataset = catalog.load("imagenet_100", _options(data, "imagenet_100"))
    assert all(name.startswith("ILSVRC2012_val") for name in dataset.query.ids.tolist())
    assert all(name.startswith("n0") for name in dataset.database.ids.tolist())
    for name, labels in zip(dataset.train.ids.tolist(), dataset.train.labels, strict=True):
        assert miniatures.IMAGENET_CLASSES[labels.argmax()] == int(name[1:9])


def test_imagenet_class_file(data, tmp_path):
    names = catalog.load("imagenet_100", _options(data, "imagenet_100")).class_names
    file = tmp_path / "classes.txt"
    file.write_text("".join(f"{name} something\n" for name in names[::-1]))
    by_name = catalog.load("imagenet_100", _options(data, "imagenet_100", imagenet_classes=file))
    assert by_name.class_names == names
    for text, message in (
        ("n01440764\nn99\n", r"classes\.txt:2: found class 'n99'"),
        ("0\n1\n0\n", "found 2 different classes in 3 lines, expected 100"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            catalog.load("imagenet_100", _options(data, "imagenet_100", imagenet_classes=file))
    with pytest.raises(InputError, match="no such file, expected 100 classes"):
        catalog.load("imagenet_100", _options(data, "imagenet_100", imagenet_classes=tmp_path / "none"))
    drawn = [chosen_classes(DataOptions(seed=seed), tuple(map(str, range(1000)))) for seed in (0, 0, 1)]
    assert len(set(drawn[0])) == 100 and drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()


def test_image_folder_numbers(data):
    dataset = catalog.load("image_folder", _options(data, "image_folder"))
    assert dataset.query.labels.sum(axis=0).tolist() == [3, 3] and len(dataset.train) == len(dataset.database) == 74
    dataset = catalog.load("image_folder", _options(data, "image_folder", queries=2, train_rows=5))
    assert len(dataset.query) == 4 and dataset.train.labels.sum(axis=0).tolist() == [5, 5]
    with pytest.raises(InputError, match=r"class cat: found 30 images, expected 29 query \+ 5 train"):
        catalog.load("image_folder", _options(data, "image_folder", queries=29, train_rows=5))
    with pytest.raises(InputError, match="images_root: found none"):
        catalog.load("image_folder")


def test_any_classification_set_of_tfds(data):
    dataset = catalog.load("tfds:cifar10", DataOptions(data_dir=data))
    assert [len(dataset.query), len(dataset.train), len(dataset.database)] == [60, 200, 200]
    assert all(name.startswith("test/") for name in dataset.query.ids.tolist())
    assert dataset.query.images.read(5).shape == (32, 32, 3)
    dataset = catalog.load("tfds:cifar10", DataOptions(data_dir=data, queries=1, train_rows=2))
    assert [len(dataset.query), len(dataset.train), len(dataset.database)] == [10, 20, 200]
    with pytest.raises(InputError, match=r"tfds:coco/2014 has features .*, expected an image and one class label"):
        catalog.load("tfds:coco/2014", DataOptions(data_dir=data))


def test_bad_images_are_left_out_of_any_set(tmp_path):
    miniatures.write_nus_wide(tmp_path)
    options = DataOptions(data_dir=tmp_path, **SMALL["nus_wide_21"])
    whole = catalog.load("nus_wide_21", options)
    gone, cut = whole.train.ids[4], whole.query.ids[3]
    (tmp_path / "Flickr" / gone).unlink()
    (tmp_path / "Flickr" / cut).write_bytes(b"cut")
    with pytest.raises(InputError, match=r"1 of .* images are missing"):
        catalog.load("nus_wide_21", options)
    dataset = catalog.load("nus_wide_21", DataOptions(data_dir=tmp_path, skip_bad_images=True, **SMALL["nus_wide_21"]))
    assert dataset.notes["bad_images"] == {"train": 1, "query": 1, "database": 1}
    assert set(whole.train.ids) - set(dataset.train.ids) == {gone} and set(whole.query.ids) - set(
        dataset.query.ids
    ) == {cut}


@pytest.mark.parametrize(
    "changes",
    [{"split": "x"}, {"nus_pool": "x"}, {"coco_db": "x"}, {"cifar10_train": "x"}, {"queries": 0}, {"train_rows": -1}],
)
def test_bad_options(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}: found"):
        DataOptions(**changes)


def test_a_drawn_split_survives_as_image_lists(data, tmp_path):
    """What the catalog draws can be written as lists and read back as the same split."""
    dataset = catalog.load("nus_wide_21", _options(data, "nus_wide_21"))
    for part, file in (("train", "train.txt"), ("query", "test.txt"), ("database", "database.txt")):
        split = getattr(dataset, part)
        lines = [f"{name} {' '.join(map(str, row))}" for name, row in zip(split.ids, split.labels, strict=True)]
        (tmp_path / file).write_text("\n".join(lines) + "\n")
    again = load_image_lists(tmp_path, data / "nus_wide" / "Flickr")
    assert check_split(again).digest == check_split(dataset).digest
