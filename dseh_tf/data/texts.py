"""The texts of a data set: sparse rows over a vocabulary, one row per image. Does not import TensorFlow.

A row has a number for each word: 0 or 1 for tags, counts for a bag of words, or weights (the topics of Wikipedia). Rows
are stored as a `scipy.sparse.csr_array` of float32, so memory grows with the words that occur, not with the vocabulary.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from dseh_tf.arrays import as_array, as_texts, shown
from dseh_tf.errors import InputError, brief


def text_rows(values: Any, field: str = "texts") -> sparse.csr_array:
    """Text rows float32 [n, t] from a dense array or any sparse matrix of real numbers.

    The columns of a row are in order, each at most once, and no stored value is 0.

    Raises:
        InputError: Another shape, no column, values that are not real numbers, or not finite in float32.
    """
    rows = values if sparse.issparse(values) else as_array(values, field)
    if rows.ndim != 2 or rows.dtype.kind not in "biuf" or not rows.shape[1]:
        raise InputError(f"{field}: found {shown(rows)}, expected real numbers [n, words], sparse or dense")
    with np.errstate(over="ignore"):
        found = sparse.csr_array(rows, dtype=np.float32, copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    bad = np.flatnonzero(~np.isfinite(found.data))
    if len(bad):
        row = int(np.searchsorted(found.indptr, bad[0], side="right")) - 1
        raise InputError(f"{field}: found {found.data[bad[0]]} in row {row}, expected finite numbers")
    return found


def rows_of_words(lines: Sequence[Iterable[str]], vocabulary: Sequence[str]) -> sparse.csr_array:
    """Counts float32 [n, t] of the words of each line; words outside the vocabulary are skipped.

    Example: rows_of_words([["sky", "sea", "sky"], ["moon"]], ["sea", "sky"]) has the rows [1, 2] and [0, 0].
    """
    columns = {word: column for column, word in enumerate(vocabulary)}
    indices, counts, starts = [], [], [0]
    for words in lines:
        known = sorted(Counter(columns[word] for word in words if word in columns).items())
        indices += [column for column, _ in known]
        counts += [count for _, count in known]
        starts.append(len(indices))
    arrays = np.array(counts, np.float32), np.array(indices, np.int32), np.array(starts, np.int32)
    return sparse.csr_array(arrays, shape=(len(lines), len(vocabulary)))


def query_row(words: str, vocabulary: Sequence[str]) -> sparse.csr_array:
    """The text row [1, t] of words in one string, separated by white space.

    Raises:
        InputError: No word, or a word that is not in the vocabulary.
    """
    asked = words.split()
    if not asked:
        raise InputError(f"text: found {words!r}, expected words of the vocabulary")
    known = set(vocabulary)
    for word in asked:
        if word not in known:
            near = difflib.get_close_matches(word, vocabulary, n=3)
            hint = f", for example {', '.join(near)}" if near else ""
            raise InputError(
                f"text: found the word {word!r}, expected one of the {len(vocabulary):,} words of the vocabulary{hint}"
            )
    return rows_of_words([asked], vocabulary)


def as_vocabulary(words: Any, width: int) -> tuple[str, ...]:
    """The words of the columns as a tuple; () if they are not known.

    Raises:
        InputError: Not strings, a different number of words than columns, or a word twice.
    """
    found = tuple(map(str, as_texts([] if isinstance(words, str) else list(words), "vocabulary").tolist()))
    if isinstance(words, str):
        raise InputError(f"vocabulary: found {brief(words)}, expected a list of words")
    if not found:
        return ()
    if len(found) != width:
        raise InputError(f"vocabulary: found {len(found):,} words, expected {width:,}, one per column of the texts")
    if len(set(found)) < width:
        word, count = Counter(found).most_common(1)[0]
        raise InputError(f"vocabulary: found {word!r} {count} times, expected each word once")
    return found


def has_words(texts: sparse.csr_array) -> np.ndarray:
    """bool [n]: which rows have any word."""
    return np.diff(texts.indptr) > 0


def padded(texts: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """The rows as two arrays with a place for each word of the longest row.

    Returns:
        Columns int32 [n, m], and values float32 [n, m]. Unused places have column t, one beyond the last, and value 0.
    """
    width = texts.shape[1]
    lengths = np.diff(texts.indptr)
    places = np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None]
    columns = np.full(places.shape, width, np.int32)
    values = np.zeros(places.shape, np.float32)
    columns[places], values[places] = texts.indices, texts.data
    return columns, values


def dense_blocks(texts: sparse.csr_array, rows: int) -> Iterator[np.ndarray]:
    """Yields the rows as dense float32 [b, t], at most `rows` at a time."""
    for start in range(0, texts.shape[0], rows):
        yield texts[start : start + rows].toarray()
