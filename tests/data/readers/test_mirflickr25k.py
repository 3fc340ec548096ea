import numpy as np
import pytest

from dseh_tf.data.readers.mirflickr25k import read_mirflickr
from dseh_tf.errors import InputError
from tests.data import miniatures


@pytest.fixture
def written(tmp_path):
    return tmp_path, *miniatures.write_mirflickr(tmp_path / "mirflickr25k")


def test_reads_the_official_files(written):
    folder, labels, tags = written
    found = read_mirflickr(folder)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.tags.toarray(), tags)
    assert len(found.classes) == 24 and found.classes[:2] == ("classa", "classb")
    assert found.names[[0, 9, 119]].tolist() == ["im1.jpg", "im10.jpg", "im120.jpg"]  # by number, not as text
    images = found.images(np.array([11, 0]))
    assert tuple(images.read(0)[0, 0]) == miniatures.colour_of("im12.jpg")


def test_bad_files(written):
    root = written[0] / "mirflickr25k"
    annotation = root / "mirflickr25k_annotations_v080" / "classc.txt"
    whole = annotation.read_text()
    for text, message in (
        ("0\n", "classc.txt:1: found '0', expected the number of an image, 1 to 120"),
        ("5\n121\n", "classc.txt:2: found '121'"),
        ("5\nx\n", "classc.txt:2: found 'x'"),
        ("5\n6\n5\n", "classc.txt:3: found image 5 a second time"),
    ):
        annotation.write_text(text)
        with pytest.raises(InputError, match=message):
            read_mirflickr(root)
    annotation.write_text(whole)
    common = root / "mirflickr" / "doc" / "common_tags.txt"
    common.write_text("sky 845\nwater\n")
    with pytest.raises(InputError, match=r"common_tags\.txt:2: found 'water', expected <tag> <count>"):
        read_mirflickr(root)
    common.write_text("sky 845\n")
    (root / "mirflickr" / "meta" / "tags" / "tags77.txt").unlink()
    with pytest.raises(InputError, match=r"tags77\.txt: no such file; get mirflickr25k\.zip"):
        read_mirflickr(root)
    (root / "mirflickr" / "im50.jpg").unlink()
    with pytest.raises(InputError, match=r"im50\.jpg: no such file, of 119 images; get mirflickr25k\.zip"):
        read_mirflickr(root)


def test_missing_folders(tmp_path):
    with pytest.raises(InputError, match=r"found no mirflickr here .*https://press\.liacs\.nl"):
        read_mirflickr(tmp_path)
    miniatures.write_mirflickr(tmp_path)
    files = sorted((tmp_path / "mirflickr25k_annotations_v080").glob("class?.txt"))
    files[0].unlink()
    with pytest.raises(InputError, match=r"annotations_v080: found 23 <class>\.txt, expected 24"):
        read_mirflickr(tmp_path)
    for file in (tmp_path / "mirflickr25k_annotations_v080").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"annotations_v080: found no <class>\.txt, expected 24"):
        read_mirflickr(tmp_path)
