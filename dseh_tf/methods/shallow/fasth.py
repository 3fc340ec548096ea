"""FastH: the bits of the training rows are inferred block by block, then boosted trees learn to reproduce them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse.linalg
from sklearn.ensemble import HistGradientBoostingClassifier

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding.trees import LEVELS, Trees, levels
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import (
    Preparation,
    ShallowFitted,
    principal_directions,
    random_stream,
    shallow_fitted,
    signs,
    training_rows,
)
from dseh_tf.methods.shallow.kernels import LabelSimilarity, labelled_subset

# Of scikit-learn's nodes.
_NODE = {
    "leaf": "is_leaf",
    "feature": "feature_idx",
    "threshold": "num_threshold",
    "left": "left",
    "right": "right",
    "value": "value",
}


@dataclass(frozen=True)
class FastHSettings:
    """rounds, depth: of the trees of a bit. sweeps: over the blocks. As in the authors' fasthash_demo.m (200, 4, 2).

    learning_rate: shrinkage of the trees. components: principal directions that the trees see. block_rows: most rows
    of a block. labelled: most rows in the pairwise objective, drawn at random where there are more. normalise: rows
    to unit length. These are ours; the learning rate and the components were chosen on held-out training photographs.
    """

    rounds: int = 200
    depth: int = 4
    sweeps: int = 2
    learning_rate: float = 0.3
    components: int = 128
    block_rows: int = 2000
    labelled: int = 20_000
    normalise: bool = True


class FastH(Method):
    """min ||K S - sum_k z_k z_k^T||^2, one bit at a time: infer z_k, fit trees to it, go on from what the trees say.

    Lin et al., CVPR 2014, with the KSH loss (eq. 5); blocks are the rows of one class, which are similar to each
    other, so each block is a submodular problem. Where it departs from the paper and its release (chhshen/fasthash on
    Bitbucket):
    - no graph cut: a block is solved by iterated conditional modes from all +1, from all -1 and from its current state,
      the best kept. Within a block the coupling is never negative, so the first two bound every optimum from above
      and below; where they meet, the block is solved exactly (`results["blocks_exact"]` is the share). The loss never
      rises.
    - a bit starts at the signs of the residual's leading eigenvector, not at all ones.
    - trees by gradient boosting on the logistic loss (scikit-learn, binned features), not AdaBoost with weight
      trimming; rows weigh by the sum of their absolute couplings, as in the release.
    - trees see the leading principal directions instead of a random 200 of all features per node: 4,096 features and 64
      bits then take minutes on two cores.
    """

    name = "fasth"
    Settings = FastHSettings
    LEAST: ClassVar = dict.fromkeys(("rounds", "depth", "sweeps", "components", "block_rows", "labelled"), 1)
    POSITIVE: ClassVar = ("learning_rate",)

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Reads training features and labels. `results["objective"]`: ||K S - Z Z^T||^2 / ||K S||^2 before, and after
        each bit as the trees give it; `results["tree_accuracy"]`: share of inferred signs that the trees of a bit
        reproduce."""
        cfg = self.settings
        train = training_rows(dataset)
        preparation = Preparation(train, cfg.normalise)
        directions, _ = principal_directions(train, preparation, cfg.components)
        used = labelled_subset(dataset.train.labels, cfg.labelled, random_stream(self.seed, 1))
        projected = preparation.projected(train[used], directions)
        lowest, step = projected.min(axis=0), np.ptp(projected, axis=0) / LEVELS

        inputs = levels(projected, lowest, step)
        labels = dataset.train.labels[used]
        similarity = LabelSimilarity(labels)
        blocks = similar_blocks(labels, cfg.block_rows, random_stream(self.seed, 2))

        n = len(used)
        codes = np.zeros((n, self.bits))
        trees, accuracy, objective, exact, inferred = [], [], [1.0], [], []
        for k in range(self.bits):
            done = codes[:, :k]
            start = leading_signs(similarity, done, self.bits, random_stream(self.seed, 100 + k))
            target, solved = infer_bit(similarity, done, self.bits, start, blocks, cfg.sweeps)
            # |K S_ij - z_i . z_j| = K - S_ij z_i . z_j, for the codes so far are shorter than K
            weights = self.bits * n - np.einsum("ik,ik->i", done, similarity @ done) if k else np.full(n, 1.0)
            tree = (
                _boosted_trees(cfg, self.seed).fit(inputs, target, weights / weights.mean()) if np.ptp(target) else None
            )
            codes[:, k] = target if tree is None else tree.predict(inputs)
            gain = codes[:, k] @ residual_product(similarity, done, self.bits, codes[:, k])
            objective.append(float(objective[-1] - (2 * gain - n * n) / (self.bits * n) ** 2))
            accuracy.append(float(np.mean(codes[:, k] == target)))
            trees.append(tree if tree is not None else float(target[0]))
            exact.append(solved)
            inferred.append(target.astype(np.int8))

        arrays = {"directions": directions, "lowest": lowest, "step": step, **tree_arrays(trees)}
        fitted = shallow_fitted(dataset.train, preparation, Trees, **arrays)
        if directions.shape[1] < cfg.components:
            fitted.note(f"{directions.shape[1]} principal directions, all there are, instead of {cfg.components}")
        if n < len(train):
            fitted.note(f"{n} of {len(train)} training rows, drawn at random, are learnt from")
        fitted.results.update(objective=objective, tree_accuracy=accuracy, blocks_exact=float(np.mean(exact)))
        fitted.learned["inferred"] = np.stack(inferred, axis=1)
        return fitted


def _boosted_trees(cfg: FastHSettings, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=cfg.rounds,
        max_depth=cfg.depth,
        max_leaf_nodes=2**cfg.depth,
        learning_rate=cfg.learning_rate,
        max_bins=255,
        early_stopping=False,
        random_state=seed,
    )


def tree_arrays(trees: Sequence[HistGradientBoostingClassifier | float]) -> dict[str, np.ndarray]:
    """The nodes of all trees in the arrays of `Trees`; a number stands for a bit without trees that always has it.

    scikit-learn keeps them in a private place (scikit-learn/scikit-learn:_hist_gradient_boosting/predictor.py); its own
    `decision_function` adds the leaves in the same order.
    """
    counts, baseline, nodes = [], [], []
    for tree in trees:
        predictors: list[Any] = []
        if isinstance(tree, float):
            baseline.append(tree)
        else:
            baseline.append(tree._baseline_prediction.item())
            predictors = [predictor for (predictor,) in tree._predictors]
        counts.append(len(predictors))
        nodes += [predictor.nodes for predictor in predictors]
    roots = np.cumsum([0, *map(len, nodes)])
    first = np.repeat(roots[:-1], np.diff(roots))
    every = {name: np.concatenate([n[field] for n in nodes]) if nodes else np.zeros(0) for name, field in _NODE.items()}
    leaf = every["leaf"].astype(bool)
    return {
        "baseline": np.array(baseline),
        "first_tree": np.cumsum([0, *counts]).astype(np.int64),
        "roots": roots[:-1].astype(np.int64),
        "feature": np.where(leaf, 0, every["feature"]).astype(np.int64),
        "threshold": np.where(leaf, 0, every["threshold"]).astype(np.float64),
        "left": np.where(leaf, -1, first + every["left"]).astype(np.int64),
        "right": np.where(leaf, -1, first + every["right"]).astype(np.int64),
        "value": every["value"].astype(np.float64),
    }


def similar_blocks(labels: np.ndarray, most: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers in blocks whose rows all share a label: one block per class, larger ones cut at random into equal
    parts.

    Rows with several labels are in several blocks; rows without any are alone.
    """
    blocks = []
    for column in labels.T:
        rows = rng.permutation(np.flatnonzero(column))
        if len(rows):
            blocks += [np.sort(part) for part in np.array_split(rows, -(-len(rows) // most))]
    return blocks + [np.array([row]) for row in np.flatnonzero(~labels.any(axis=1))]


def residual_product(similarity: LabelSimilarity, done: np.ndarray, bits: int, v: np.ndarray) -> np.ndarray:
    """(K S - Z Z^T) v, [n], Z the bits so far."""
    return bits * (similarity @ v) - done @ (done.T @ v)


def leading_signs(similarity: LabelSimilarity, done: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """±1 float64 [n]: signs of the leading eigenvector of the residual, loosely converged."""
    n = len(similarity)
    if n < 3:
        return signs(rng.standard_normal(n)).astype(np.float64)
    operator = scipy.sparse.linalg.LinearOperator(
        (n, n), matvec=lambda v: residual_product(similarity, done, bits, v.reshape(-1)), dtype=np.float64
    )
    start = rng.standard_normal(n)
    try:
        vector = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", v0=start, tol=1e-2, maxiter=50)[1][:, 0]
    except scipy.sparse.linalg.ArpackNoConvergence:
        vector = residual_product(similarity, done, bits, start)
    return signs(vector * np.sign(vector[np.abs(vector).argmax()])).astype(np.float64)


def infer_bit(
    similarity: LabelSimilarity, done: np.ndarray, bits: int, start: np.ndarray, blocks: list[np.ndarray], sweeps: int
) -> tuple[np.ndarray, float]:
    """±1 [n] raising z^T (K S - Z Z^T) z from `start`, block by block, and the share of blocks solved exactly.

    Given the rows outside, a block is the problem max u^T z + z^T C z / 2 with a coupling C >= 0 (its rows are
    similar, and fewer than K bits are done). See FastH for how it is solved.
    """
    z = start.copy()
    pull = residual_product(similarity, done, bits, z)
    solved = []
    for _ in range(sweeps):
        before = z.copy()
        for block in blocks:
            coupling = bits - done[block] @ done[block].T if len(block) > 1 else np.zeros((1, 1))
            np.fill_diagonal(coupling, 0)
            # Rows without labels are in blocks of one; their own term z_i^2 is constant and left out like every
            # diagonal.
            outside = pull[block] - coupling @ z[block] - _diagonal(similarity, done, bits, block) * z[block]
            found, agree = solve_block(coupling, outside, z[block])
            solved.append(agree)
            changed = found - z[block]
            if changed.any():
                step = np.zeros_like(z)
                step[block] = changed
                pull += residual_product(similarity, done, bits, step)
                z[block] = found
        if np.array_equal(before, z):
            break
    return z, float(np.mean(solved))


def _diagonal(similarity: LabelSimilarity, done: np.ndarray, bits: int, rows: np.ndarray) -> np.ndarray:
    """The residual's diagonal entries at `rows`."""
    own = similarity.matrix.diagonal()[similarity.inverse[rows]]
    return bits * own - done.shape[1]


def solve_block(coupling: np.ndarray, outside: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, bool]:
    """±1 [b] maximising u^T z + z^T C z / 2 as far as conditional modes reach, never below `current`; and whether
    exact.

    coupling: C [b, b] >= 0 with a zero diagonal; outside: u [b]. From all +1, updating all rows at once only ever
    lowers entries, so it ends at the greatest fixed point; from all -1 at the least. Every optimum lies between the
    two.
    """

    def value(z: np.ndarray) -> float:
        return float(outside @ z + z @ (coupling @ z) / 2)

    def settle(z: np.ndarray, tie: int) -> np.ndarray:
        while True:
            field = outside + coupling @ z
            following = np.where(field > 0, 1.0, np.where(field < 0, -1.0, tie))
            if np.array_equal(following, z):
                return z
            z = following

    highest, lowest = settle(np.ones(len(outside)), 1), settle(-np.ones(len(outside)), -1)
    agree = np.array_equal(highest, lowest)
    return max((highest, lowest, current), key=value) if not agree else highest, agree
