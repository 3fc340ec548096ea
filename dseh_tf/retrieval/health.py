"""Code health: numbers that show how well a set of codes uses its bits. Works in blocks, for millions of rows.

`code_health` measures them; `dseh_tf.retrieval.collapse` decides whether they indicate a problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dseh_tf.arrays import as_array, as_labels, as_packed, as_real, shown
from dseh_tf.errors import InputError, positive
from dseh_tf.retrieval.codes import hamming, words
from dseh_tf.retrieval.groups import LabelGroups, blocks, distinct_codes, equal_rows

NEARLY_CONSTANT = 0.99  # a bit with one value in at least this share of the rows
CORRELATED_ROWS = 1 << 20  # at most this many rows are read for the correlation of bits
COMPARED_VECTORS = 4096  # for at most this many label vectors the nearest other one is looked for
_BLOCK_ROWS = 1 << 16  # float32 sums of 0 and 1 are exact up to 2^24
_BLOCK_PAIRS = 1 << 24


@dataclass(frozen=True)
class CodeHealth:
    """How well codes use their bits. Numbers that are undefined (a distance with one label vector) are None.

    The code of a label vector is the majority of each bit over the rows that have this vector, which minimises the mean
    distance to their codes. The first of these rows decides ties. (The most frequent code would not do: in most data
    sets, all rows of a rare label vector have different codes.) Codes of LabNet have one row per label vector.

    Attributes:
        rows, bits: size of the codes.
        classes: number of classes that some row has.
        single_label: whether each row has exactly one class.
        label_vectors: number of distinct label vectors.
        distinct_codes: number of distinct codes among the rows.
        distinct_vector_codes: number of distinct codes among those of the label vectors.
        top_code_share: share of the rows that have the most frequent code.
        top_label_share: share of the rows that have the most frequent class, or the most frequent label vector if
            that is larger.
        least_distance, nearest_distance, mean_distance: between codes of different label vectors, in bits: the
            smallest one; the mean over label vectors of the distance to the nearest other one; the mean over all pairs.
        compared_vectors: number of label vectors that `least_distance` and `nearest_distance` cover, evenly spaced;
            each is compared with all others.
        constant_bits: number of bits with one value in all rows.
        nearly_constant_bits: number of bits with one value in at least 99 % of the rows, constant ones included.
        mean_balance, worst_balance: mean and maximum over bits of |mean of the bit as ±1|; 0 is balanced, 1 is constant.
        mean_correlation: mean |correlation| of two different bits, constant bits left out; None if fewer than two remain.
        correlated_rows: number of rows that `mean_correlation` was measured on, evenly spaced.
        units, dead_units: number of features, and of those that are 0 in every row; None without features.
    """

    rows: int
    bits: int
    classes: int
    single_label: bool
    label_vectors: int
    distinct_codes: int
    distinct_vector_codes: int
    top_code_share: float
    top_label_share: float
    least_distance: int | None
    nearest_distance: float | None
    mean_distance: float | None
    compared_vectors: int
    constant_bits: int
    nearly_constant_bits: int
    mean_balance: float
    worst_balance: float
    mean_correlation: float | None
    correlated_rows: int
    units: int | None = None
    dead_units: int | None = None

    def record(self) -> dict[str, Any]:
        """The numbers that exist, by name, as result.json stores them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def scalars(self) -> dict[str, float]:
        """What a training curve can show: `record` without the facts of the data."""
        facts = {"rows", "bits", "classes", "single_label", "label_vectors", "top_label_share", "compared_vectors"}
        facts |= {"correlated_rows", "units"}
        return {name: float(value) for name, value in self.record().items() if name not in facts}


def code_health(
    codes: np.ndarray, labels: np.ndarray, bits: int | None = None, features: np.ndarray | None = None
) -> CodeHealth:
    """Measures codes, and optionally the semantic features that they were computed from.

    Args:
        codes: ±1 [n, K], or packed uint8 [n, ceil(K / 8)] with bits=K.
        labels: multi-hot [n, c] of 0 and 1, or class ids [n] or [n, 1].
        bits: K, needed for packed codes only.
        features: real [n, d], or None.

    Returns:
        The numbers. The cost is that of a few sorts of n codes, and of at most 4,096 x label vectors distances.

    Raises:
        InputError: no row, or shapes or values that do not fit.

    Example:
        codes [[1, 1], [1, 1], [1, -1]] of classes 0, 0, 1: two distinct codes for two label vectors, least, nearest and
        mean distance 1, one constant bit, mean_balance (1 + 1/3) / 2.
    """
    packed, bits = as_packed(codes, bits, "codes")
    given = as_array(labels, "labels")
    labels = as_labels(given, "labels")
    n = len(packed)
    if not n:
        raise InputError("codes: found no row, expected at least one")
    if len(labels) != n:
        raise InputError(f"labels: found {shown(given)}, expected multi-hot [{n}, classes] or class ids [{n}]")
    if features is not None:
        features = as_real(features, "features")
        if features.ndim != 2 or len(features) != n:
            raise InputError(f"features: found {shown(features)}, expected [{n}, units]")
    return _measured([(packed, labels)], bits, features)


def code_health_shards(shards: Iterable[tuple[np.ndarray, np.ndarray]], bits: int) -> CodeHealth:
    """Like `code_health`, for a database in parts (packed codes, labels), with bit-identical results.

    The parts are read three times or more, so `shards` must be iterable repeatedly. In addition to one part, about 300
    MiB are held in memory, and 8 bytes per bit and distinct label vector.
    """
    return _measured(shards, positive(bits, "bits"), None)


def _measured(shards: Iterable[tuple[np.ndarray, np.ndarray]], bits: int, features: np.ndarray | None) -> CodeHealth:
    groups, n = LabelGroups(bits), 0
    for packed, labels in blocks(shards):
        groups.add(packed, labels)
        n += len(packed)
    if not n:
        raise InputError("codes: found no row, expected at least one")
    groups.finish()
    if groups.by_id:
        classes, single_label, top_class = len(groups.sizes), True, groups.sizes.max()
    else:
        vectors = groups.vectors()
        classes, single_label = int(vectors.any(axis=0).sum()), bool((vectors.sum(axis=1) == 1).all())
        top_class = (groups.sizes @ vectors).max()
    ones, majority = groups.ones.sum(axis=0), groups.majority()
    distinct, largest = distinct_codes(lambda: (packed for packed, _ in blocks(shards)), n, majority.shape[1])
    least, nearest, compared = _nearest(majority)
    balance = np.abs(2 * ones / n - 1)
    sample = _chosen_rows((packed for packed, _ in blocks(shards)), _spaced(n, CORRELATED_ROWS))
    mac = mean_absolute_correlation(packed_correlation([sample], bits))
    return CodeHealth(
        rows=n,
        bits=bits,
        classes=classes,
        single_label=single_label,
        label_vectors=len(majority),
        distinct_codes=distinct,
        distinct_vector_codes=len(equal_rows(words(majority))[2]),
        top_code_share=float(largest / n),
        top_label_share=float(max(top_class / n, groups.sizes.max() / n)),
        least_distance=least,
        nearest_distance=nearest,
        mean_distance=_mean_distance(_unpacked(majority, bits)),
        compared_vectors=compared,
        constant_bits=int(((ones == 0) | (ones == n)).sum()),
        nearly_constant_bits=int((np.maximum(ones, n - ones) >= NEARLY_CONSTANT * n).sum()),
        mean_balance=float(balance.mean()),
        worst_balance=float(balance.max()),
        mean_correlation=None if np.isnan(mac) else mac,
        correlated_rows=len(sample),
        units=None if features is None else features.shape[1],
        dead_units=None if features is None else dead_units(features),
    )


def _chosen_rows(parts: Iterable[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The given rows, in ascending order, of codes that come in parts."""
    found, begin = [], 0
    for packed in parts:
        within = slice(*np.searchsorted(rows, (begin, begin + len(packed))))
        found.append(packed[rows[within] - begin])
        begin += len(packed)
    return np.concatenate(found)


def dead_units(features: np.ndarray) -> int:
    """The number of columns of features [n, d] that are 0 in every row."""
    return int((~np.any(features, axis=0)).sum())


def correlation(codes: np.ndarray) -> np.ndarray:
    """float64 [K, K]: |corr(bit i, bit j)| of codes [n, K] with values 0 and 1; NaN for a constant bit.

    Bits are counted, not averaged in floating point: the sums are exact for n <= 2^26 rows.
    """
    return _correlation([codes], codes.shape[1])


def packed_correlation(parts: Iterable[np.ndarray], bits: int) -> np.ndarray:
    """Like `correlation`, of packed codes that come in parts."""
    blocks_of = (part[begin : begin + _BLOCK_ROWS] for part in parts for begin in range(0, len(part), _BLOCK_ROWS))
    return _correlation((_unpacked(block, bits) for block in blocks_of), bits)


def _correlation(parts: Iterable[np.ndarray], bits: int) -> np.ndarray:
    both, n = np.zeros((bits, bits)), 0
    for codes in parts:
        for start in range(0, len(codes), _BLOCK_ROWS):
            block = codes[start : start + _BLOCK_ROWS].astype(np.float32)
            both += block.T @ block
        n += len(codes)
    ones = np.diag(both)
    covariance = n * both - np.outer(ones, ones)
    variance = np.diag(covariance)
    scale = np.sqrt(np.outer(variance, variance))
    return np.divide(np.abs(covariance), scale, out=np.full_like(scale, np.nan), where=scale > 0)


def mean_absolute_correlation(matrix: np.ndarray) -> float:
    """The mean of a `correlation` matrix off the diagonal, NaN entries left out; NaN where nothing remains.

    It is called mAC on the DSAH poster: 0 for independent bits, 1 for copies of one bit.
    """
    values = matrix[~np.eye(len(matrix), dtype=bool)]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """uint8 [n, bits] of 0 and 1."""
    return np.unpackbits(packed, axis=1, count=bits, bitorder="little")


def _spaced(n: int, most: int) -> np.ndarray:
    """At most `most` of the row numbers 0 to n - 1, evenly spaced."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def _nearest(codes: np.ndarray) -> tuple[int | None, float | None, int]:
    """Least distance, mean distance to the nearest other code, and the number of codes they cover; codes packed."""
    if len(codes) < 2:
        return None, None, len(codes)
    rows = _spaced(len(codes), COMPARED_VECTORS)
    block = max(1, _BLOCK_PAIRS // len(codes))
    nearest = []
    for start in range(0, len(rows), block):
        asked = rows[start : start + block]
        distances = hamming(codes[asked], codes)
        distances[np.arange(len(asked)), asked] = np.iinfo(distances.dtype).max
        nearest.append(distances.min(axis=1))
    found = np.concatenate(nearest)
    return int(found.min()), float(found.mean()), len(rows)


def _mean_distance(codes: np.ndarray) -> float | None:
    """Mean distance of all pairs of codes [n, K] of 0 and 1: each bit adds its pairs of a 0 and a 1."""
    n = len(codes)
    if n < 2:
        return None
    ones = codes.sum(axis=0, dtype=np.float64)
    return float((ones * (n - ones)).sum() / (n * (n - 1) / 2))
