"""Sparse text rows against dense arrays, and what a split and a data set make of them."""

import numpy as np
import pytest
from scipy import sparse

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.data.check_split import check_split
from dseh_tf.data.texts import as_vocabulary, dense_blocks, has_words, padded, query_row, rows_of_words, text_rows
from dseh_tf.errors import InputError


@pytest.fixture
def counts():
    rng = np.random.default_rng(3)
    dense = rng.poisson(0.4, (9, 7)).astype(np.float32)
    dense[4] = 0
    return dense


def test_rows_are_sparse_whatever_form_they_come_in(counts):
    entries = sparse.coo_array(counts)
    twice = sparse.coo_array(
        (np.r_[entries.data, 1, 1], (np.r_[entries.coords[0], 8, 8], np.r_[entries.coords[1], 6, 6])), (9, 7)
    )
    more = counts.copy()
    more[8, 6] += 2
    for given, expected in (
        (counts, counts), (counts.astype(np.uint8), counts), (counts > 0, counts > 0), (counts.tolist(), counts),
        (sparse.csc_matrix(counts), counts), (twice, more),
    ):  # fmt: skip
        found = text_rows(given)
        assert isinstance(found, sparse.csr_array) and found.dtype == np.float32
        assert found.nnz == np.count_nonzero(expected) and found.has_canonical_format
        np.testing.assert_array_equal(found.toarray(), expected)
    assert has_words(text_rows(counts)).tolist() == counts.any(axis=1).tolist()


def test_rows_that_are_refused(counts):
    wrong = counts.copy()
    wrong[5, 2] = np.nan
    for given, message in (
        (counts[0], r"found float32 \[7\], expected real numbers \[n, words\]"),
        (counts[:, :0], r"found float32 \[9, 0\]"),
        (counts.astype(str), "found <U32"),
        (wrong, "found nan in row 5, expected finite"),
        (sparse.csr_array(wrong), "found nan in row 5"),
        (counts.astype(float) * 1e300, "found inf in row"),
    ):
        with pytest.raises(InputError, match=f"^tags: {message}"):
            text_rows(given, "tags")


def test_the_callers_matrix_stays_as_it_was():
    given = sparse.csr_array((np.ones(3, np.float32), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 4))
    text_rows(given)
    assert given.indices.tolist() == [2, 0, 2] and given.nnz == 3


def test_words_become_counts():
    lines = [["sky", "sea", "sky"], [], ["moon"], ["land"]]
    vocabulary = ("sea", "land", "sky")
    naive = [[line.count(word) for word in vocabulary] for line in lines]
    np.testing.assert_array_equal(rows_of_words(lines, vocabulary).toarray(), naive)


def test_a_query_of_words():
    vocabulary = ("sea", "land", "sky")
    np.testing.assert_array_equal(query_row(" sky sea ", vocabulary).toarray(), [[1, 0, 1]])
    with pytest.raises(InputError, match=r"^text: found the word 'skyy', expected one of the 3 words .*example sky$"):
        query_row("sea skyy", vocabulary)
    with pytest.raises(InputError, match=r"^text: found ' ', expected words"):
        query_row(" ", vocabulary)


def test_padded_rows_and_blocks_hold_all_words(counts):
    rows = text_rows(counts)
    columns, values = padded(rows)
    dense = np.zeros((9, 8), np.float32)
    np.add.at(dense, (np.arange(9)[:, None], columns), values)
    np.testing.assert_array_equal(dense[:, :7], counts)
    assert not dense[:, 7].any() and columns.shape[1] == np.count_nonzero(counts, axis=1).max()
    blocks = list(dense_blocks(rows, 4))
    assert [len(block) for block in blocks] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), counts)
    assert padded(text_rows(np.zeros((2, 3))))[0].tolist() == [[3], [3]]


def test_vocabularies():
    assert as_vocabulary(["b", "a"], 2) == ("b", "a") and as_vocabulary((), 5) == ()
    for words, message in (
        (["a"], "found 1 words, expected 2"), (["a", "a"], "found 'a' 2 times"), ("ab", "found .*, expected a list of words"),
        ([1, "a"], "vocabulary: found 1 among strings"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            as_vocabulary(words, 2)


def dataset(counts, **more):
    x, y = np.arange(18.0).reshape(9, 2), np.eye(3, dtype=np.uint8)[np.arange(9) % 3]
    return RetrievalDataset.from_arrays((x, y), (x[:3] + 50, y[:3]), **more), counts


def test_texts_go_with_their_rows(counts):
    found, _ = dataset(counts, texts={"train": counts, "query": counts[:3]}, vocabulary=list("abcdefg"))
    assert found.has_texts and found.vocabulary == tuple("abcdefg")
    held = found.validation(0.4, seed=1)
    assert held.vocabulary == found.vocabulary
    for part in ("train", "query", "database"):
        split = getattr(held, part)
        rows = [int(name.split("/")[1]) for name in split.ids]
        np.testing.assert_array_equal(split.texts.toarray(), counts[rows])
    report = check_split(found)
    assert report.words == 7 and report.without_text == {"train": 1, "query": 0, "database": 1}
    assert report.words_per_image["train"] == pytest.approx(np.count_nonzero(counts) / 9)
    assert "words an image of 7" in str(report)
    bare, _ = dataset(counts)
    assert not bare.has_texts and "words" not in str(check_split(bare))


def test_texts_that_do_not_fit(counts):
    for texts, vocabulary, message in (
        ({"train": counts[:4], "query": counts[:3]}, (), "texts: found 4 rows, expected 9, one per id"),
        ({"train": counts, "query": counts[:3, :5]}, (), r"texts: found \{.*'query': 5.*\} columns"),
        ({"train": counts}, (), "texts: found those of train, database, expected train, query, database"),
        ({"train": counts, "query": counts[:3]}, ["a"], "vocabulary: found 1 words, expected 7"),
    ):
        with pytest.raises(InputError, match=message):
            dataset(counts, texts=texts, vocabulary=vocabulary)
    found, _ = dataset(counts, texts={"train": counts, "query": counts[:3]})
    query = Split(found.query.ids, found.query.labels, features=found.query.features)
    with pytest.raises(InputError, match="'query': 'none'"):
        found.replace(query=query)
