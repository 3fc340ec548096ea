import shutil
from dataclasses import replace

import pytest

from dseh_tf.data import catalog
from dseh_tf.data.image_checks import copies_of_queries
from dseh_tf.data.readers.image_folder import digest, read_image_folder
from dseh_tf.errors import InputError
from tests.data import miniatures


def test_one_folder_a_class(tmp_path):
    miniatures.write_image_folder(tmp_path, {"dog": 3, "cat": 2})
    miniatures.write_image(tmp_path / "dog" / "puppies" / "0.PNG", "puppy")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("not a class")
    ids, labels, images, names = read_image_folder(tmp_path)
    assert names == ("cat", "dog") and labels.sum(axis=0).tolist() == [2, 4]
    assert ids.tolist() == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png", "dog/puppies/0.PNG"]
    assert tuple(images.read(3)[0, 0]) == miniatures.colour_of("dog/1.png")


def test_digest_knows_images_by_name_and_size_not_by_place(tmp_path):
    miniatures.write_image_folder(tmp_path / "a", {"dog": 3, "cat": 2})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first = digest(tmp_path / "a")
    (tmp_path / "b" / "dog" / "notes.txt").write_text("not an image")
    assert digest(tmp_path / "b") == first
    (tmp_path / "b" / "dog" / "1.png").rename(tmp_path / "b" / "cat" / "3.png")
    assert digest(tmp_path / "b") != first
    with (tmp_path / "a" / "dog" / "1.png").open("ab") as file:
        file.write(b"more")
    assert digest(tmp_path / "a") != first


def test_a_damaged_image_is_found_before_training(tmp_path):
    miniatures.write_image_folder(tmp_path, {"dog": 30, "cat": 30})
    (tmp_path / "cat" / "7.png").write_bytes(b"")
    options = catalog.DataOptions(images_root=tmp_path)
    with pytest.raises(InputError, match=r"7\.png: found no image"):
        catalog.load("image_folder", options)
    assert len(catalog.load("image_folder", replace(options, labels_only=True)).database) > 0
    left = catalog.load("image_folder", replace(options, skip_bad_images=True))
    assert sum(left.notes["bad_images"].values()) in (1, 2)  # of the query, or of training set and database


def test_copies_of_queries(tmp_path):
    """Byte for byte, under another name; a file of a query's size that differs is none."""
    miniatures.write_image_folder(tmp_path, {"dog": 30, "cat": 30})
    options = catalog.DataOptions(images_root=tmp_path)
    dataset = catalog.load("image_folder", options)
    assert copies_of_queries(dataset) == []
    query, other, third = dataset.query.ids[1], dataset.database.ids[4], dataset.database.ids[9]
    content = (tmp_path / query).read_bytes()
    (tmp_path / other).write_bytes(content)
    (tmp_path / third).write_bytes(content[:-1] + b"?")
    assert copies_of_queries(dataset) == [(query, other)]


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_image_folder(tmp_path / "nowhere")
    miniatures.write_image_folder(tmp_path, {"dog": 3})
    with pytest.raises(InputError, match="found 1 folders, expected at least two"):
        read_image_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="cat: found no image"):
        read_image_folder(tmp_path)
