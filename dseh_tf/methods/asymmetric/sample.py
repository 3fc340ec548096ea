"""Similarities between sampled rows and a whole database, by distinct label vectors.

S_ij is 1 if the sampled row i and the database row j share a label, and -r elsewhere, where r is the number of similar
pairs over that of dissimilar ones: both kinds of pairs have the same total weight. Rows with equal labels have equal
columns of S, so that sums over the database's rows are sums over its distinct label vectors. No matrix of
sampled x database rows exists.
"""

from __future__ import annotations

import numpy as np

from dseh_tf.data.label_vectors import DistinctRows, similar_sums
from dseh_tf.errors import InputError

_BLOCK_ROWS = 8192


class Sample:
    """m sampled rows of a database of n rows.

    Source: jiangqy/ADSH-AAAI2018:ADSH_pytorch/ADSH_CIFAR_10.py (calc_sim).

    Attributes:
        rows: int64 [m], the sampled rows.
        database: The label vectors of all rows.
        ratio: r.
    """

    def __init__(self, database: DistinctRows, rows: np.ndarray) -> None:
        """Counts the pairs. Raises InputError if all are similar, so that r does not exist."""
        self.database, self.rows = database, rows
        self._present, self._index = np.unique(database.index[rows], return_inverse=True)
        self._vectors = database.vectors[self._present]
        self._similar = similar_sums(self._vectors, database.vectors, database.counts[:, None])[:, 0]
        pairs = float(len(rows)) * len(database.index)
        similar = float(self._similar @ np.bincount(self._index))
        if similar >= pairs:
            raise InputError(
                f"sample: found a common label in every pair of the {len(rows)} sampled and the {len(database.index)} "
                "database rows, expected pairs without one: no similarity can be learned"
            )
        self.ratio = similar / (pairs - similar)

    def constants(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the loss needs of the database while its codes are fixed.

        Args:
            codes: V, int8 [n, K].

        Returns:
            V^T V [K, K]; for each sampled row sum_j S_ij v_j [m, K] and sum_j S_ij^2 [m]; float64.
        """
        sums = summed(codes, self.database.index, len(self.database.vectors))
        targets = self._soft(similar_sums(self._vectors, self.database.vectors, sums), sums.sum(axis=0))
        squares = self._similar + self.ratio**2 * (len(self.database.index) - self._similar)
        return gram(codes), targets[self._index], squares[self._index]

    def products(self, outputs: np.ndarray) -> np.ndarray:
        """S^T U, a row for each distinct label vector of the database.

        Args:
            outputs: U, [m, K].

        Returns:
            float64 [v, K].
        """
        sums = summed(outputs, self._index, len(self._vectors))
        return self._soft(similar_sums(self.database.vectors, self._vectors, sums), sums.sum(axis=0))

    def _soft(self, similar: np.ndarray, everything: np.ndarray) -> np.ndarray:
        """Sums weighted by S, from those over similar rows and over all rows."""
        return (1.0 + self.ratio) * similar - self.ratio * everything


def summed(values: np.ndarray, index: np.ndarray, groups: int) -> np.ndarray:
    """float64 [groups, k]: the sums of the rows of `values` [n, k] with equal `index` [n]."""
    columns = [np.bincount(index, weights=column, minlength=groups) for column in values.T]
    return np.stack(columns, axis=1)


def gram(codes: np.ndarray) -> np.ndarray:
    """V^T V float64 [K, K] of codes int8 [n, K]. It is exact: float32 holds the integers of a block."""
    found = np.zeros((codes.shape[1], codes.shape[1]))
    for start in range(0, len(codes), _BLOCK_ROWS):
        part = codes[start : start + _BLOCK_ROWS].astype(np.float32)
        found += part.T @ part
    return found
