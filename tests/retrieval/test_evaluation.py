import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import (
    cosine_average_precision,
    counting,
    evaluate,
    evaluate_shards,
    evaluate_unseen,
    evaluation,
    pack,
)
from dseh_tf.retrieval.counting import Shard
from dseh_tf.retrieval.shared_labels import Labels
from tests.retrieval import naive


def test_worked_example():
    report = evaluate([[1, 1]], [[1, 1], [1, -1], [-1, 1]], [3], [3, 5, 3])
    assert report.map == pytest.approx(11 / 12)
    assert report.precision_at(2) == pytest.approx(3 / 4)
    assert report.map_stable_order == pytest.approx(5 / 6)
    recall, precision = report.precision_recall()
    assert recall == pytest.approx([1 / 2, 1, 1]) and precision == pytest.approx([1, 2 / 3, 2 / 3])
    assert report.base_rate == pytest.approx(2 / 3) and report.database_size == 3


def test_random_codes_score_the_base_rate():
    case = naive.random_case(np.random.default_rng(0), 300, 3000, 32, 10, density=0.15)
    report = evaluate(*case)
    expected = (case[2].astype(int) @ case[3].T.astype(int) > 0).mean()
    assert report.base_rate == pytest.approx(expected)
    assert report.map == pytest.approx(expected, abs=0.01)
    assert report.precision_at(500) == pytest.approx(expected, abs=0.01)


def test_codes_that_are_the_labels_score_one():
    labels = np.random.default_rng(0).integers(0, 8, 500)
    codes = np.array([[1 if c >> b & 1 else -1 for b in range(3)] for c in labels], np.int8)
    assert evaluate(codes[:50], codes, labels[:50], labels).map == pytest.approx(1)


@pytest.mark.parametrize("bits", [12, 64, 65])
def test_packed_codes_and_other_types_give_the_same(bits):
    query, database, *labels = naive.random_case(np.random.default_rng(3), 9, 99, bits, 5)
    expected = evaluate(query, database, *labels)
    for report in (
        evaluate(pack(query), pack(database), *labels, bits=bits),
        evaluate(query.astype(np.float32), np.asfortranarray(database), *(x.astype(float) for x in labels)),
        evaluate(query[::-1][::-1], database, *(x.astype(bool) for x in labels), bits=bits),
    ):
        np.testing.assert_array_equal(report.counts.relevant, expected.counts.relevant)
        np.testing.assert_array_equal(report.counts.total, expected.counts.total)


def test_read_only_arrays():
    case = naive.random_case(np.random.default_rng(3), 9, 99, 64, 5)
    case = (pack(case[0]), pack(case[1]), *case[2:])
    expected = evaluate(*case, bits=64).map
    for array in case:
        array.flags.writeable = False
    assert evaluate(*case, bits=64).map == expected


def test_class_ids_equal_multi_hot():
    rng = np.random.default_rng(4)
    query, database, _, _ = naive.random_case(rng, 20, 200, 16, 1)
    query_ids, database_ids = rng.integers(0, 7, 20), rng.integers(3, 100, 200)
    by_id = evaluate(query, database, query_ids, database_ids)
    by_column = evaluate(query, database, np.eye(100)[query_ids], np.eye(100)[database_ids])
    np.testing.assert_array_equal(by_id.counts.relevant, by_column.counts.relevant)
    assert by_id.queries_without_relevant == by_column.queries_without_relevant > 0


IDS = [0, 1, 2, 255, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1]


@settings(deadline=None, max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "40")))
@given(
    largest=st.integers(1, len(IDS)),
    query_type=st.sampled_from(["uint8", "int32", "uint32", "int64", "uint64", ">i8"]),
    database_type=st.sampled_from(["uint8", "int32", "uint32", "int64", "uint64", ">i8"]),
    bits=st.sampled_from([1, 9, 64, 70]),
    n=st.one_of(st.integers(1, 5), st.integers(60, 70), st.integers(2040, 2120)),
    cut=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
@example(10, "int64", "uint64", 9, 70, 0.5, 0)  # 2^53 and 2^53 + 1, which numpy compares as floats
@example(7, "int64", "int64", 9, 70, 0.5, 0)  # the largest uint32 among the queries, the next number in the database
def test_class_ids_of_any_size_and_type_share_as_numbers_do(largest, query_type, database_type, bits, n, cut, seed):
    """Counts in one part, in two, and of a part alone, against a comparison of Python's whole numbers."""
    rng = np.random.default_rng(seed)
    query, database, _, _ = naive.random_case(rng, 6, n, bits, 1)
    ids = [
        np.array([x for x in IDS[:size] if x <= np.iinfo(kind).max], kind)
        for size, kind in ((largest, query_type), (largest + 1, database_type))
    ]
    query_ids, database_ids = np.resize(ids[0][::-1], 6), rng.choice(ids[1], n)  # the largest ids are asked for
    far = (bits - query.astype(int) @ database.T.astype(int)) // 2
    alike = np.array([[q == d for d in database_ids.tolist()] for q in query_ids.tolist()])

    def counted(columns):
        return [
            [np.bincount(d[w], minlength=bits + 1) for d, w in zip(far[:, columns], which[:, columns], strict=True)]
            for which in (alike, np.ones_like(alike))
        ]

    everything, begin = slice(None), int(cut * (n - 1))
    parts = [(database[s], database_ids[s]) for s in (slice(begin), slice(begin, None))]
    trained = np.arange(n) < begin
    whole, unseen = evaluate_unseen(query, database, query_ids, database_ids, trained)
    for report, columns in [
        (evaluate(query, database, query_ids, database_ids), everything),
        (evaluate_shards(query, query_ids, parts), everything),
        (whole, everything),
        (unseen, slice(begin, None)),
    ]:
        relevant, total = counted(columns)
        np.testing.assert_array_equal(report.counts.relevant, relevant)
        np.testing.assert_array_equal(report.counts.total, total)
    stable = [naive.average_precision(hits[np.argsort(d, kind="stable")]) for d, hits in zip(far, alike, strict=True)]
    np.testing.assert_allclose(whole.stable_order(), stable, rtol=1e-12)
    if bits in (1, 64):  # whose lengths are exact, so that equal distances are equal cosines
        found = cosine_average_precision(query, database, query_ids, database_ids)
        np.testing.assert_allclose(found, stable, rtol=1e-12)


def peak_bytes(function):
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_class_ids():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (50_000, 8), np.uint8)
    peaks = []
    for classes in (2, 2, 1000):  # the first is the warm-up
        ids = rng.integers(0, classes, 50_000)
        case = codes[:200], codes, ids[:200], ids
        peaks.append(peak_bytes(lambda case=case: evaluate(*case, bits=64, threads=1).map))
    assert peaks[2] < 1.1 * peaks[1]


def test_query_memory_does_not_grow_with_the_number_of_class_ids():
    """A column for each class of the queries would be 400 MB."""
    ids, codes = np.arange(20_000), np.zeros((20_000, 1), np.uint8)
    evaluate(codes[:1], codes[:1], ids[:1], ids[:1], bits=8)
    assert peak_bytes(lambda: evaluate(codes, codes[:10], ids, ids[:10], bits=8)) < 20_000 * 1000


def test_multi_hot_classes_that_no_query_has_are_not_laid_out():
    rng = np.random.default_rng(0)
    query_labels, labels = np.zeros((3, 700), np.uint8), (rng.random((9_000, 700)) < 0.1).astype(np.uint8)
    query_labels[[0, 1, 1, 2], [5, 5, 300, 699]] = 1
    asked = Labels(query_labels)
    assert asked.queries.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    codes = np.zeros((9_000, 8), np.uint8)
    shards = []
    assert peak_bytes(lambda: shards.append(Shard.of(codes, labels, asked.classes))) < labels.nbytes / 50
    assert shards[0].bitmaps.shape == (3, 141)


@pytest.mark.parametrize("density", [0.02, 0.3])
@pytest.mark.parametrize("values", [1, 700, 10_000])
def test_multi_hot_labels_laid_out_in_pieces(monkeypatch, values, density):
    monkeypatch.setattr(counting, "LAYOUT_VALUES", values)
    case = naive.random_case(np.random.default_rng(2), 7, 500, 10, 40, density)
    case[2][3] = 0
    report = evaluate(*case[:3], np.asfortranarray(case[3].astype(float)))
    relevant, total = naive.counts(*case)
    np.testing.assert_array_equal(report.counts.relevant, relevant)
    np.testing.assert_array_equal(report.counts.total, total)


def test_queries_without_any_label():
    query, database, query_labels, database_labels = naive.random_case(np.random.default_rng(2), 4, 70, 10, 5, 0.5)
    report = evaluate(query, database, 0 * query_labels, database_labels)
    assert report.queries_without_relevant == 4 and report.map == report.map_stable_order == 0


def test_shards_read_once_have_no_stable_order():
    query, database, query_labels, database_labels = naive.random_case(np.random.default_rng(6), 4, 50, 16, 5)
    report = evaluate_shards(
        query, query_labels, ((database[p], database_labels[p]) for p in np.split(np.arange(50), 5))
    )
    assert report.map == evaluate(query, database, query_labels, database_labels).map
    with pytest.raises(InputError, match="map_stable_order"):
        _ = report.map_stable_order


GOOD = naive.random_case(np.random.default_rng(8), 3, 6, 12, 4)


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (0, GOOD[0][:, :8], "database_codes: found codes of 12 bits, expected 8"),
        (0, GOOD[0] * 2, "query_codes: found the value -?2, expected -1 or 1"),
        (0, GOOD[0] * np.float32(np.nan), "query_codes: found the value nan"),
        (0, GOOD[0].astype(object), "query_codes: found object"),
        (0, GOOD[0][0], r"query_codes: found int8 \[12\]"),
        (0, [[1, 1], [1]], "query_codes: found lists that do not form an array, expected rows of equal length$"),
        (0, GOOD[0][:0], "query_codes: found no row"),
        (0, pack(GOOD[0]), r"query_codes: found packed codes \(uint8\) without their number of bits, expected bits=K"),
        (1, GOOD[1][:0], "database_labels: found 6 rows, expected 0"),
        (1, pack(GOOD[1])[:, :1], "database_codes: found 1 bytes per code, expected 2 for 12 bits"),
        (2, [[0, 1], [1]], "query_labels: found lists that do not form an array"),
        (2, GOOD[2][:2], "query_labels: found 2 rows, expected 3"),
        (2, GOOD[2] * 2.5, "query_labels: found the value 2.5, expected 0 or 1"),
        (2, np.full((3, 4), np.nan), "query_labels: found the value nan, expected 0 or 1"),
        (2, np.array([0, 1, 2]), r"database_labels: found multi-hot \[n, classes\], expected class ids"),
        (2, np.array([0.0, 1.0, 2.0]), r"query_labels: found float64 \[3\]"),
        (2, np.array([0, -1, 2]), "query_labels: found the class id -1"),
        (3, GOOD[3][:, :3], "database_labels: found 3 classes, expected 4"),
        (3, GOOD[3][:5], "database_labels: found 5 rows, expected 6"),
    ],
)
def test_bad_input(position, value, words):
    case = list(GOOD)
    case[2] = case[2] | 1
    case[position] = value
    with pytest.raises(InputError, match=words):
        evaluate(*case)


@pytest.mark.parametrize("bits", [12.0, "12"])
def test_bits_that_are_no_whole_number(bits):
    with pytest.raises(InputError, match=f"bits: found {bits!r}, expected a whole number"):
        evaluate(pack(GOOD[0]), pack(GOOD[1]), GOOD[2], GOOD[3], bits=bits)


def test_empty_database():
    with pytest.raises(InputError, match="database_codes: found no row"):
        evaluate(GOOD[0], GOOD[1][:0], GOOD[2], GOOD[3][:0])
    with pytest.raises(InputError, match="database_codes: found no row"):
        evaluate_shards(GOOD[0], GOOD[2], [])


@pytest.mark.parametrize("ids", [False, True])
def test_rows_that_were_not_trained_on(ids):
    """The report on the whole is that of `evaluate`, ties in database order included; the other is that of the rest alone."""
    rng = np.random.default_rng(11)
    query, database, query_labels, database_labels = naive.random_case(rng, 13, 150, 6, 5)
    if ids:
        query_labels, database_labels = rng.integers(0, 6, 13), rng.integers(0, 6, 150)
    trained = rng.random(150) < 0.6
    whole, unseen = evaluate_unseen(query, database, query_labels, database_labels, trained)
    expected = evaluate(query, database, query_labels, database_labels)
    np.testing.assert_array_equal(whole.counts.relevant, expected.counts.relevant)
    np.testing.assert_array_equal(whole.counts.total, expected.counts.total)
    assert whole.map == expected.map and whole.map_stable_order == expected.map_stable_order
    rest = evaluate(query, database[~trained], query_labels, database_labels[~trained])
    np.testing.assert_array_equal(unseen.counts.relevant, rest.counts.relevant)
    assert unseen.map == rest.map != whole.map and unseen.database_size == (~trained).sum()


@pytest.mark.parametrize("values", [1, 35, 750, 1000])
def test_rows_not_trained_on_are_copied_in_pieces(monkeypatch, values):
    monkeypatch.setattr(evaluation, "PIECE", values)
    case = naive.random_case(np.random.default_rng(12), 5, 150, 6, 5)
    trained = np.arange(150) % 10 < 5
    rows = [len(codes) for codes, _ in evaluation._chosen(*case[1::2], trained)]
    assert sum(rows) == 75 and max(rows) <= max(values // 5, 1)
    whole, unseen = evaluate_unseen(*case, trained)
    rest = evaluate(case[0], case[1][~trained], case[2], case[3][~trained])
    np.testing.assert_array_equal(whole.counts.relevant, evaluate(*case).counts.relevant)
    np.testing.assert_array_equal(unseen.counts.relevant, rest.counts.relevant)
    np.testing.assert_array_equal(unseen.counts.total, rest.counts.total)


def test_no_row_was_trained_on():
    query, database, query_labels, database_labels = GOOD
    whole, unseen = evaluate_unseen(query, database, query_labels, database_labels, np.zeros(6, bool))
    assert whole.map == unseen.map == evaluate(*GOOD).map


def test_the_whole_database_is_counted_once(monkeypatch):
    """Every pair once: the parts add up, instead of a second pass over the whole."""
    from dseh_tf.retrieval import evaluation

    rows = []
    count = evaluation.count
    monkeypatch.setattr(
        evaluation, "count", lambda q, shard, threads: rows.append(len(shard)) or count(q, shard, threads)
    )
    evaluate_unseen(*GOOD, np.array([1, 1, 0, 0, 1, 0], bool))
    assert rows == [3, 3]


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (np.ones(6, bool), "trained: found True in every row"),
        (np.zeros(5, bool), r"trained: found bool \[5\], expected bool \[6\]"),
        (np.zeros(6, int), r"trained: found int64 \[6\], expected bool \[6\]"),
    ],
)
def test_which_rows_were_trained_on_must_fit(trained, words):
    with pytest.raises(InputError, match=words):
        evaluate_unseen(*GOOD, trained)
