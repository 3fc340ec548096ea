"""Every number of the evaluation, from counts alone.

Items at the same Hamming distance are tied. Each number here is the expectation over all orders of tied items, in
closed form, so it does not depend on file order or on a sort. Notation for the block of items at one distance: t items,
r of them relevant, after N nearer items, R of them relevant.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma

from dseh_tf.errors import InputError, brief, positive, whole
from dseh_tf.retrieval.counts import Counts
from dseh_tf.retrieval.kernels import kernel


def average_precision(counts: Counts) -> np.ndarray:
    """Expected average precision, float64 [queries]: mean over all relevant items of (hits so far / rank).

    0 for a query without a relevant item. Position i of a block holds a relevant item with probability r / t, and then
    (i - 1)(r - 1)/(t - 1) others before it in the block are expected, so the block adds
    sum over i of r/t (R + 1 + (i - 1)(r - 1)/(t - 1)) / (N + i).

    Example: distances 0, 1, 1, the first and the last relevant. Both orders of the tie are as likely: AP is 1 or
    (1 + 2/3)/2 = 5/6, expected 11/12.
    """
    relevant, total = counts.relevant, counts.total
    sums = _block_sums(_before(total), _before(relevant), total, relevant, total).sum(axis=1)
    precision: np.ndarray = sums / np.maximum(relevant.sum(axis=1), 1)
    return precision


def average_precision_at(counts: Counts, k: int, norm: str = "hits") -> np.ndarray:
    """Expected average precision of the first k items, float64 [queries].

    norm: "hits" divides by the number of relevant items within the first k, 0 if there are none (thuml/HashNet:
    pytorch/src/test.py and most others); "relevant" divides by the number of all relevant items. k at or above the
    size of the database is `average_precision` with both. Raises InputError if k is no positive whole
    number or norm is another.

    With "hits" the divisor depends on how the tie at the cut falls: if x relevant items of that block come within k,
    then x is hypergeometric, and given x every choice of their places is as likely. The expectation is summed over x.

    Example: as in `average_precision`, k = 2. The orders give hits/rank 1, 2/2 (divisor 2) or 1 (divisor 1): 1 with
    "hits", (1 + 1/2)/2 = 3/4 with "relevant".
    """
    if not isinstance(norm, str) or norm not in ("hits", "relevant"):
        raise InputError(f"norm: found {brief(norm)}, expected 'hits' or 'relevant'")
    k = positive(k, "k")
    n = int(counts.total[0].sum())
    if k >= n:
        return average_precision(counts)
    relevant, total = counts.relevant, counts.total
    before, hits_before = _before(total), _before(relevant)
    taken = np.clip(k - before, 0, total)  # of each block, how many items are within the first k
    sums = _block_sums(before, hits_before, total, relevant, taken)
    if norm == "relevant":
        precision: np.ndarray = sums.sum(axis=1) / np.maximum(relevant.sum(axis=1), 1)
        return precision
    rows = np.arange(len(total))
    cut = (before + total >= k).argmax(axis=1)  # the block that holds item k
    whole = np.where(np.arange(total.shape[1]) < cut[:, None], sums, 0).sum(axis=1)
    first, m = before[rows, cut], taken[rows, cut]
    harmonic = _harmonic(first, m)
    return _expected_over_cut(
        whole, hits_before[rows, cut], total[rows, cut], relevant[rows, cut], m, harmonic, m - (first + 1) * harmonic
    )


def precision_at(counts: Counts, n: int) -> np.ndarray:
    """Expected share of relevant items among the first n, float64 [queries].

    Raises InputError if n is not between 1 and the size of the database.

    Example: as in `average_precision`, n = 2: (1 + 1/2)/2 = 3/4.
    """
    size = int(counts.total[0].sum())
    n = whole(n, "n")
    if not 1 <= n <= size:
        raise InputError(f"n: found {n}, expected 1 to {size}, the size of the database")
    taken = np.clip(n - _before(counts.total), 0, counts.total)
    precision: np.ndarray = (counts.relevant * (taken / np.maximum(counts.total, 1))).sum(axis=1) / n
    return precision


def precision_recall(counts: Counts, mode: str = "micro") -> tuple[np.ndarray, np.ndarray]:
    """(recall, precision), float64 [K + 1] each: a point a Hamming radius 0..K. No order is involved, so no ties
    either.

    mode "micro": hits of all queries / items retrieved by all queries
    (willard-yuan/hashing-baseline-for-image-retrieval: utils/recall_precision.m). "macro": precision is the mean over
    the queries that retrieve something at that radius, recall the mean over the queries with a relevant item.
    Precision is NaN if no query retrieves anything; recall is NaN if no query has a relevant item. Raises
    InputError on another mode.

    Example: 2 bits, total = [[1, 2, 0], [0, 1, 2]], relevant = [[1, 1, 0], [0, 0, 1]]. Micro: recall [1/3, 2/3, 1],
    precision [1/1, 2/4, 3/6]. Macro: recall [1/4, 1/2, 1], precision [1, (2/3 + 0)/2, (2/3 + 1/3)/2] = [1, 1/3, 1/2].
    """
    if not isinstance(mode, str) or mode not in ("micro", "macro"):
        raise InputError(f"mode: found {brief(mode)}, expected 'micro' or 'macro'")
    hits, retrieved = np.cumsum(counts.relevant, axis=1), np.cumsum(counts.total, axis=1)
    if mode == "micro":
        hits, retrieved = hits.sum(axis=0), retrieved.sum(axis=0)
        return _ratio(hits, hits[-1:]), _ratio(hits, retrieved)
    return _mean_of_known(_ratio(hits, hits[:, -1:])), _mean_of_known(_ratio(hits, retrieved))


def lookup_precision(counts: Counts, radius: int = 2) -> np.ndarray:
    """Precision of a hash lookup, float64 [queries]: relevant share of the items within `radius`.

    A lookup that finds nothing has failed and counts 0, as is usual for this number (unlike `precision_recall`).
    Raises InputError if the radius is not between 0 and the number of bits.

    Example: total = [[1, 2, 0], [0, 1, 2]], relevant = [[1, 1, 0], [0, 0, 1]], radius 0: [1, 0].
    """
    radius = whole(radius, "radius", 0, counts.bits)
    hits, retrieved = (array[:, : radius + 1].sum(axis=1) for array in (counts.relevant, counts.total))
    precision: np.ndarray = hits / np.maximum(retrieved, 1)
    return precision


def _before(counts: np.ndarray) -> np.ndarray:
    """How many lie nearer than each distance."""
    nearer: np.ndarray = np.cumsum(counts, axis=1) - counts
    return nearer


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Column means over the rows that are not NaN, NaN where all are."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))


def _block_sums(
    before: np.ndarray, hits_before: np.ndarray, total: np.ndarray, relevant: np.ndarray, taken: np.ndarray
) -> np.ndarray:
    """Expected sum of hits/rank over the relevant items in the first `taken` places of each block.

    With h = 1/(N + 1) + ... + 1/(N + m), the sum over i <= m of (i - 1)/(N + i) is m - (N + 1) h.
    """
    harmonic = _harmonic(before, taken)
    others = (relevant - 1) / np.maximum(total - 1, 1)
    inner = (hits_before + 1) * harmonic + others * (taken - (before + 1) * harmonic)
    return np.where(relevant > 0, relevant / np.maximum(total, 1) * inner, 0)


def _harmonic(start: np.ndarray, m: np.ndarray) -> np.ndarray:
    """1/(start + 1) + ... + 1/(start + m).

    A difference of digammas loses digits if both are large; there it is the logarithm of the ratio and the
    difference of the first terms of digamma(x + 1/2) = log x + 1/(24 x^2) - 7/(960 x^4) + 31/(8064 x^6) - ...
    """
    start, m = np.asarray(start, np.float64), np.asarray(m, np.float64)
    near = digamma(start + m + 1) - digamma(start + 1)
    low, high = 1 / (start + 0.5) ** 2, 1 / (start + m + 0.5) ** 2

    def tail(x: np.ndarray) -> np.ndarray:
        terms: np.ndarray = x * (1 / 24 - x * (7 / 960 - x * (31 / 8064)))
        return terms

    harmonic: np.ndarray = np.where(start < 64, near, np.log1p(m / (start + 0.5)) + tail(high) - tail(low))
    return harmonic


@kernel
def _given_cut_hits(
    x: int, whole: np.float64, hits_before: np.int64, m: np.int64, harmonic: np.float64, rising: np.float64
) -> float:
    """Expected average precision if the block at the cut has x hits among its m items within k."""
    if hits_before + x == 0:
        return 0.0
    others = (x - 1) / (m - 1) if m > 1 else 0.0
    return (whole + x / m * ((hits_before + 1) * harmonic + others * rising)) / (hits_before + x)


@kernel
def _expected_over_cut(
    whole: np.ndarray,
    hits_before: np.ndarray,
    total: np.ndarray,
    relevant: np.ndarray,
    m: np.ndarray,
    harmonic: np.ndarray,
    rising: np.ndarray,
) -> np.ndarray:
    """Expected (sum of hits/rank within k) / (hits within k); the block at the cut gives its first m of `total` items.

    whole: the expected sum of the blocks before, which is independent of the cut. rising: sum of (i - 1)/(N + i).
    """
    out = np.zeros(len(whole))
    for q in range(len(whole)):
        t, r, size = total[q], relevant[q], m[q]
        least, most = max(0, size - (t - r)), min(size, r)
        mode = min(max((size + 1) * (r + 1) // (t + 2), least), most)
        given = whole[q], hits_before[q], size, harmonic[q], rising[q]
        # From the mode outwards by the ratio of neighbours: no factorials; weights far below the rounding are left out.
        x, weight, weights, expected = mode, 1.0, 0.0, 0.0
        while x <= most and weight > 1e-25:
            weights += weight
            expected += weight * _given_cut_hits(x, *given)
            weight *= (r - x) * (size - x) / ((x + 1) * (t - r - size + x + 1))
            x += 1
        x, weight = mode, 1.0
        while x > least and weight > 1e-25:
            weight *= x * (t - r - size + x) / ((r - x + 1) * (size - x + 1))
            x -= 1
            weights += weight
            expected += weight * _given_cut_hits(x, *given)
        out[q] = expected / weights
    return out
