import pytest

from dseh_tf.data.image_folder import read_image_folder
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


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_image_folder(tmp_path / "nowhere")
    miniatures.write_image_folder(tmp_path, {"dog": 3})
    with pytest.raises(InputError, match="found 1 folders, expected at least two"):
        read_image_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="cat: found no image"):
        read_image_folder(tmp_path)
