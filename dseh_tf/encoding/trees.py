"""FastH's encoder: sums of regression trees, by a compiled loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dseh_tf.arrays import shown
from dseh_tf.encoding.shallow import ShallowEncoder, outside
from dseh_tf.retrieval.kernels import kernel, over_queries

LEVELS = 255  # of a tree's input: eight bits, as in FastH's release, need no binning by the trees


@dataclass(frozen=True, eq=False, kw_only=True)
class Trees(ShallowEncoder):
    """Sums of regression trees, as many for a bit as it has, on quantised projections of the centred row.

    A row's projection on each direction becomes one of `LEVELS` levels between the training rows' extremes. A tree is a
    run of nodes; a row goes to `left` where the level of `feature` is at most `threshold`, else to `right`, until a leaf.

    directions: float64 [d, p]. lowest, step: float64 [p], of the levels. baseline: float64 [K], what a bit's sum begins
    with. roots: int64 [trees], the first node of each. first_tree: int64 [K + 1], bit k has the trees first_tree[k] to
    first_tree[k + 1] - 1. Of the nodes, [N]: feature int64; threshold float64; left and right int64, -1 at a leaf; value
    float64, of a leaf.
    """

    directions: np.ndarray
    lowest: np.ndarray
    step: np.ndarray
    baseline: np.ndarray
    first_tree: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    kind = "trees"
    ARRAYS: ClassVar = {
        "directions": ("f8", "dp"),
        "lowest": ("f8", "p"),
        "step": ("f8", "p"),
        "baseline": ("f8", "K"),
        "first_tree": ("i8", "k"),
        "roots": ("i8", "t"),
        "feature": ("i8", "N"),
        "threshold": ("f8", "N"),
        "left": ("i8", "N"),
        "right": ("i8", "N"),
        "value": ("f8", "N"),
    }

    @property
    def bits(self) -> int:
        return len(self.baseline)

    def project(self, x: np.ndarray) -> np.ndarray:
        seen = levels(self.rows.projected(x, self.directions), self.lowest, self.step)
        nodes = (self.feature, self.threshold, self.left, self.right, self.value)
        return tree_sums(seen, self.baseline, self.first_tree, self.roots, *nodes)

    def fault(self) -> str:
        """The compiled loop checks no index, so each is checked here; a child comes after its parent, so none loops."""
        nodes = len(self.feature)
        inner = np.flatnonzero(self.left >= 0)
        for name in ("left", "right"):
            children = getattr(self, name)[inner]
            if (children <= inner).any() or (children >= nodes).any():
                return f"{name}: found a node that is not among those after its parent, expected one of them"
        counts = self.first_tree
        if len(counts) != self.bits + 1 or counts[0] or counts[-1] != len(self.roots) or (np.diff(counts) < 0).any():
            return f"first_tree: found {shown(counts)}, expected {self.bits + 1} rising numbers from 0 to the number of trees"
        return outside("roots", self.roots, nodes) or outside("feature", self.feature, len(self.lowest))


def levels(projected: np.ndarray, lowest: np.ndarray, step: np.ndarray) -> np.ndarray:
    """float32 [n, p] of whole numbers 0 to LEVELS - 1: how many steps a projection is above the lowest."""
    return np.clip((projected - lowest) // step, 0, LEVELS - 1).astype(np.float32)


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
    """float64 [n, K]: the baseline plus the value of one leaf per tree, added in the trees' order.

    inputs: float32 [n, p]. The other arrays are those of `Trees`, whose indices are right.
    """
    out = np.tile(baseline, (len(inputs), 1))

    def task(rows: slice) -> None:
        _sums(inputs[rows], first_tree, roots, feature, threshold, left, right, value, out[rows])

    over_queries(task, len(inputs))
    return out
