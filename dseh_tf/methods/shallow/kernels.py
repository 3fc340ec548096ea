"""Radial basis features on anchors, and label similarity as an operator, for the supervised shallow methods."""

from __future__ import annotations

import numpy as np

from dseh_tf.encoding.shallow import BLOCK_ROWS, squared_distances


def blockwise_squared_distances(x: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """`squared_distances` of many rows, without a float64 copy of all of them."""
    return np.concatenate(
        [squared_distances(x[start : start + BLOCK_ROWS], anchors) for start in range(0, len(x), BLOCK_ROWS)]
    )


def choose_anchors(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[m, d]: m = min(count, n) rows drawn without replacement."""
    return x[np.sort(rng.choice(len(x), min(count, len(x)), replace=False))]


class LabelSimilarity:
    """S [n, n] of +1 (rows share a label) and -1 (they do not), kept as the S of the distinct label vectors only.

    n rows with D distinct label vectors take D^2 float32 instead of n^2, and S @ v costs n + D^2: the same numbers, for
    S_ij depends on the two label vectors alone. A row counts as similar to itself only if it has a label.

    labels: uint8 multi-hot [n, c].
    """

    def __init__(self, labels: np.ndarray) -> None:
        distinct, inverse = np.unique(labels, axis=0, return_inverse=True)
        self.inverse = inverse.reshape(-1)
        self.distinct = distinct
        shared = distinct.astype(np.float32) @ distinct.astype(np.float32).T
        self.matrix = np.where(shared > 0, np.float32(1), np.float32(-1))
        self._order = np.argsort(self.inverse, kind="stable")
        self._starts = np.searchsorted(self.inverse[self._order], np.arange(len(distinct)))

    def __len__(self) -> int:
        return len(self.inverse)

    def group_sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of the rows of `values` [n, ...] over equal label vectors, [D, ...]."""
        return np.add.reduceat(values[self._order], self._starts, axis=0)

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        """S @ values, float64 [n] or [n, k]; the product is taken in float32."""
        return self._times_sums(values)[self.inverse].astype(np.float64)

    def quadratic(self, values: np.ndarray) -> np.ndarray:
        """values^T S values, [k, k] of values [n, k]."""
        return self.group_sums(values).T @ self._times_sums(values).astype(np.float64)

    def _times_sums(self, values: np.ndarray) -> np.ndarray:
        return self.matrix @ self.group_sums(values).astype(np.float32)


def labelled_subset(labels: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers used for the pairwise objective: all, or `limit` drawn at random if there are more."""
    if len(labels) <= limit:
        return np.arange(len(labels))
    return np.sort(rng.choice(len(labels), limit, replace=False))


def ksh_loss(similarity: LabelSimilarity, codes: np.ndarray) -> float:
    """Mean over all ordered pairs of (S_ij - <b_i, b_j> / K)^2, without an n x n matrix. codes: ±1 [n, K].

    KSH, Liu et al., CVPR 2012, eq. 6, divided by the number of pairs.
    """
    codes = codes.astype(np.float64)
    n, bits = codes.shape
    gram = codes.T @ codes
    cross = np.trace(similarity.quadratic(codes))
    return float(1 - 2 * cross / (bits * n * n) + (gram**2).sum() / (bits * n) ** 2)
