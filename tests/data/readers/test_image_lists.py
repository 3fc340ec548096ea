import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf.data.readers.image_lists import read_image_list
from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.errors import InputError

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"

LISTS = {
    "train.txt": ["a.png 0 1 0", "b.png 1 1 0"],
    "test.txt": ["c.png 0 0 1"],
    "database.txt": ["b.png 1 1 0", "d.png 0 0 1", "a.png 0 1 0"],
}


def _write(folder, lists=LISTS, **changed):
    for name, lines in {**lists, **{f"{key}.txt": value for key, value in changed.items()}}.items():
        if lines is not None:
            (folder / name).write_text("\n".join(lines) + "\n")
    for name in "abcd":
        Image.new("RGB", (6, 5), (ord(name), 0, 0)).save(folder / f"{name}.png")
    return folder


def test_reads_lists(tmp_path):
    dataset = load_image_lists(_write(tmp_path))
    assert dataset.train.ids.tolist() == ["a.png", "b.png"] and dataset.query.ids.tolist() == ["c.png"]
    assert dataset.database.ids.tolist() == ["b.png", "d.png", "a.png"]
    np.testing.assert_array_equal(dataset.database.labels, [[1, 1, 0], [0, 0, 1], [0, 1, 0]])
    assert dataset.database_is_train().tolist() == [True, False, True]
    assert dataset.database.images.read(1)[0, 0, 0] == ord("d")
    assert dataset.class_names == ()


def test_images_root_and_class_names(tmp_path):
    lists, images = tmp_path / "lists", tmp_path / "images"
    lists.mkdir(), images.mkdir()
    _write(lists), _write(images)
    for name in "abcd":
        (lists / f"{name}.png").unlink()
    (lists / "classes.txt").write_text("x\ny\nz\n")
    dataset = load_image_lists(lists, images)
    assert dataset.class_names == ("x", "y", "z") and dataset.query.images.read(0).shape == (5, 6, 3)
    (lists / "classes.txt").write_text("x\ny\n")
    assert load_image_lists(lists, images).class_names == ()


def test_without_database_list_the_training_list_is_searched(tmp_path, caplog):
    dataset = load_image_lists(_write(tmp_path, {k: v for k, v in LISTS.items() if k != "database.txt"}))
    assert dataset.database.ids.tolist() == dataset.train.ids.tolist()
    assert dataset.notes["database"] == "train.txt"


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \n", "\t \n", "\n\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_endings(tmp_path, ending, last):
    text = ending.join(["a.png 0 1", "b.png 1 1"]) + (ending if last else "")
    (tmp_path / "l.txt").write_bytes(text.encode())
    found = read_image_list(tmp_path / "l.txt")
    assert found.paths == ("a.png", "b.png") and found.labels.tolist() == [[0, 1], [1, 1]]


def test_paths_with_spaces_tabs_and_umlauts(tmp_path):
    (tmp_path / "l.txt").write_text("\ufeffmy photo 1.png 0 1\nb  c.png\t1\t1\nmädchen.jpg 1 0\n", encoding="utf-8")
    found = read_image_list(tmp_path / "l.txt")
    assert found.paths == ("my photo 1.png", "b  c.png", "mädchen.jpg")
    assert found.labels.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_fast_and_careful_reader_agree(tmp_path):
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 7)) < 0.4).astype(int)
    labels[:, 0] = 1
    lines = [f"dir/{i}.jpg " + " ".join(map(str, row)) for i, row in enumerate(labels)]
    (tmp_path / "fast.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "slow.txt").write_text("\n".join(line.replace(" ", "  ") for line in lines) + "\n")
    fast, slow = read_image_list(tmp_path / "fast.txt"), read_image_list(tmp_path / "slow.txt")
    np.testing.assert_array_equal(fast.labels, labels)
    np.testing.assert_array_equal(slow.labels, labels)
    assert fast.paths == slow.paths and fast.lines.tolist() == slow.lines.tolist()


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"train": None}, "train.txt: found no such file"),
        ({"test": []}, "test.txt: found an empty list"),
        ({"train": ["a.png 0 1 0", "b.png 1 1"]}, "train.txt:2: found 2 labels, expected 3"),
        ({"train": ["a.png 0 1", "b.png 1 1 0", "d.png 1 1 0"]}, "train.txt:1: found 2 labels, expected 3"),
        ({"train": ["a.png 0 1 0", "b.png 1 1 0 1"]}, "train.txt:2: found 4 labels, expected 3"),
        ({"test": ["c.png 0 1"]}, "test.txt:1: found 2 labels, expected 3 as in train.txt"),
        ({"train": ["a.png 0 1 0", "b.png 1 2 0"]}, "train.txt:2: found label '2', expected 0 or 1"),
        ({"train": ["a.png 0 3 0"]}, "train.txt:1: found label '3', expected 0 or 1"),
        ({"train": ["a.png 0 -1 0", "b.png 1 1 0"]}, "train.txt:1: found label '-1', expected 0 or 1"),
        ({"train": ["a.png 0 0.5 0", "b.png 1 1 0"]}, "train.txt:1: found label '0.5', expected 0 or 1"),
        ({"train": ["a.png", "b.png"]}, "train.txt:1: found no labels"),
        (
            {"train": ["a.png 0 nan 0", "b.png 1 1 0", "d.png 1 1 0"]},
            "train.txt:1: found 1 labels behind 'nan', expected 3",
        ),
        ({"train": ["a.png 0 1 0", "b.png 1 1 nan"]}, "train.txt:2: found 0 labels behind 'nan', expected 3"),
        ({"train": ["a.png 0 1 0", "b.png 1 1"]}, "train.txt:2: found 2 labels, expected 3 as in the other lines"),
        ({"train": ["a.png 0 1 0", "b.png 0 0 0"]}, r"train.txt:2: found b.png without a label \(1 such"),
        (
            {"train": ["a.png 0 1 0", "b.png 1 1 0", "a.png 0 1 0"]},
            r"train.txt:3: found a.png a second time \(first in line 1",
        ),
        ({"test": ["c.png 0 0 1", "d.png 0 1 0"]}, r"test.txt:2: query d.png is in database.txt too \(1 such"),
        ({"test": ["a.png 0 1 0"], "database": ["b.png 1 1 0"]}, "test.txt:1: query a.png is in train.txt too"),
        ({"database": ["b.png 1 1 0", "nowhere.png 0 1 0"]}, r"nowhere.png: no such file .*database.txt:2"),
        ({"database": ["b.png 1 1 0", "train.txt 0 1 0"]}, r"train.txt: found no image .*database.txt:2"),
    ],
)
def test_bad_lists(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        load_image_lists(_write(tmp_path, **changed))


def test_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "l.txt").write_bytes(b"a.png 0 1\nb\xff.png 0 1\n")
    with pytest.raises(InputError, match=r"l\.txt:2: .*UTF-8"):
        read_image_list(tmp_path / "l.txt")


def test_missing_folders(tmp_path):
    with pytest.raises(InputError, match="nolists: no such folder"):
        load_image_lists(tmp_path / "nolists")
    with pytest.raises(InputError, match="noimages: no such folder"):
        load_image_lists(_write(tmp_path), tmp_path / "noimages")


def test_labels_only_looks_at_no_image(tmp_path):
    dataset = load_image_lists(_write(tmp_path, train=["nowhere.png 0 1 0"]), tmp_path / "nothing", labels_only=True)
    assert not dataset.has_images and dataset.train.ids.tolist() == ["nowhere.png"]


def test_bad_images_are_left_out_and_counted(tmp_path):
    _write(tmp_path)
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:50])  # a good header, cut off behind it
    (tmp_path / "b.png").unlink()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "b.png"))):
        load_image_lists(tmp_path)
    dataset = load_image_lists(tmp_path, skip_bad_images=True)
    assert dataset.train.ids.tolist() == dataset.database.ids.tolist() == ["a.png"]
    assert dataset.notes["bad_images"] == {"train": 1, "query": 0, "database": 2}
    (tmp_path / "c.png").unlink()
    with pytest.raises(InputError, match="query: found no image that can be read"):
        load_image_lists(tmp_path, skip_bad_images=True)


@pytest.mark.skipif(not (SHARED / "coco_lists").is_dir(), reason="the shared lists are not here")
def test_coco_lists():
    dataset = load_image_lists(SHARED / "coco_lists", labels_only=True)
    assert [len(dataset.train), len(dataset.query), len(dataset.database)] == [10_000, 5_000, 117_218]
    assert dataset.classes == 80 and dataset.database_is_train().sum() == 10_000
    with (SHARED / "coco_lists" / "database.txt").open() as lines:
        for row, line in zip(range(200), lines, strict=False):
            path, *labels = line.split()
            assert dataset.database.ids[row] == path and dataset.database.labels[row].tolist() == list(map(int, labels))


@pytest.mark.skipif(not (SHARED / "corel5k").is_dir(), reason="the shared photographs are not here")
def test_corel5k():
    dataset = load_image_lists(SHARED / "corel5k")
    assert [len(dataset.train), len(dataset.query), len(dataset.database)] == [4_434, 490, 4_434]
    assert len(dataset.class_names) == 74
    assert sorted(dataset.query.images.read(0).shape) == [3, 128, 192]


@pytest.mark.parametrize(
    "spelled", ["./a.png", "x/../a.png", ".//a.png", "../{folder}/a.png", "{root}/a.png", "{root}/x/../a.png"]
)
def test_an_image_is_known_by_any_spelling(tmp_path, spelled):
    spelled = spelled.format(folder=tmp_path.name, root=tmp_path)
    with pytest.raises(InputError, match=r"test\.txt:1: query a\.png is in"):
        load_image_lists(_write(tmp_path, test=[f"{spelled} 0 0 1"]), labels_only=True)
    with pytest.raises(InputError, match=r"train\.txt:2: found a\.png a second time \(first in line 1"):
        load_image_lists(_write(tmp_path, train=["a.png 0 1 0", f"{spelled} 0 1 0"]), labels_only=True)


def test_images_outside_their_root_have_a_path_from_it(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    folder = _write(tmp_path / "x", train=[f"{tmp_path}/y/e.png 0 1 0", "a.png 0 1 0"])
    (tmp_path / "x" / "b.png").rename(tmp_path / "y" / "e.png")
    dataset = load_image_lists(folder, labels_only=True)
    assert dataset.train.ids.tolist() == ["../y/e.png", "a.png"]


def test_class_names_that_are_no_text(tmp_path):
    _write(tmp_path)
    (tmp_path / "words.txt").write_bytes(b"caf\xe9\nb\nc\n")
    with pytest.raises(InputError, match=r"words\.txt: found bytes that are not UTF-8"):
        load_image_lists(tmp_path)
