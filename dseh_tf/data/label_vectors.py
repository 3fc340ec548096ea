"""The distinct label vectors of a data set: what depends on labels alone is computed once for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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


def distinct_rows(labels: np.ndarray) -> DistinctRows:
    """Finds the distinct rows of `labels` [n, c]."""
    vectors, index = np.unique(labels, axis=0, return_inverse=True)
    return DistinctRows(vectors, index.reshape(-1).astype(np.int32))
