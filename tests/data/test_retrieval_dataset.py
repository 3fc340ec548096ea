import subprocess
import sys

import numpy as np
import pytest

from dseh_tf.data import ArrayImages, FileImages, RetrievalDataset, Split
from dseh_tf.data.retrieval_dataset import multi_hot
from dseh_tf.errors import InputError


def _split(n, classes=3, prefix="a", **more):
    labels = np.zeros((n, classes), np.uint8)
    labels[np.arange(n), np.arange(n) % classes] = 1
    return Split(np.array([f"{prefix}{i}" for i in range(n)]), labels, **more)


def test_importing_loads_no_tensorflow():
    code = "import sys, dseh_tf.data.catalog, dseh_tf.data.protocols, dseh_tf.data.pixels; print('tensorflow' in sys.modules)"
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
        for name in ("labels", "features", "flipped_features", "texts"):
            np.testing.assert_array_equal(getattr(part, name)[k], getattr(split, name)[row])
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
