import shutil
import tracemalloc

import numpy as np
import pytest

from dseh_tf.data.readers import nus_wide
from dseh_tf.data.readers.nus_wide import find_images, has_tags, read_nus_wide, read_tags
from dseh_tf.errors import InputError
from tests.data import miniatures


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "nus_wide"
    return root, *miniatures.write_nus_wide(root)


@pytest.fixture
def copy(written, tmp_path):
    shutil.copytree(written[0], tmp_path / "nus_wide", ignore=shutil.ignore_patterns("Flickr"))
    return tmp_path / "nus_wide"


def test_reads_the_official_files(written):
    root, names, labels, tags = written
    for place in (root, root.parent):
        found = read_nus_wide(place)
        assert found.names.tolist() == names
        np.testing.assert_array_equal(found.labels, labels)
    assert found.concepts[:2] == ("concept00", "concept01")
    rows = np.array([7, 300, 2])
    np.testing.assert_array_equal(read_tags(found, rows).toarray(), tags[rows])
    np.testing.assert_array_equal(has_tags(found), tags.any(axis=1))
    assert nus_wide.tag_names(found)[:2] == ("tag0", "tag1")


def test_most_frequent_concepts_keep_their_order(written):
    root, _, labels, _ = written
    found = read_nus_wide(root).most_frequent(10)
    counts = labels.sum(axis=0)
    assert sorted(found) == found.tolist() and counts[found].min() >= np.delete(counts, found).max()


@pytest.mark.parametrize("layout", ["Flickr", "images", "hashnet"])
def test_image_layouts(tmp_path, layout):
    names, *_ = miniatures.write_nus_wide(tmp_path, images=30, layout=layout)
    found = read_nus_wide(tmp_path)
    rows = np.array([29, 3, 14])
    images = find_images(found, rows)
    for k, row in enumerate(rows):
        assert tuple(images.read(k)[0, 0]) == miniatures.colour_of(names[row])
    assert images.origins[0].endswith("Imagelist.txt:30")
    other = tmp_path / "elsewhere"
    (tmp_path / ("Flickr" if layout == "Flickr" else "images")).rename(other)
    assert tuple(find_images(found, rows, other).read(1)[0, 0]) == miniatures.colour_of(names[3])


@pytest.mark.parametrize("line", [r"C:\ImageData\Flickr\actor\0001_2124494179.jpg", "actor/0001_2124494179.jpg  "])
def test_prefixes_and_slashes(copy, line):
    lines = (copy / "ImageList" / "Imagelist.txt").read_text().splitlines()
    (copy / "ImageList" / "Imagelist.txt").write_text("\n".join([line, *lines[1:]]))
    assert read_nus_wide(copy).names[0] == "actor/0001_2124494179.jpg"


def test_train_and_test_halves_with_the_known_slip(copy, monkeypatch):
    labels = read_nus_wide(copy).labels
    shutil.rmtree(copy / "Groundtruth" / "AllLabels")
    np.testing.assert_array_equal(read_nus_wide(copy).labels, labels)
    file = copy / "Groundtruth" / "TrainTestLabels" / "Labels_concept03_Train.txt"
    lines = file.read_text().splitlines()
    lines[6] = "-1130179"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"Labels_concept03_Train\.txt:7: found label '-1130179', expected 0 or 1"):
        read_nus_wide(copy)
    monkeypatch.setitem(nus_wide.KNOWN_BAD, "Labels_concept03_Train.txt", {7: "-1130179"})
    found = read_nus_wide(copy)
    assert found.labels[6, 3] == 0
    assert np.delete(found.labels, 6, axis=0).tolist() == np.delete(labels, 6, axis=0).tolist()
    with pytest.raises(InputError, match=r"tags follow Imagelist\.txt"):
        has_tags(found)


def test_missing_files_are_named_with_their_source(copy):
    for path in ("NUS_WID_Tags/AllTags1k.txt", "Groundtruth/AllLabels/Labels_concept05.txt", "Concepts81.txt"):
        (copy / path).unlink()
        name = path.rsplit("/", 1)[-1].replace(".", r"\.")
        with pytest.raises(InputError, match=rf"{name}: no such file; get it from https"):
            has_tags(read_nus_wide(copy))
    shutil.rmtree(copy / "ImageList")
    with pytest.raises(InputError, match=r"found no ImageList here or in .*; get it from https"):
        read_nus_wide(copy)


def test_cut_off_files(copy):
    tags = copy / "NUS_WID_Tags" / "AllTags1k.txt"
    whole = tags.read_text().splitlines(keepends=True)
    tags.write_text("".join(whole[:-1]))
    with pytest.raises(
        InputError, match=r"AllTags1k\.txt: found 399 lines, expected 400, one for each of .*Imagelist\.txt"
    ):
        has_tags(read_nus_wide(copy))
    tags.write_text("".join([*whole, whole[0]]))
    with pytest.raises(InputError, match="found more than 400 lines"):
        has_tags(read_nus_wide(copy))
    tags.write_text("".join(whole[:5]) + whole[5][:9] + "\n" + "".join(whole[6:]))
    with pytest.raises(InputError, match=r"AllTags1k\.txt:6: found 5 values, expected 12"):
        has_tags(read_nus_wide(copy))
    tags.write_text("".join(whole[:8]) + whole[8].replace("0", "7", 1) + "".join(whole[9:]))
    with pytest.raises(InputError, match=r"AllTags1k\.txt:9: found '7', expected 0 or 1"):
        has_tags(read_nus_wide(copy))
    labels = copy / "Groundtruth" / "AllLabels" / "Labels_concept05.txt"
    labels.write_text(labels.read_text()[:500])
    with pytest.raises(InputError, match=r"Labels_concept05\.txt: found 250 labels, expected 400, one for each of"):
        read_nus_wide(copy)


def test_names(copy):
    file = copy / "ImageList" / "Imagelist.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:9], lines[2], *lines[10:]]))
    with pytest.raises(InputError, match=r"Imagelist\.txt:10: found .* a second time \(first in .*Imagelist\.txt:3\)"):
        read_nus_wide(copy)
    file.write_text("\n".join([*lines[:9], "", *lines[10:]]))
    with pytest.raises(InputError, match=r"Imagelist\.txt:10: found ''"):
        read_nus_wide(copy)
    file.write_text("\n".join(["x/0007_" + lines[1].strip().split("_")[1], *lines[1:]]))
    assert np.flatnonzero(read_nus_wide(copy).held_again()).tolist() == [0, 1]


def test_missing_images(tmp_path):
    names, *_ = miniatures.write_nus_wide(tmp_path, images=30)
    found = read_nus_wide(tmp_path)
    (tmp_path / "Flickr" / names[4]).unlink()
    with pytest.raises(InputError, match=r"no such image \(named in .*Imagelist\.txt:5\); 1 of 30 images are missing"):
        find_images(found, np.arange(30))
    assert len(find_images(found, np.arange(30), missing_ok=True)) == 30
    assert len(find_images(found, np.arange(4))) == 4
    shutil.rmtree(tmp_path / "Flickr")
    with pytest.raises(InputError, match="no such folder, expected the images"):
        find_images(found, np.arange(4))


@pytest.mark.slow
def test_labels_at_their_real_scale(tmp_path):
    """269,648 x 81 labels in their files: 22 MB as read, and hardly more while reading. Figures of the docstring."""
    n, concepts = 269_648, 81
    for folder in ("ImageList", "Groundtruth/AllLabels", "NUS_WID_Tags"):
        (tmp_path / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = (f"category{i % 704}\\{i % 500:04d}_{10_000_000 + i}.jpg" for i in range(n))
    (tmp_path / "ImageList" / "Imagelist.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "Concepts81.txt").write_text("".join(f"c{i}\n" for i in range(concepts)))
    checks = []
    for i in range(concepts):
        digits = (rng.random(n) < 0.02).astype(np.uint8)
        text = np.full((n, 2), ord("\n"), np.uint8)
        text[:, 0] = digits + ord("0")
        (tmp_path / "Groundtruth" / "AllLabels" / f"Labels_c{i}.txt").write_bytes(text.tobytes())
        checks.append(int(digits.sum()))
    tracemalloc.start()
    found = read_nus_wide(tmp_path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.labels.shape == (n, concepts) and found.labels.sum(axis=0).tolist() == checks
    assert found.labels.nbytes == 21_841_488
    assert kept < 70e6 and peak < 200e6  # names are 40 MB of unicode beside the labels; lists of strings while reading


def test_tag_blocks_of_any_size(written, monkeypatch):
    from dseh_tf.data.readers import official_files

    root, _, _, tags = written
    monkeypatch.setattr(official_files, "_BLOCK", 100)
    found = read_nus_wide(root)
    np.testing.assert_array_equal(read_tags(found, np.arange(400)).toarray(), tags)
