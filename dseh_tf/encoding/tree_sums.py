"""The compiled loop of `Trees`: which leaf of each tree a row falls into, and the sum of their values."""

from __future__ import annotations

import numpy as np

from dseh_tf.retrieval.kernels import kernel, over_queries


def _sums(inputs, first_tree, roots, feature, threshold, left, right, value, out):
    for row in range(len(inputs)):
        for bit in range(out.shape[1]):
            total = out[row, bit]
            for tree in range(first_tree[bit], first_tree[bit + 1]):
                node = roots[tree]
                while left[node] >= 0:
                    node = left[node] if inputs[row, feature[node]] <= threshold[node] else right[node]
                total += value[node]
            out[row, bit] = total


_sums = kernel(_sums)


def tree_sums(
    inputs: np.ndarray,
    baseline: np.ndarray,
    first_tree: np.ndarray,
    roots: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    value: np.ndarray,
) -> np.ndarray:
    """float64 [n, K]: the baseline plus the value of one leaf a tree, added in the trees' order.

    inputs: float32 [n, p]. The other arrays are those of `dseh_tf.encoding.shallow.Trees`, whose indices are right.
    """
    out = np.tile(baseline, (len(inputs), 1))

    def task(rows: slice) -> None:
        _sums(inputs[rows], first_tree, roots, feature, threshold, left, right, value, out[rows])

    over_queries(task, len(inputs))
    return out
