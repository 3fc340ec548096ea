import subprocess
import sys

import numpy as np
import pytest

from dseh_tf.data import ArrayImages, FileImages, RetrievalDataset, Split
from dseh_tf.data.labels import multi_hot
from dseh_tf.errors import InputError


def _split(n, classes=3, prefix="a", **more):
    labels = np.zeros((n, classes), np.uint8)
    labels[np.arange(n), np.arange(n) % classes] = 1
    return Split(np.array([f"{prefix}{i}" for i in range(n)]), labels, **more)


def test_importing_loads_no_tensorflow():
    code = (
        "import sys, dseh_tf.data.catalog, dseh_tf.data.draw, dseh_tf.data.pixels; print('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_take_keeps_every_array_in_step():
    rng = np.random.default_rng(0)
    split = _split(
        7,
        images=ArrayImages(rng.integers(0, 256, (7, 4, 4, 3), np.uint8)),
        features=rng.normal(size=(7, 5)).astype(np.float32),
        flipped_features=rng.normal(size=(7, 5)).astype(np.float32),
        texts=rng.normal(size=(7, 2)).astype(np.float32),
    )
    part = split.take(np.array([5, 0, 3]))
    for k, row in enumerate((5, 0, 3)):
        assert part.ids[k] == split.ids[row]
        np.testing.assert_array_equal(part.images.read(k), split.images.read(row))
        for name in ("labels", "features", "flipped_features"):
            np.testing.assert_array_equal(getattr(part, name)[k], getattr(split, name)[row])
        np.testing.assert_array_equal(part.texts.toarray()[k], split.texts.toarray()[row])
    rows = split.part(slice(2, 5))
    assert rows.ids.tolist() == ["a2", "a3", "a4"] and len(split.part(slice(5, 100))) == 2
    for name in ("labels", "features", "flipped_features"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(split, name)[2:5])
        assert np.shares_memory(getattr(rows, name), getattr(split, name))
    assert np.shares_memory(rows.images.array, split.images.array)
    np.testing.assert_array_equal(rows.images.array, split.images.array[2:5])
    np.testing.assert_array_equal(rows.texts.toarray(), split.texts.toarray()[2:5])
    mask = np.array([False, True, False, False, True, False, False])
    assert split.take(mask).ids.tolist() == ["a1", "a4"]


def test_file_images_take_keeps_origins(tmp_path):
    files = FileImages((tmp_path / "a", tmp_path / "b"), ("l:1", "l:2"))
    assert files.take(np.array([1])) == FileImages((tmp_path / "b",), ("l:2",))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Split(np.array(["a"]), np.zeros((1, 2))),
        lambda: Split(np.array(["a"]), np.zeros(1, np.uint8)),
        lambda: _split(3, features=np.zeros((2, 4), np.float32)),
        lambda: ArrayImages(np.zeros((2, 4, 4, 3))),
        lambda: ArrayImages(np.zeros((2, 4, 4), np.uint8)),
        lambda: RetrievalDataset("x", _split(2), _split(2, 4), _split(2)),
        lambda: multi_hot(np.array([[0, 2]])),
        lambda: multi_hot(np.array([0.5, 1])),
        lambda: multi_hot(np.array([-1, 1])),
    ],
)
def test_wrong_shapes_and_values(make):
    with pytest.raises(InputError, match=r"found .*expected"):
        make()


def test_multi_hot():
    np.testing.assert_array_equal(multi_hot(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    assert multi_hot(np.array([2, 0]), 5).shape == (2, 5)
    assert multi_hot(np.array([[True, False]])).dtype == np.uint8


def test_from_arrays_counts_classes_over_all_splits():
    x = np.zeros((4, 2), np.float32)
    dataset = RetrievalDataset.from_arrays((x, [0, 1, 1, 0]), (x, [0, 0, 0, 0]), (x + 1, [0, 4, 1, 2]))
    assert dataset.classes == dataset.query.classes == dataset.database.classes == 5
    assert not dataset.database_is_train().any()


def test_from_arrays_recognises_training_rows_in_front_of_the_database():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (6, 4, 4, 3), np.uint8), rng.integers(0, 2, (6, 3))
    dataset = RetrievalDataset.from_arrays((x[:2], y[:2]), (x[4:], y[4:]), (x[:4], y[:4]))
    assert dataset.database_is_train().tolist() == [True, True, False, False]
    assert not set(dataset.query.ids) & set(dataset.database.ids)
    same = RetrievalDataset.from_arrays((x[:2], y[:2]), (x[4:], y[4:]))
    assert same.database is same.train


def test_from_arrays_refuses_other_kinds():
    with pytest.raises(InputError, match=r"train: found int64 \[3, 2\]"):
        RetrievalDataset.from_arrays((np.zeros((3, 2), np.int64), [0, 1, 2]), (None, [0]))
    labels_only = RetrievalDataset.from_arrays((None, [0, 1, 2]), (None, [0]))
    assert not labels_only.has_images and not labels_only.has_features


def test_validation_takes_its_queries_out_of_train_and_database():
    train = _split(10)
    dataset = RetrievalDataset("x", train, _split(3, prefix="q"), _split(20))
    held = dataset.validation(0.3, seed=1)
    assert len(held.query) == 3 and len(held.train) == 7 and len(held.database) == 17
    assert set(held.query.ids) | set(held.train.ids) == set(train.ids)
    assert not set(held.query.ids) & (set(held.train.ids) | set(held.database.ids))
    assert held.query.ids.tolist() == dataset.validation(0.3, seed=1).query.ids.tolist()
    assert any(held.query.ids.tolist() != dataset.validation(0.3, seed=s).query.ids.tolist() for s in (2, 3, 4))
    with pytest.raises(InputError, match="validation: found 1"):
        dataset.validation(1.0)


X = np.arange(8, dtype=np.float32).reshape(4, 2)


def test_class_names_become_ids_in_the_order_of_the_names(caplog):
    dataset = RetrievalDataset.from_arrays(
        (X, ["dog", "cat", "cat", "emu"]), (X, np.array(["ant"] * 4, object)), (X, np.array([["emu"]] * 4))
    )
    assert dataset.class_names == ("ant", "cat", "dog", "emu")
    assert "ant, cat, dog, emu" in caplog.text  # at the level that Python shows by itself
    np.testing.assert_array_equal(dataset.train.labels, np.eye(4)[[2, 1, 1, 3]])
    np.testing.assert_array_equal(dataset.query.labels, np.eye(4)[[0] * 4])
    np.testing.assert_array_equal(dataset.database.labels, np.eye(4)[[3] * 4])
    given = RetrievalDataset.from_arrays((X, ["b", "a", "a", "b"]), (X, ["b"] * 4), class_names=["b", "c", "a"])
    assert given.class_names == ("b", "c", "a")
    np.testing.assert_array_equal(given.train.labels, np.eye(3)[[0, 2, 2, 0]])


def test_class_names_and_ids_agree_on_the_number_of_classes():
    dataset = RetrievalDataset.from_arrays((X, [0, 1, 1, 0]), (X, [0] * 4), class_names=["a", "b", "c"])
    assert dataset.classes == 3
    with pytest.raises(InputError, match="class_names: found 1 names, expected 2, one per class"):
        RetrievalDataset.from_arrays((X, [0, 1, 1, 0]), (X, [0] * 4), class_names=["a"])


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_ids_as_a_column_are_ids(dtype):
    """As keras.datasets returns them; two classes are where a matrix of one class was made of it."""
    for ids in ([0, 1, 1, 0], [3, 0, 1, 9], [0, 0, 0, 0]):
        column = np.array(ids, dtype)[:, None]
        dataset = RetrievalDataset.from_arrays((X, column), (X, column[::-1]), (X, ids))
        np.testing.assert_array_equal(dataset.train.labels, np.eye(max(ids) + 1)[ids])
        np.testing.assert_array_equal(dataset.query.labels, np.eye(max(ids) + 1)[ids[::-1]])
        assert dataset.database_is_train().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": (X, ["a", "b", "c", 4])}, "train labels: found 4 among strings"),
        ({"train": (X, np.array(["a", None, "c", "d"], object))}, "train labels: found None among strings"),
        (
            {"train": (X, [["a", "b"]] * 4), "query": (X, ["a"] * 4)},
            r"train labels: found <U1 \[4, 2\], expected one class name",
        ),
        ({"train": (X, np.array([b"a"] * 4))}, r"train labels: found \|S1 \[4\], expected multi-hot"),
        ({"train": (X, ["a"] * 4)}, "query labels: found int64 .4., expected class names as in the other splits"),
        ({"class_names": ["a", "a"]}, "class_names: found .*expected each name once"),
        ({"class_names": "ab"}, "class_names: found 'ab', expected a list of strings"),
        ({"class_names": [0, 1]}, "class_names: found .0, 1., expected a list of strings"),
        ({"train": (X, [0, 1, -1, 0])}, "train labels: found the class id -1"),
        ({"train": (X, [0, 1.0, 1, 0])}, r"train labels: found float64 \[4\]"),
        ({"train": (X, np.array([0, 1.0, 1, 0])[:, None])}, r"train labels: found float64 \[4, 1\]"),
        ({"train": (X, np.ma.array([0, 1, 1, 0], mask=[0, 0, 0, 1]))}, "train labels: found masked values"),
        ({"train": (np.ma.array(X, mask=X > 3), [0, 1, 1, 0])}, "train: found masked values"),
        ({"train": (X, [0, 1, 1])}, "train labels: found 3 rows, expected 4, one per row of x"),
        ({"train": (X, [0, 1, 10**12, 0])}, "labels: found the class id 1000000000000, expected ids 0 to classes - 1"),
        ({"train": (X.astype(float) * 1e300, [0, 1, 1, 0])}, r"train features: found 1e\+300, expected numbers within"),
        ({"train": (X.astype(object), [0, 1, 1, 0])}, "train: found object"),
        ({"train": ([[1.0], [1.0, 2.0]], [0, 1])}, "train: found lists that do not form an array"),
        ({"train": X}, r"train: found ndarray, expected a pair \(x, y\)"),
        ({"query": (X, None)}, r"query labels: found object \[\], expected multi-hot"),
        ({"database": (X,)}, r"database: found tuple, expected a pair"),
    ],
)
def test_arrays_that_make_no_data_set(change, words):
    given = {"train": (X.astype(float), [0, 1, 1, 0]), "query": (X, [0, 1, 1, 0]), **change}
    with pytest.raises(InputError, match=words) as caught:
        RetrievalDataset.from_arrays(**given)
    assert "\n" not in str(caught.value)


def test_a_split_holds_labels_of_0_and_1():
    ids = np.array(["a", "b"])
    with pytest.raises(InputError, match="labels: found the value 7, expected 0 or 1"):
        Split(ids, np.array([[7], [1]], np.uint8))
    with pytest.raises(InputError, match="labels: found masked values"):
        Split(ids, np.ma.array(np.eye(2, dtype=np.uint8), mask=np.eye(2)))
    with pytest.raises(InputError, match="features: found object"):
        Split(ids, np.eye(2, dtype=np.uint8), features=np.array([["a"], [1]], object))
    column = Split(ids, np.array([[0], [1]], np.uint8))
    with pytest.raises(InputError, match="labels: found one class and rows without it, expected at least two columns"):
        RetrievalDataset("x", column, column, column)
    ones = Split(ids, np.ones((2, 1), np.uint8))
    assert RetrievalDataset("x", ones, ones, ones).classes == 1


def test_validation_takes_numbers_only():
    dataset = RetrievalDataset("x", _split(10), _split(3, prefix="q"), _split(20))
    for fraction in ("0.2", True, float("nan"), [0.2], None, np.array([0.2])):
        with pytest.raises(InputError, match="validation: found"):
            dataset.validation(fraction)
    for seed in (-1, 1.5, "0"):
        with pytest.raises(InputError, match="seed: found"):
            dataset.validation(0.2, seed)
    assert len(dataset.validation(np.float32(0.2)).query) == 2
