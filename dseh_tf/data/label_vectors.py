"""The distinct label vectors of a data set: whatever depends only on labels is computed once for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseh_tf.arrays import as_array, shown
from dseh_tf.errors import InputError

_BLOCK = 1024
_BLOCK_CELLS = 1 << 20  # of `similar_sums`: 13 MB at a time


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of a label matrix.

    Attributes:
        vectors: uint8 [v, c], sorted.
        index: int32 [n], the row of `vectors` that each label row equals.
    """

    vectors: np.ndarray
    index: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """int64 [v], how many label rows equal each vector."""
        return np.bincount(self.index, minlength=len(self.vectors))

    def similar_pairs(self) -> float:
        """The number of ordered pairs of rows that share a label; a row with a label pairs with itself too."""
        return similar_pairs(self.vectors, self.counts)


def similar_pairs(vectors: np.ndarray, weights: np.ndarray) -> float:
    """The sum of w_i w_j over ordered pairs (i, j) of label vectors [v, c] that share a label; i = j included."""
    weights, vectors = weights.astype(np.float64), vectors.astype(np.float32)
    return sum(
        float(weights[first : first + _BLOCK] @ ((vectors[first : first + _BLOCK] @ vectors.T > 0.5) @ weights))
        for first in range(0, len(vectors), _BLOCK)
    )


def similar_sums(vectors: np.ndarray, others: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each label vector the sum of the values of those among `others` that share a label with it.

    No [v, w] matrix is held: it is made and used block by block.

    Args:
        vectors: [v, c] of 0 and 1.
        others: [w, c] of 0 and 1.
        values: [w, k].

    Returns:
        float64 [v, k].
    """
    sums = np.zeros((len(vectors), values.shape[1]))
    columns, values = others.astype(np.float32).T, values.astype(np.float64)
    block = max(1, _BLOCK_CELLS // max(1, len(others)))
    for first in range(0, len(vectors), block):
        shared = vectors[first : first + block].astype(np.float32) @ columns > 0.5
        sums[first : first + block] = shared.astype(np.float64) @ values
    return sums


def distinct_rows(labels: np.ndarray) -> DistinctRows:
    """Finds the distinct rows of multi-hot labels uint8 [n, c], as a split has them. Raises InputError on class ids."""
    labels = as_array(labels, "labels")
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or (labels.size and labels.max() > 1):
        raise InputError(f"labels: found {shown(labels)}, expected multi-hot [n, classes] of 0 and 1")
    if not labels.size:
        vectors, index = np.unique(labels, axis=0, return_inverse=True)
        return DistinctRows(vectors, index.reshape(-1).astype(np.int32))
    # Eight labels a byte, the first as the highest bit: bytes sort as the rows do, and a hundred times faster.
    packed = np.packbits(labels, axis=1)
    rows = packed.view(f"V{packed.shape[1]}").reshape(-1)
    _, first, index = np.unique(rows, return_index=True, return_inverse=True)
    return DistinctRows(labels[first], index.reshape(-1).astype(np.int32))


def check_similarities(rows: DistinctRows) -> None:
    """Raises InputError if labels have no similarity to learn: every two training rows share a label, or no two do."""
    count = len(rows.index)
    similar = rows.similar_pairs() - float(rows.counts[rows.vectors.any(axis=1)].sum())
    if similar >= count * (count - 1):
        raise InputError(
            f"train labels: found a common label in every two of the {count} rows, expected rows without one: "
            "no similarity can be learned"
        )
    if similar <= 0:
        raise InputError(
            f"train labels: found no two of the {count} rows with a common label, expected at least one such pair: "
            "no similarity can be learned"
        )
