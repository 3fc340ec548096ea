import math

import numpy as np
import pytest
import scipy.stats

from dseh_tf.errors import InputError
from dseh_tf.retrieval import Counts, Report, evaluate, metrics
from tests.retrieval import naive

SEVEN = [  # distances of seven items, and which are relevant
    ([0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 1]),
    ([0, 1, 1, 1, 1, 2, 2], [0, 1, 0, 0, 1, 1, 0]),
    ([2, 2, 2, 2, 2, 3, 3], [0, 0, 0, 0, 0, 1, 1]),
    ([0, 0, 1, 1, 1, 3, 3], [1, 1, 0, 0, 0, 0, 0]),
    ([1, 1, 1, 1, 1, 1, 3], [1, 1, 1, 1, 1, 0, 1]),
    ([3, 1, 0, 1, 3, 1, 0], [0, 0, 0, 1, 0, 0, 0]),
    ([0, 1, 2, 3, 3, 3, 3], [1, 0, 1, 0, 1, 0, 1]),
    ([1, 1, 2, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 1]),
    ([0, 1, 1, 2, 2, 2, 3], [0, 0, 0, 0, 0, 0, 0]),
]


@pytest.fixture(params=range(len(SEVEN)), name="seven")
def fixture_seven(request):
    """(report, every ranking of the seven items that ties allow, as relevant or not)"""
    far, relevant = map(np.array, SEVEN[request.param])
    query, database = naive.codes_at(far, bits=3)
    report = evaluate(query, database, np.array([1]), np.where(relevant, 1, 2))
    return report, [relevant[order] for order in naive.orders(far)]


def test_map_is_the_mean_over_all_orders_of_tied_items(seven):
    report, rankings = seven
    assert report.map == pytest.approx(np.mean([naive.average_precision(hits) for hits in rankings]), abs=1e-14)


@pytest.mark.parametrize("norm", ["hits", "relevant"])
@pytest.mark.parametrize("k", range(1, 9))
def test_map_at_is_the_mean_over_all_orders_of_tied_items(seven, k, norm):
    report, rankings = seven
    expected = np.mean([naive.average_precision(hits, k, norm) for hits in rankings])
    assert report.map_at(k, norm) == pytest.approx(expected, abs=1e-14)
    if k >= 7:
        assert report.map_at(k, norm) == report.map


@pytest.mark.parametrize("n", range(1, 8))
def test_precision_at_is_the_mean_over_all_orders_of_tied_items(seven, n):
    report, rankings = seven
    assert report.precision_at(n) == pytest.approx(np.mean([hits[:n].mean() for hits in rankings]), abs=1e-14)


def test_worked_examples_of_the_docstrings():
    one = Counts(np.array([[1, 1, 0]]), np.array([[1, 2, 0]]))
    assert metrics.average_precision(one) == pytest.approx([11 / 12])
    assert metrics.average_precision_at(one, 2) == pytest.approx([1])
    assert metrics.average_precision_at(one, 2, "relevant") == pytest.approx([3 / 4])
    assert metrics.precision_at(one, 2) == pytest.approx([3 / 4])
    two = Counts(np.array([[1, 1, 0], [0, 0, 1]]), np.array([[1, 2, 0], [0, 1, 2]]))
    recall, precision = metrics.precision_recall(two)
    assert recall == pytest.approx([1 / 3, 2 / 3, 1]) and precision == pytest.approx([1, 1 / 2, 1 / 2])
    recall, precision = metrics.precision_recall(two, "macro")
    assert recall == pytest.approx([1 / 4, 1 / 2, 1]) and precision == pytest.approx([1, 1 / 3, 1 / 2])
    assert metrics.lookup_precision(two, 0).tolist() == [1, 0]


def large_counts():
    """Blocks of one, two and thousands of items, near and far."""
    total = np.array([[3, 0, 70, 5000, 90000, 2, 1], [0, 1, 64, 1, 2, 40000, 55008], [95072, 1, 2, 0, 0, 1, 0]])
    relevant = np.array([[3, 0, 12, 4000, 9000, 2, 1], [0, 0, 0, 0, 0, 0, 2], [700, 0, 2, 0, 0, 1, 0]])
    return Counts(relevant, total)


def expected_precision_sum(before, hits_before, total, relevant, places):
    """Position by position."""
    others = (relevant - 1) / (total - 1) if total > 1 else 0
    return math.fsum(
        relevant / total * (hits_before + 1 + (i - 1) * others) / (before + i) for i in range(1, places + 1)
    )


def test_average_precision_of_large_blocks():
    counts = large_counts()
    for found, relevant, total in zip(metrics.average_precision(counts), counts.relevant, counts.total, strict=True):
        before, hits, terms = 0, 0, []
        for r, t in zip(relevant.tolist(), total.tolist(), strict=True):
            if r:
                terms.append(expected_precision_sum(before, hits, t, r, t))
            before, hits = before + t, hits + r
        assert found == pytest.approx(math.fsum(terms) / hits, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 60, 73, 74, 1000, 5000, 70000, 95069, 95075])
def test_average_precision_at_a_cut_through_large_blocks(k):
    counts = large_counts()
    for found, relevant, total in zip(
        metrics.average_precision_at(counts, k), counts.relevant.tolist(), counts.total.tolist(), strict=True
    ):
        before, hits, whole = 0, 0, 0.0
        for r, t in zip(relevant, total, strict=True):
            m = k - before
            if m <= t:
                break
            whole += expected_precision_sum(before, hits, t, r, t) if r else 0.0
            before, hits = before + t, hits + r
        x = np.arange(max(0, m - t + r), min(m, r) + 1)
        # Given x hits among m places, each choice of places is as likely: a block of m items, all of them taken.
        first, last = (expected_precision_sum(before, hits, m, count, m) for count in (1, m))
        slope = (last / m - first) / (m - 1) if m > 1 else 0.0
        inside = x * (first + (x - 1) * slope)
        values = np.where(hits + x > 0, (whole + inside) / np.maximum(hits + x, 1), 0)
        expected = (scipy.stats.hypergeom.pmf(x, t, r, m) * values).sum()
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_naive_loops_on_hundreds_of_rows(seed):
    """Codes of 64 bits that differ from the queries at distances without ties: one order only, a plain sort."""
    rng = np.random.default_rng(seed)
    far = rng.permutation(400)
    query, database = naive.codes_at(far, bits=400)
    labels = rng.integers(0, 4, 400)
    report = evaluate(query, database, np.array([2]), labels)
    hits = (labels == 2)[np.argsort(far)]
    assert report.map == pytest.approx(naive.average_precision(hits), rel=1e-13)
    assert report.map_stable_order == pytest.approx(report.map, rel=1e-13)
    for k in (1, 7, 50, 399):
        assert report.map_at(k) == pytest.approx(naive.average_precision(hits, k, "hits"), rel=1e-13)
        assert report.map_at(k, "relevant") == pytest.approx(naive.average_precision(hits, k), rel=1e-13)
        assert report.precision_at(k) == pytest.approx(hits[:k].mean(), rel=1e-13)


def test_precision_recall_by_radius_equals_loops():
    case = naive.random_case(np.random.default_rng(2), 20, 300, 10, 6)
    case[2][:3] = 0  # queries without a relevant item
    report = evaluate(*case)
    far, alike = naive.distances(*case[:2]), naive.relevance(*case[2:])
    for mode in ("micro", "macro"):
        recall, precision = report.precision_recall(mode)
        assert recall.shape == precision.shape == (11,)
        for radius in range(11):
            near = far <= radius
            hits = near & alike
            if mode == "micro":
                expected = hits.sum() / alike.sum(), hits.sum() / near.sum() if near.any() else np.nan
            else:
                found, searched = near.any(axis=1), alike.any(axis=1)
                shares = hits[found].sum(axis=1) / near[found].sum(axis=1)
                expected = (
                    np.mean(hits[searched].sum(axis=1) / alike[searched].sum(axis=1)),
                    shares.mean() if found.any() else np.nan,
                )
            np.testing.assert_allclose((recall[radius], precision[radius]), expected, rtol=1e-13)
    assert recall[-1] == 1
    near = far <= 2
    expected = [(n & a).sum() / n.sum() if n.any() else 0 for n, a in zip(near, alike, strict=True)]
    assert report.lookup_precision() == pytest.approx(np.mean(expected))


def test_nothing_retrieved_is_nan():
    recall, precision = Report(Counts(np.array([[0, 1, 0]]), np.array([[0, 2, 1]]))).precision_recall()
    assert recall.tolist() == [0, 1, 1]
    assert np.isnan(precision[0]) and precision[1:].tolist() == [1 / 2, 1 / 3]


def test_queries_without_a_relevant_item_count_zero():
    counts = Counts(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[1, 2, 0], [0, 1, 2]]))
    report = Report(counts)
    assert report.queries_without_relevant == 1
    assert report.map == pytest.approx(11 / 24)
    assert report.map_at(2) == pytest.approx(1 / 2)
    with pytest.raises(InputError, match="map_stable_order"):
        _ = report.map_stable_order


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda r: r.map_at(0), "k: found 0"),
        (lambda r: r.map_at(3, "all"), "norm: found 'all', expected 'hits' or 'relevant'"),
        (lambda r: r.precision_at(4), "n: found 4, expected 1 to 3"),
        (lambda r: r.precision_at(0), "n: found 0"),
        (lambda r: r.precision_recall("rank"), "mode: found 'rank'"),
        (lambda r: r.lookup_precision(3), "radius: found 3, expected 0 to 2"),
    ],
)
def test_bad_questions(ask, words):
    with pytest.raises(InputError, match=words):
        ask(Report(Counts(np.array([[1, 1, 0]]), np.array([[1, 2, 0]]))))
