"""MATLAB files of both formats, and the sets that come in them: Wikipedia and DCMH's FLICKR-25K.mat."""

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.data import DataOptions, load
from dseh_tf.data.readers import mat_files
from dseh_tf.data.readers.flickr25k_mat import read_flickr25k_mat
from dseh_tf.data.readers.mat_files import mat_format, read_mat
from dseh_tf.data.readers.wikipedia import CATEGORIES, read_wikipedia
from dseh_tf.errors import InputError
from tests.damage import damaged, examples
from tests.data import miniatures

MATRIX = np.arange(6.0).reshape(2, 3)


def test_both_formats_give_the_same_arrays(tmp_path):
    scipy.io.savemat(tmp_path / "five.mat", {"A": MATRIX})
    miniatures.write_hdf5_mat(tmp_path / "seven.mat", {"A": MATRIX})
    with h5py.File(tmp_path / "plain.mat", "w") as stored:  # by h5py itself: the signature is at the start
        stored["A"] = MATRIX.T
    for name, expected in (("five", "5"), ("seven", "hdf5"), ("plain", "hdf5")):
        assert mat_format(tmp_path / f"{name}.mat") == expected
        np.testing.assert_array_equal(read_mat(tmp_path / f"{name}.mat", ["A"])["A"], MATRIX)


def test_an_empty_matrix_of_hdf5_is_empty(tmp_path):
    miniatures.write_hdf5_mat(tmp_path / "a.mat", {"A": np.array([0, 3], np.uint64)})
    with h5py.File(tmp_path / "a.mat", "r+") as stored:
        stored["A"].attrs["MATLAB_empty"] = 1
    assert read_mat(tmp_path / "a.mat", ["A"])["A"].shape == (0, 3)


def test_damaged_files_are_one_line(tmp_path):
    file = tmp_path / "a.mat"
    scipy.io.savemat(file, {"A": MATRIX})
    with pytest.raises(InputError, match=r"a\.mat: found no B, expected the arrays B"):
        read_mat(file, ["B"])
    whole = file.read_bytes()
    miniatures.write_hdf5_mat(tmp_path / "b.mat", {"A": MATRIX})
    cut = (tmp_path / "b.mat").read_bytes()
    for content, message in (
        (b"", "found neither the MATLAB 5 nor the HDF5 signature"),
        (b"MATLAB 5.0 MAT-file".ljust(200), "found neither"),
        (whole[:150], "cannot be read"),
        (cut[:700], "cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=message) as error:
            read_mat(file, ["A"])
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"b\.mat: found no dataset B, expected one \(found A\)"):
        read_mat(tmp_path / "b.mat", ["B"])


def test_a_reader_that_dies_is_one_line(tmp_path, monkeypatch):
    """The file is whole; the process ends as it does where a damaged file crashes the library that reads it."""
    scipy.io.savemat(tmp_path / "a.mat", {"A": MATRIX})
    monkeypatch.setattr(mat_files, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(InputError) as error:
        read_mat(tmp_path / "a.mat", ["A"])
    line = "found a damaged file that its reader fails on (SIGSEGV), expected a MATLAB 5 file"
    assert str(error.value) == f"{tmp_path / 'a.mat'}: {line}"


def test_arrays_of_every_type_come_from_the_other_process(tmp_path):
    kinds = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
    arrays = {f"A{kind}": MATRIX.astype(kind) for kind in kinds} | {
        "empty": np.zeros((0, 3)),
        "deep": np.ones((2, 3, 4)),
    }
    cell = np.empty(2, object)
    cell[:] = [MATRIX, MATRIX[:1]]
    scipy.io.savemat(tmp_path / "a.mat", {**arrays, "words": "text", "cell": cell})
    for name, found in read_mat(tmp_path / "a.mat", list(arrays)).items():
        assert found.dtype == arrays[name].dtype and found.flags.writeable
        np.testing.assert_array_equal(found, arrays[name])
    for name in ("words", "cell"):
        with pytest.raises(InputError, match=rf"a\.mat: {name}: found .*, expected numbers"):
            read_mat(tmp_path / "a.mat", [name])


@examples(60)
@given(st.data())
def test_damaged_hdf5_gives_arrays_or_one_line(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("mat") / "a.mat"
    miniatures.write_hdf5_mat(file, {"A": MATRIX, "B": np.ones((5, 4), np.uint8)})
    file.write_bytes(damaged(data, file.read_bytes()))
    try:
        found = read_mat(file, ["A", "B"])
    except InputError as error:
        assert "\n" not in str(error) and str(error).startswith(f"{file}: ")
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


@pytest.mark.parametrize("version", ["5", "hdf5"])
def test_wikipedia(tmp_path, version):
    matrices = miniatures.write_wikipedia(tmp_path)
    if version == "hdf5":
        miniatures.write_hdf5_mat(tmp_path / "raw_features.mat", matrices)
    dataset = load("wikipedia", data_dir=tmp_path)
    assert dataset.class_names == CATEGORIES and dataset.vocabulary == ()
    np.testing.assert_allclose(dataset.train.texts.toarray(), matrices["T_tr"], rtol=1e-6)
    np.testing.assert_allclose(dataset.query.texts.toarray(), matrices["T_te"], rtol=1e-6)
    assert dataset.train.labels.argmax(axis=1).tolist() == [i % 10 for i in range(40)]
    assert dataset.database_is_train().all()


def test_wikipedia_files_that_do_not_fit(tmp_path):
    matrices = miniatures.write_wikipedia(tmp_path)
    (tmp_path / "images" / "biology" / "train-image-11.jpg").unlink()
    with pytest.raises(
        InputError, match=r"trainset_txt_img_cat\.list:12: found no image of the text train-text-11 \(1 of"
    ):
        load("wikipedia", data_dir=tmp_path)
    dataset = load("wikipedia", data_dir=tmp_path, skip_unpaired=True)
    assert "train-text-11" not in dataset.train.ids and len(dataset.train) == 39
    assert dataset.notes["texts"] == {"train_without_image": 1, "query_without_image": 0}
    kept = np.delete(np.arange(40), 11)
    np.testing.assert_allclose(dataset.train.texts.toarray(), matrices["T_tr"][kept], rtol=1e-6)
    assert len(load("wikipedia", data_dir=tmp_path, skip_unpaired=True, labels_only=True).train) == 39
    lines = tmp_path / "testset_txt_img_cat.list"
    whole = lines.read_text()
    for text, message in (
        (whole + "x\ty\t1\n", r"raw_features\.mat: T_te: found 10 rows, expected 11, one per line of testset"),
        (
            whole.replace("\t3\n", "\t11\n"),
            r"list:3: found 'test-text-2.*11', expected <text id> <image id> <category 1 to 10>",
        ),
        (
            whole.replace("test-text-3\t", "test-text-2\t"),
            r"list:4: found the text test-text-2 a second time \(first in line 3\)",
        ),
    ):
        lines.write_text(text)
        with pytest.raises(InputError, match=message):
            read_wikipedia(tmp_path)
    lines.write_text(whole)
    scipy.io.savemat(tmp_path / "raw_features.mat", {**matrices, "T_te": matrices["T_te"][:, :4]})
    with pytest.raises(InputError, match=r"found \{'T_tr': 10, 'T_te': 4\} columns"):
        read_wikipedia(tmp_path)


@pytest.fixture
def flickr():
    """Arrays as MATLAB shows them: images [H, W, 3, N], tags [N, t], labels [N, 24]."""
    rng = np.random.default_rng(5)
    return {
        "images": rng.integers(0, 256, (5, 4, 3, 120), np.uint8),
        "YAll": (rng.random((120, 30)) < 0.2).astype(float),
        "LAll": np.eye(24)[np.arange(120) % 24],
    }


def test_flickr25k_mat(tmp_path, flickr):
    miniatures.write_hdf5_mat(tmp_path / "FLICKR-25K.mat", flickr)
    with h5py.File(tmp_path / "FLICKR-25K.mat") as stored:
        assert stored["images"].shape == (120, 3, 4, 5) and stored["YAll"].shape == (30, 120)  # as DCMH reads them
    dataset = load("mirflickr25k", DataOptions(data_dir=tmp_path, queries=1, train_rows=2))
    for split in (dataset.query, dataset.train, dataset.database):
        rows = [int(name.split("/")[1]) for name in split.ids]
        np.testing.assert_array_equal(split.texts.toarray(), flickr["YAll"][rows])
        np.testing.assert_array_equal(split.labels, flickr["LAll"][rows])
        np.testing.assert_array_equal(split.images.read(1), flickr["images"][..., rows[1]])
        assert split.images.fingerprint() != split.take(np.arange(2)).images.fingerprint()


def test_flickr25k_mat_that_does_not_fit(tmp_path, flickr):
    file = tmp_path / "FLICKR-25K.mat"
    for changes, message in (
        ({"YAll": flickr["YAll"][:7]}, "YAll: found 7 rows, expected 120, one per image"),
        ({"LAll": 2 * flickr["LAll"]}, r"LAll: found the value 2\.0, expected 0 or 1"),
        ({"images": flickr["images"].astype(float)}, "images: found float64, expected uint8"),
        ({"images": flickr["images"][:, :, 0]}, r"images: found uint8 \[120, 4, 5\], expected numbers \[n, 3, n, n\]"),
    ):
        miniatures.write_hdf5_mat(file, {**flickr, **changes})
        with pytest.raises(InputError, match=message):
            read_flickr25k_mat(file)
    scipy.io.savemat(file, {"LAll": flickr["LAll"]})
    with pytest.raises(InputError, match=r"FLICKR-25K\.mat: found a MATLAB 5 file, expected HDF5"):
        read_flickr25k_mat(file)
