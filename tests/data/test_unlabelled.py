"""Lines of image lists without a label: refused, kept as distractors, or left out."""

import numpy as np
import pytest

from dseh_tf.data import catalog
from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.check_split import check_split
from dseh_tf.data.readers.image_lists import UNLABELLED, read_image_list
from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.encoding import features
from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate
from tests.data import miniatures
from tests.retrieval import naive

LISTS = {
    "train.txt": ["a.png 0 1 0", "b.png 0 0 0", "c.png 1 1 0"],
    "test.txt": ["d.png 0 0 1", "e.png 0 0 0", "f.png 0 1 0", "g.png 0 0 0"],
    "database.txt": ["b.png 0 0 0", "a.png 0 1 0", "h.png 0 0 0", "i.png 0 0 1", "c.png 1 1 0", "j.png 0 0 0"],
}


def _write(folder, without=()):
    for name, lines in LISTS.items():
        if name not in without:
            (folder / name).write_text("\n".join(lines) + "\n")
    for name in "abcdefghij":
        miniatures.write_image(folder / f"{name}.png", f"{name}.png")
    return folder


def _ids(dataset):
    return ["".join(name[0] for name in getattr(dataset, part).ids.tolist()) for part in ("train", "query", "database")]


def test_refused_with_the_option(tmp_path):
    _write(tmp_path)
    with pytest.raises(InputError) as told:
        load_image_lists(tmp_path)
    assert str(told.value) == (
        f"{tmp_path}/train.txt:2: found b.png without a label (1 such lines in the list), expected at least one 1 per line; "
        "--unlabelled=distractors keeps such lines in the database, --unlabelled=leave_out leaves them out"
    )
    with pytest.raises(InputError, match="unlabelled: found 'keep', expected one of refuse, distractors, leave_out"):
        load_image_lists(tmp_path, unlabelled="keep")
    with pytest.raises(InputError, match="unlabelled: found 'keep', expected one of refuse, distractors, leave_out"):
        DataOptions(unlabelled="keep")


def test_distractors(tmp_path, caplog):
    dataset = catalog.load("image_lists", DataOptions(lists_dir=_write(tmp_path), unlabelled="distractors"))
    assert _ids(dataset) == ["ac", "defg", "bahicj"]
    assert dataset.database.labels.any(axis=1).tolist() == [False, True, False, True, True, False]
    assert dataset.notes["unlabelled"] == {"lines": "distractors", "train": 1, "query": 2, "database": 3}
    assert dataset.database_is_train().tolist() == [False, True, False, False, True, False]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}: lines without a label: 1 of train.txt do not train, 2 of test.txt are queries that count 0 in MAP, "
        "3 of database.txt are distractors in the database"
    )
    assert check_split(dataset).without_label == {"train": 0, "query": 2, "database": 3}
    for row, name in enumerate(dataset.database.ids.tolist()):
        assert tuple(dataset.database.images.read(row)[0, 0]) == miniatures.colour_of(name)


def test_left_out(tmp_path, caplog):
    dataset = catalog.load("image_lists", DataOptions(lists_dir=_write(tmp_path), unlabelled="leave_out"))
    assert _ids(dataset) == ["ac", "df", "aic"]
    assert dataset.notes["unlabelled"] == {"lines": "leave_out", "train": 1, "query": 2, "database": 3}
    assert caplog.records[0].getMessage() == (
        f"{tmp_path}: lines without a label are left out: 1 of train.txt, 2 of test.txt, 3 of database.txt"
    )


@pytest.mark.parametrize(
    ("unlabelled", "ids"), [("distractors", ["ac", "defg", "abc"]), ("leave_out", ["ac", "df", "ac"])]
)
def test_where_the_training_list_is_the_database(tmp_path, unlabelled, ids):
    dataset = load_image_lists(_write(tmp_path, ["database.txt"]), unlabelled=unlabelled)
    assert _ids(dataset) == ids
    assert dataset.notes["unlabelled"]["database"] == 1 and dataset.notes["database"] == "train.txt"


@pytest.mark.parametrize("unlabelled", UNLABELLED)
def test_lists_with_labels_are_not_changed(tmp_path, unlabelled, caplog):
    miniatures.write_image_lists(tmp_path)
    dataset = load_image_lists(tmp_path, unlabelled=unlabelled)
    assert "unlabelled" not in dataset.notes and not caplog.records
    assert [len(dataset.train), len(dataset.query), len(dataset.database)] == [40, 10, 80]


@pytest.mark.parametrize(
    ("unlabelled", "name"), [("distractors", "train"), ("leave_out", "train"), ("leave_out", "test")]
)
def test_a_list_without_any_label(tmp_path, unlabelled, name):
    _write(tmp_path)
    (tmp_path / f"{name}.txt").write_text("x.png 0 0 0\n")
    with pytest.raises(InputError, match=f"{name}.txt: found no line with a label, expected at least one"):
        load_image_lists(tmp_path, labels_only=True, unlabelled=unlabelled)


def test_one_number_a_line_may_be_a_class_id(tmp_path):
    """A column of class ids 0 and 1 reads as one class and as rows without a label; neither is meant."""
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    for unlabelled in UNLABELLED:
        with pytest.raises(
            InputError, match=r"list.txt:1: found one number per line, which may be a class id, expected a 0 or 1"
        ):
            read_image_list(tmp_path / "list.txt", unlabelled)
    (tmp_path / "list.txt").write_text("a.png cat\nb.png dog\n")
    with pytest.raises(InputError, match=r"list.txt:1: found no labels in 'a.png cat', expected `path 0 1 0"):
        read_image_list(tmp_path / "list.txt")


def test_queries_without_a_label_count_0_and_are_reported(tmp_path, rng):
    dataset = load_image_lists(_write(tmp_path), unlabelled="distractors")
    codes = {
        part: rng.choice(np.array([-1, 1], np.int8), (len(getattr(dataset, part)), 3)) for part in ("query", "database")
    }
    report = evaluate(codes["query"], codes["database"], dataset.query.labels, dataset.database.labels)
    assert report.queries_without_relevant == 2 and report.database_size == 6
    expected = []
    hits = naive.relevance(dataset.query.labels, dataset.database.labels)
    for row, far in enumerate(naive.distances(codes["query"], codes["database"])):
        expected.append(np.mean([naive.average_precision(hits[row][order]) for order in naive.orders(far)]))
    assert expected[1] == expected[3] == 0
    np.testing.assert_allclose(report.average_precision, expected, atol=1e-12)
    assert report.map == pytest.approx(np.mean(expected), abs=1e-12)


def test_features_extracted_with_distractors_serve_both_ways(tmp_path):
    dataset = load_image_lists(_write(tmp_path), unlabelled="distractors")
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "features.json").write_text('{"backbone": "x", "image_size": 8, "dim": 1, "mirrored": false}')
    for part in ("train", "query", "database"):
        ids = getattr(dataset, part).ids
        np.save(folder / f"{part}_ids.npy", ids)
        np.save(folder / f"{part}.npy", np.array([[ord(name[0])] for name in ids.tolist()], np.float32))
    for unlabelled in ("distractors", "leave_out"):
        found = features.read_features(load_image_lists(tmp_path, labels_only=True, unlabelled=unlabelled), folder)
        for part in ("train", "query", "database"):
            split = getattr(found, part)
            assert split.features[:, 0].tolist() == [ord(name[0]) for name in split.ids.tolist()]
