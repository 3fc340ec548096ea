"""Every form of codes, labels and numbers: the answer is a naive loop's, or one clear InputError.

    HYPOTHESIS_EXAMPLES=10000 python -m pytest tests/retrieval/test_forms.py

is the long form.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import (
    HammingIndex,
    code_health,
    cosine_average_precision,
    evaluate,
    evaluate_shards,
    evaluate_unseen,
    hamming,
    load_codes,
    pack,
    save_codes,
    unpack,
)
from tests.retrieval import forms, naive

CODES = {**forms.GOOD_CODES, **forms.PACKED, **forms.BAD_CODES}
EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", 150))
several = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


def among(good: dict, bad: dict, share: int = 4):
    """Names of forms, good ones `share` times as often as bad ones."""
    return st.integers(0, share).flatmap(lambda i: st.sampled_from(sorted(good if i else bad)))


code_forms = among({**forms.GOOD_CODES, **forms.PACKED}, forms.BAD_CODES, 8)
number_forms = st.one_of(st.none(), among(forms.GOOD_NUMBERS, forms.BAD_NUMBERS, 8))
sizes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 70), st.integers(0, 2**32 - 1))


@st.composite
def label_forms(draw):
    """("ids", form, form), ("hot", form, form), or of two kinds, of which one may be bad."""
    kinds = {"ids": forms.GOOD_IDS, "hot": forms.GOOD_HOT, "bad": forms.BAD_LABELS}
    kind = draw(st.sampled_from(["ids", "ids", "ids", "hot", "hot", "hot", "mixed"]))
    two = (kind, kind) if kind != "mixed" else draw(st.tuples(*[st.sampled_from(sorted(kinds))] * 2))
    return tuple((k, draw(st.sampled_from(sorted(kinds[k])))) for k in two)


def random_codes(rng, n, bits):
    return rng.choice(np.array([-1, 1], np.int8), (n, bits))


def random_labels(rng, n, kind, form, classes):
    """(the labels in a form, the set of classes of each row or None)."""
    if kind == "hot":
        hot = (rng.random((n, classes)) < 0.4).astype(np.uint8)
        return forms.GOOD_HOT[form](hot), [set(np.flatnonzero(row)) for row in hot]
    ids = rng.integers(0, classes, n)
    if kind == "ids":
        return forms.GOOD_IDS[form](ids), [{i} for i in ids.tolist()]
    return forms.BAD_LABELS[form](ids), None


def number(form, value):
    """(the number in a form, whether it is one)."""
    if form is None:
        return None, True
    known = forms.GOOD_NUMBERS.get(form)
    return (known or forms.BAD_NUMBERS[form])(value), known is not None


def refused(call) -> None:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and "found" in text and "expected" in text and len(text) < 400


def meaningful(form: str, bits: int | None) -> bool:
    return form in forms.GOOD_CODES or (form in forms.PACKED and bits is not None)


@several
@given(sizes, code_forms, code_forms, number_forms)
def test_hamming(size, query_form, database_form, bits_form):
    m, n, k, seed = size
    rng = np.random.default_rng(seed)
    query, database = random_codes(rng, m, k), random_codes(rng, n, k)
    bits, fits = number(bits_form, k)

    def call():
        return hamming(CODES[query_form](query), CODES[database_form](database), bits)

    if fits and meaningful(query_form, k) and meaningful(database_form, k):
        np.testing.assert_array_equal(call(), naive.distances(query, database))
    else:
        refused(call)


@several
@given(sizes, code_forms, code_forms, number_forms, label_forms(), number_forms, st.integers(2, 6))
def test_evaluate(size, query_form, database_form, bits_form, labels, threads_form, classes):
    m, n, k, seed = size
    rng = np.random.default_rng(seed)
    query, database = random_codes(rng, m, k), random_codes(rng, n, k)
    (ql, wanted), (dl, held) = (
        random_labels(rng, rows, *form, classes) for rows, form in zip((m, n), labels, strict=True)
    )
    bits, bits_fit = number(bits_form, k)
    threads, threads_fit = number(threads_form, int(rng.integers(1, 4)))
    trained = np.arange(n) % 2 == 1

    def inputs():
        return CODES[query_form](query), CODES[database_form](database), ql, dl

    calls = [
        lambda: evaluate(*inputs(), bits, threads),
        lambda: evaluate_unseen(*inputs(), trained, bits, threads)[0],
        lambda: evaluate_shards(inputs()[0], ql, [(inputs()[1], dl)], bits, threads),
    ]
    fits = bits_fit and threads_fit and wanted and held and labels[0][0] == labels[1][0]
    if not fits or not meaningful(query_form, bits) or not meaningful(database_form, k):
        for call in calls:
            refused(call)
        return
    far = naive.distances(query, database)
    relevant, total = np.zeros((2, m, k + 1), np.int64)
    for i, j in np.ndindex(m, n):
        total[i, far[i, j]] += 1
        relevant[i, far[i, j]] += bool(wanted[i] & held[j])
    for call in calls:
        report = call()
        np.testing.assert_array_equal(report.counts.total, total)
        np.testing.assert_array_equal(report.counts.relevant, relevant)
        order = np.argsort(far, axis=1, kind="stable")
        hits = [[bool(wanted[i] & held[j]) for j in order[i]] for i in range(m)]
        assert report.map_stable_order == pytest.approx(np.mean([naive.average_precision(h) for h in hits]))
    cosine = cosine_average_precision(query, database, ql, dl)
    scores = query.astype(float) @ database.T
    order = np.argsort(-scores, axis=1, kind="stable")
    if k in (1, 4, 16, 64):  # float32 cosines of equal products are equal there
        hits = [[bool(wanted[i] & held[j]) for j in order[i]] for i in range(m)]
        np.testing.assert_allclose(cosine, [naive.average_precision(h) for h in hits])


@several
@given(
    sizes, code_forms, code_forms, number_forms, number_forms, st.sampled_from(["strings", "list", "ints", "objects"])
)
def test_index(size, query_form, database_form, k_form, threads_form, ids_form):
    m, n, bits, seed = size
    rng = np.random.default_rng(seed)
    query, database = random_codes(rng, m, bits), random_codes(rng, n, bits)
    wanted = int(rng.integers(1, n + 2))
    k, k_fits = number(k_form, wanted)
    threads, threads_fit = number(threads_form, int(rng.integers(1, 4)))
    ids = {
        "strings": np.array([f"é{i}" for i in range(n)]),
        "list": [f"é{i}" for i in range(n)],
        "ints": np.arange(n) * 7,
        "objects": np.array([f"é{i}" for i in range(n)], object),
    }[ids_form]
    index = HammingIndex(bits)
    if not meaningful(database_form, bits):
        refused(lambda: index.add(CODES[database_form](database), ids))
        assert len(index) == 0
        return
    index.add(CODES[database_form](database), ids)
    if not (k_fits and k_form and threads_fit and meaningful(query_form, bits)):
        refused(lambda: index.search(CODES[query_form](query), k, threads))
        return
    found, distances = index.search(CODES[query_form](query), k, threads)
    far = naive.distances(query, database)
    order = np.argsort(far, axis=1, kind="stable")[:, :wanted]
    np.testing.assert_array_equal(found, np.array(ids)[order])
    np.testing.assert_array_equal(distances, np.take_along_axis(far, order, axis=1))


@several
@given(sizes, code_forms, number_forms, label_forms(), st.integers(2, 6))
def test_pack_unpack_and_health(size, form, bits_form, labels, classes):
    _, n, k, seed = size
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, n, k)
    bits, bits_fit = number(bits_form, k)
    given_labels, held = random_labels(rng, n, *labels[0], classes)
    if form in forms.GOOD_CODES:
        np.testing.assert_array_equal(pack(CODES[form](codes)), forms.bits_set(codes))
    else:
        refused(lambda: pack(CODES[form](codes)))
    if form not in ("list", "tuple of rows"):  # these are bytes for `unpack`
        if meaningful(form, k) and bits_fit and bits_form:
            np.testing.assert_array_equal(unpack(CODES[form](codes), bits), codes)
        else:
            refused(lambda: unpack(CODES[form](codes), bits))
    if meaningful(form, bits) and bits_fit and held:
        health = code_health(CODES[form](codes), given_labels, bits)
        assert health.distinct_codes == len({tuple(row) for row in codes.tolist()})
        assert health.label_vectors == len(set(map(frozenset, held)))
        assert health.classes == len(set().union(*held))
    else:
        refused(lambda: code_health(CODES[form](codes), given_labels, bits))


@pytest.mark.parametrize("form", sorted(CODES))
def test_codes_file(tmp_path, form):
    rng = np.random.default_rng(len(form))
    codes = random_codes(rng, 4, 12)
    content = {
        "query_codes": pack(codes[:2]),
        "query_labels": np.eye(3, dtype=np.uint8)[:2],
        "database_labels": np.eye(4, 3, dtype=np.uint8),
        "query_ids": ["a", "b"],
        "database_ids": np.array(["c", "d", "e", "f"], object),
        "bits": np.int32(12),
    }
    if form in forms.BAD_CODES:
        refused(lambda: save_codes(tmp_path / "codes.npz", database_codes=CODES[form](codes), **content))
        assert not list(tmp_path.iterdir())
        return
    save_codes(tmp_path / "codes.npz", database_codes=CODES[form](codes), **content)
    np.testing.assert_array_equal(load_codes(tmp_path / "codes.npz").database_codes, forms.bits_set(codes))


@pytest.mark.parametrize("form", sorted(forms.BAD_NUMBERS))
def test_numbers_that_are_none(form):
    value = forms.BAD_NUMBERS[form](2)
    report = evaluate([[1, 1]], [[1, 1], [1, -1], [-1, 1]], [3], [3, 5, 3])
    calls = [
        lambda: report.precision_at(value),
        lambda: report.map_at(value),
        lambda: HammingIndex(value),
        lambda: unpack(np.array([[1]], np.uint8), value),
    ]
    if form != "zero":
        calls.append(lambda: report.lookup_precision(value))
    for call in calls:
        refused(call)


@pytest.mark.parametrize("form", sorted(forms.GOOD_NUMBERS))
def test_numpy_integers_are_numbers(form):
    value = forms.GOOD_NUMBERS[form](2)
    report = evaluate([[1, 1]], [[1, 1], [1, -1], [-1, 1]], [3], [3, 5, 3])
    assert report.precision_at(value) == pytest.approx(3 / 4) and report.lookup_precision(value) == pytest.approx(2 / 3)
    assert report.map_at(value, "relevant") == pytest.approx(3 / 4)


def test_numbers_and_choices():
    report = evaluate([[1, 1]], [[1, 1], [1, -1], [-1, 1]], [3], [3, 5, 3])
    for call, words in [
        (lambda: report.precision_at(1.5), "n: found 1.5, expected a whole number"),
        (lambda: report.precision_at(4), "n: found 4, expected 1 to 3"),
        (lambda: report.map_at("2"), "k: found '2', expected a whole number"),
        (lambda: report.map_at(np.arange(99)), r"k: found array\(\[ 0.*\.\.\., expected a whole number"),
        (lambda: report.map_at(2, ["hits"]), r"norm: found \['hits'\]"),
        (lambda: report.precision_recall(None), "mode: found None"),
        (lambda: report.lookup_precision(3), "radius: found 3, expected 0 to 2"),
        (lambda: evaluate([[1, 1]], [[1, 1]], [3], [3], threads="2"), "threads: found '2', expected a whole number"),
        (lambda: evaluate([[1, 1]], [[1, 1]], [3], [3], threads=True), "threads: found True"),
        (lambda: evaluate_shards([[1, 1]], [3], 7), "shards: found 7, expected pairs"),
        (lambda: evaluate_shards([[1, 1]], [3], [np.ones((2, 2))]), "shards: found ndarray, expected pairs"),
        (lambda: evaluate_shards([[1, 1]], [3], [([[1, 1]],)]), "shards: found tuple, expected pairs"),
    ]:
        with pytest.raises(InputError, match=words):
            call()


def test_ids_of_two_types_keep_all_their_digits():
    """numpy compares int64 with uint64 as floats of 53 bits, in which these two ids are equal."""
    large = 2**60
    report = evaluate([[1, 1]], [[1, 1], [1, 1]], np.array([large]), np.array([large + 1, large], np.uint64))
    assert report.counts.relevant.sum() == 1


def test_ids_as_a_column_are_ids():
    """Two classes as keras.datasets returns them: rows of class 0 are alike too."""
    rng = np.random.default_rng(1)
    query, database, _, _ = naive.random_case(rng, 9, 40, 8, 2)
    ql, dl = rng.integers(0, 2, (9, 1)), rng.integers(0, 2, (40, 1)).astype(np.uint8)
    expected = evaluate(query, database, np.eye(2)[ql[:, 0]], np.eye(2)[dl[:, 0]])
    assert evaluate(query, database, ql, dl).map == expected.map > 0.4
    by_cosine = cosine_average_precision(query, database, ql, dl)
    np.testing.assert_array_equal(
        by_cosine, cosine_average_precision(query, database, np.eye(2)[ql[:, 0]], np.eye(2)[dl[:, 0]])
    )
    assert code_health(database, dl) == code_health(database, np.eye(2)[dl[:, 0]])
