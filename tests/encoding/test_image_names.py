"""Which images of a folder or list are encoded, in which order, and what is refused."""

from __future__ import annotations

import pytest

from dseh_tf.encoding.image_names import image_files
from dseh_tf.errors import InputError


def test_images_of_a_folder_in_the_order_of_their_paths(tmp_path):
    """At any depth, files of other kinds and hidden ones left out; two of one name in two folders are two images."""
    for name in (
        "b/x.jpg",
        "a/x.jpg",
        "a/deep/y.PNG",
        "z.jpeg",
        "a/notes.txt",
        ".thumbs/t.jpg",
        "Thumbs.db",
        "a b.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = image_files(tmp_path)
    assert found.ids == ("a/deep/y.PNG", "a/x.jpg", "a b.png", "b/x.jpg", "z.jpeg")
    assert found.root == tmp_path and len(found) == 5
    assert image_files(str(tmp_path)) == found


def test_a_list_keeps_its_order_and_may_name_what_is_missing(tmp_path):
    (tmp_path / "list.txt").write_bytes(
        b"\xef\xbb\xbfz.jpg\r\n./a//b.jpg\n\n  my photo 1.jpg 0 1 0\nphoto 1\nphoto 0 1 \n"
    )
    found = image_files(tmp_path / "list.txt")
    assert found.ids == ("z.jpg", "a/b.jpg", "my photo 1.jpg", "photo 1", "photo") and found.root == tmp_path
    (tmp_path / "images").mkdir()
    assert image_files(tmp_path / "list.txt", tmp_path / "images").root == tmp_path / "images"


def test_a_digest_changes_with_the_names_and_their_order(tmp_path):
    digests = set()
    for text in ("a.jpg\nb.jpg", "b.jpg\na.jpg", "a.jpg", "a.jpgb.jpg", "a.jpg\nb.jpg\nc.jpg"):
        (tmp_path / "list.txt").write_text(text)
        digests.add(image_files(tmp_path / "list.txt").digest())
    assert len(digests) == 5
    (tmp_path / "list.txt").write_text("./a.jpg\n\nb.jpg\n")
    assert image_files(tmp_path / "list.txt").digest() in digests


def test_what_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"empty: found no image, expected some \(.jpg, .png, ...\)"):
        image_files(empty)
    (empty / "readme.txt").write_text("no image")
    with pytest.raises(InputError, match=r"empty: found no image but 1 other file \(.txt 1\), expected some"):
        image_files(empty)
    with pytest.raises(InputError, match=r"images_root: found .*, but images is the folder"):
        image_files(empty, tmp_path)
    with pytest.raises(InputError, match=r"none.txt: found no such file, expected a folder of images, or a list"):
        image_files(tmp_path / "none.txt")
    file = tmp_path / "list.txt"
    for content, line in (
        (b" \n\n", "list.txt: found an empty list, expected one path per line"),
        (
            b"a.jpg\nb.jpg\n./a.jpg\n",
            r"list.txt:3: found a.jpg a second time \(first in line 1\), expected each image once",
        ),
        (b"\xff\xfe", "list.txt: found bytes that are not UTF-8"),
        (b"a.jpg\nb\0.jpg\n", "list.txt:2: found .*, expected a path"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=line):
            image_files(file)
    file.write_text("a.jpg")
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        image_files(file, tmp_path / "nowhere")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    try:
        (tmp_path / "\udcff.jpg").write_bytes(b"")
    except (OSError, UnicodeError):
        pytest.skip("the file system has UTF-8 names alone")
    with pytest.raises(InputError, match=r"found the name '\\udcff.jpg', expected names in UTF-8"):
        image_files(tmp_path)
