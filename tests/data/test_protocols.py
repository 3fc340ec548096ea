from dataclasses import replace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.data.check_split import check_split, relevant_share
from dseh_tf.data.draw import SPLITS, draw
from dseh_tf.data.protocol import Protocol, every_class, in_all
from dseh_tf.data.sets import cifar10, imagenet_100, mirflickr25k, ms_coco, nus_wide
from dseh_tf.errors import InputError


def _labels(n=400, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, classes)) < np.linspace(0.15, 0.5, classes)).astype(np.uint8)
    labels[np.arange(n), rng.integers(0, classes, n)] = 1
    return labels


def _dataset(labels, rows, **changes):
    ids = np.array([f"i{i}" for i in range(len(labels))])
    parts = {
        part: Split(ids[getattr(rows, part)], labels[getattr(rows, part)]) for part in ("train", "query", "database")
    }
    return RetrievalDataset("x", **{**parts, **changes})


PER_CLASS = Protocol("x", every_class(4), every_class(9), images=400, classes=5)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("protocol", [PER_CLASS, Protocol("x", in_all(30), in_all(70)), replace(PER_CLASS, train=None)])
def test_draw_keeps_the_protocol(split, protocol):
    labels = _labels()
    rows = draw(labels, protocol, seed=3, split=split)
    query, train, database = set(rows.query), set(rows.train), set(rows.database)
    assert not query & database and query | database == set(range(400)) and train <= database
    assert len(rows.query) == protocol.queries.total(5)
    assert len(rows.train) == (400 - len(rows.query) if protocol.train is None else protocol.train.total(5))
    again = draw(labels, protocol, seed=3, split=split)
    assert all(np.array_equal(getattr(rows, part), getattr(again, part)) for part in ("query", "train", "database"))
    assert not np.array_equal(rows.query, draw(labels, protocol, seed=4, split=split).query)
    check_split(_dataset(labels, rows), protocol)


def test_procedures_differ_and_are_what_they_say():
    labels = _labels()
    by_class = draw(labels, PER_CLASS, 0, "sequential-class")
    by_image = draw(labels, PER_CLASS, 0, "greedy-image")
    assert not np.array_equal(by_class.query, by_image.query)
    # A class of which hardly enough images exist: taken first, it gets them; taken last, others have used them up.
    scarce = np.ones((12, 2), np.uint8)
    scarce[:6, 1] = 0
    protocol = Protocol("x", every_class(1), every_class(5))
    first = draw(scarce[:, ::-1].copy(), protocol, 0)
    assert scarce[first.train].sum(axis=0).tolist() == [10, 5]
    with pytest.raises(InputError, match=r"x: found .* of 12 images"):
        for seed in range(20):
            draw(scarce, protocol, seed)


def test_greedy_by_hand():
    """Every image has both classes, so training of class 0 fills first, then of class 1, then the queries."""
    rows = draw(np.ones((10, 2), np.uint8), Protocol("x", every_class(1), every_class(2)), 5, "greedy-image")
    order = np.random.Generator(np.random.Philox(key=[5, 0xD12A3])).permutation(10)
    assert rows.train.tolist() == sorted(order[:4]) and rows.query.tolist() == sorted(order[4:6])


@pytest.mark.parametrize("split", SPLITS)
def test_a_class_with_too_few_images_is_named(split):
    labels = _labels()
    labels[:, 2] = 0
    labels[:5, 2] = 1
    with pytest.raises(InputError, match=r"x, class fox: found 5 images, expected 4 query \+ 9 train"):
        draw(labels, PER_CLASS, 0, split, class_names=("a", "b", "fox", "d", "e"))


def test_pool_of_another_size():
    with pytest.raises(InputError, match="x: found 399 images, expected 400"):
        draw(_labels()[1:], PER_CLASS, 0)
    with pytest.raises(InputError, match="x: found 4 classes, expected 5"):
        draw(_labels()[:, 1:], PER_CLASS, 0)
    with pytest.raises(InputError, match="split: found 'random'"):
        draw(_labels(), PER_CLASS, 0, "random")
    assert len(draw(_labels()[1:], PER_CLASS.with_numbers(2, 3), 0).train) == 15


def test_quota_filled_up():
    labels = _labels()
    labels[:, 0] = 0
    labels[:3, 0] = 1
    rows = draw(labels, Protocol("x", every_class(1), every_class(10, first_class=20, fill_to=60)), 0)
    assert len(rows.query) == 5 and len(rows.train) == 60


def test_query_pool():
    labels, pool = _labels(), np.arange(400) >= 300
    rows = draw(labels, replace(PER_CLASS, images=None), 0, query_pool=pool)
    assert (rows.query >= 300).all() and rows.database.tolist() == list(range(300)) and (rows.train < 300).all()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("protocol", [PER_CLASS, Protocol("x", in_all(30), in_all(70))])
def test_images_that_may_not_ask(split, protocol):
    labels, copies = _labels(), np.arange(400) % 2 == 0
    rows = draw(labels, protocol, 3, split, no_query=copies)
    assert not copies[rows.query].any() and copies[rows.train].any()
    np.testing.assert_array_equal(np.sort([*rows.query, *rows.database]), np.arange(400))
    check_split(_dataset(labels, rows), protocol)
    pool = np.arange(400) < 200
    rows = draw(labels, replace(protocol, images=None), 3, split, query_pool=pool, no_query=copies)
    assert pool[rows.query].all() and not copies[rows.query].any()
    np.testing.assert_array_equal(rows.database, np.arange(200, 400))


def test_hashnet_lists_have_the_queries_inside():
    protocol = Protocol("x", in_all(30), in_all(50), images=400, queries_in_database=True)
    dataset = _dataset(_labels(), rows := draw(_labels(), protocol, 0))
    assert set(rows.query) <= set(rows.database) and not set(rows.train) & set(rows.database)
    assert check_split(dataset, protocol).overlaps["query", "database"] == 30
    with pytest.raises(InputError, match=r"found query i\d+ in database too \(30 such\)"):
        check_split(dataset)


def test_published_protocols():
    sizes = {
        p.name: p.queries.total(p.classes) for p in (nus_wide.PROTOCOL_21, imagenet_100.PROTOCOL, ms_coco.PROTOCOL)
    }
    assert sizes == {"nus_wide_21": 2_100, "imagenet_100": 5_000, "ms_coco": 5_000}
    assert nus_wide.PROTOCOL_21.train.total(21) == 10_500 and imagenet_100.PROTOCOL.train.total(100) == 10_000
    assert cifar10.PROTOCOL.queries.total(10) == 1_000 and cifar10.PROTOCOL.train.total(10) == 5_000
    assert nus_wide.PROTOCOL_10.queries.total(10) == 2_000 and nus_wide.PROTOCOL_10.train.total(10) == 5_000
    assert mirflickr25k.PROTOCOL.queries.total(24) == 2_000 and mirflickr25k.PROTOCOL.train.total(24) == 5_000
    assert str(nus_wide.PROTOCOL_21) == (
        "nus_wide_21: 195,834 images of 21 classes; queries 100 a class; training 500 a class; "
        "database every image but the queries"
    )


def test_report_counts_against_loops():
    labels = _labels(60)
    rows = draw(labels, Protocol("x", in_all(10), in_all(20)), 0)
    dataset = _dataset(labels, rows)
    report = check_split(dataset)
    pairs = [bool((q & d).any()) for q in dataset.query.labels for d in dataset.database.labels]
    assert report.relevant_share == pytest.approx(np.mean(pairs))
    assert report.sizes == {"train": 20, "query": 10, "database": 50}
    assert report.overlaps == {("train", "query"): 0, ("query", "database"): 0, ("train", "database"): 20}
    assert report.class_counts["query"].tolist() == dataset.query.labels.sum(axis=0).tolist()
    assert report.distinct_labels["train"] == len({tuple(row) for row in dataset.train.labels})
    assert report.labels_per_image["database"] == pytest.approx(dataset.database.labels.sum() / 50)
    assert "relevant query-database pairs" in str(report)
    other = check_split(_dataset(labels, draw(labels, Protocol("x", in_all(10), in_all(20)), 1)))
    assert report.digest == check_split(dataset).digest != other.digest


def test_relevant_share_with_many_classes():
    rng = np.random.default_rng(0)
    query, database = (rng.random((20, 81)) < 0.03).astype(np.uint8), (rng.random((200, 81)) < 0.03).astype(np.uint8)
    assert relevant_share(query, database) == pytest.approx(((query @ database.T.astype(int)) > 0).mean())


def test_broken_splits():
    labels = _labels()
    rows = draw(labels, PER_CLASS, 0)
    good = _dataset(labels, rows)

    def broken(message, protocol=PER_CLASS, **changes):
        with pytest.raises(InputError, match=message):
            check_split(good.replace(**changes), protocol)

    with_query = np.concatenate([rows.database, rows.query[:2]])
    broken(r"found query i\d+ in database too \(2 such\)", database=_take(labels, with_query))
    broken(r"found query i\d+ in train too", train=_take(labels, np.concatenate([rows.train[1:], rows.query[:1]])))
    broken(r"query: found i\d+ twice \(1 such\)", query=_take(labels, np.append(rows.query, rows.query[0])))
    broken("train: found 44 images, expected 45", train=good.train.take(np.arange(44)))
    broken(
        "database: found 379 images, expected 380",
        database=_without(good.database, np.setdiff1d(rows.database, rows.train)[0]),
    )
    broken("found 44 of 45 training images in the database", database=_without(good.database, rows.train[0]))
    poor = np.zeros_like(good.query.labels)
    poor[:, 1:] = 1
    broken("query, class 0: found 0 images, expected at least 4", query=Split(good.query.ids, poor))


def _take(labels, rows):
    return Split(np.array([f"i{i}" for i in rows]), labels[rows])


def _without(split, row):
    return split.take(split.ids != f"i{row}")
