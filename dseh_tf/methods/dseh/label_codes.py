"""Hash codes for label vectors: near for similar vectors, apart for all others, and predictable from images.

This is our method, not the paper's. DSEH's LabNet learns label codes from a likelihood of pairs. The likelihood weights
all pairs equally, so similar pairs are outweighed if they are few, and it does not consider the images from which
ImgNet must predict the codes. Here the codes solve a least-squares problem directly,

    minimise  sum_ij w_ij (<h_i, h_j> / K - t_ij)^2  +  r sum_ij v_i v_j max(0, <h_i, h_j> / K - limit)^2

over codes h_i in {-1, +1}^K of the distinct label vectors i. v_i is the weight of vector i (its training rows, those of
rare classes counting more), and

    t_ij = offset + similarity [i and j share a label] + affinity <z_i, z_j>,    |z_i| = 1,

clipped to [-1, 1], where z_i is the embedding of vector i in the space of image features (`LabelEmbedding`), or the vector
itself where no features are known. `offset` makes the weighted mean of t zero, which is what balanced bits have.
w_ij = v_i v_j, times the ratio of dissimilar to similar pairs (at most 100, at least 1 / 100) where i and j are similar, so
that both kinds of pairs weigh the same. The second sum, over dissimilar pairs, keeps codes apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from dseh_tf.data.label_vectors import DistinctRows, similar_pairs
from dseh_tf.retrieval.kernels import kernel
from dseh_tf.seeding import generator

SWEEPS = 20
_MOST_RATIO = 100.0  # of the weights of similar and dissimilar pairs
_SEPARATION = 30.0  # r
_EMBEDDED_ROWS = 20_000
_RIDGE, _SHRINKAGE = 5.0, 0.1


@dataclass(frozen=True)
class CodeTargets:
    """What the inner products of label codes are drawn to.

    Attributes:
        similarity: Added to t where two vectors share a label.
        affinity: Weight of the cosine of two vectors' embeddings.
        distance: Least Hamming distance between codes of dissimilar vectors, as a fraction of the bits.
        class_balance: b in [0, 1]. A row weighs as the mean over its labels of n_c ** -b, n_c the rows of class c: 0 for all
            rows alike, 1 for all classes alike where a row has one label.
    """

    similarity: float = 0.5
    affinity: float = 0.7
    distance: float = 0.31
    class_balance: float = 0.5


class LabelEmbedding:
    """Embeds label vectors in the space of image features.

    Ridge regression of the features on the labels, after which the directions are scaled by the features' deviations
    around that regression: two label vectors are near where their images are hard to tell apart.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Fits the embedding, to 20,000 evenly spaced rows if there are more.

        Args:
            features: float [n, d].
            labels: [n, c] of 0 and 1.
        """
        if len(labels) > _EMBEDDED_ROWS:
            rows = np.linspace(0, len(labels) - 1, _EMBEDDED_ROWS).astype(np.int64)
            features, labels = features[rows], labels[rows]
        labels = labels.astype(np.float64)
        self.mean = labels.mean(axis=0)
        centred, x = labels - self.mean, features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
        gram = centred.T @ centred + _RIDGE * np.eye(labels.shape[1])
        weights = np.linalg.solve(gram, centred.T @ x)  # [c, d]
        rest = x - centred @ weights
        covariance = rest.T @ rest / len(rest)
        scale = _SHRINKAGE * np.trace(covariance) / len(covariance)
        covariance[np.diag_indices_from(covariance)] += scale if scale > 0 else 1.0
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), weights.T).T
        self.weights = np.asarray(
            np.linalg.qr(whitened.T, mode="r")
        ).T  # the same inner products in at most c dimensions

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Unit vectors float32 [n, min(c, d)] of label vectors [n, c]; zero for a vector without direction."""
        return unit_rows((labels.astype(np.float64) - self.mean) @ self.weights)


def unit_rows(values: np.ndarray) -> np.ndarray:
    """The rows of `values` [n, d] at length 1, float32; rows of zeros stay zero."""
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    return (values / np.maximum(lengths, 1e-12)).astype(np.float32)


def solve_label_codes(
    rows: DistinctRows,
    bits: int,
    targets: CodeTargets,
    embedded: np.ndarray | None = None,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Solves the problem above by coordinate descent, bit by bit and vector by vector.

    Every flip lowers the objective; the descent ends after a sweep that flips less than one bit in 10,000, or after
    `SWEEPS`. A sweep takes v^2 K steps; no v x v matrix is held.

    Args:
        rows: The distinct label vectors of the training rows.
        bits: K.
        targets: Where the inner products are drawn to.
        embedded: float32 [v, e], unit embeddings of the vectors (`LabelEmbedding`); None leaves the affinity out.
        start: int8 ±1 [v, K] to start from; None for random signs.
        seed: Seed of the start and of the order of the descent.

    Returns:
        int8 ±1 [v, K].
    """
    rng = generator(seed, "label codes")
    count = len(rows.vectors)
    if start is None:
        start = np.where(rng.random((count, bits)) < 0.5, 1, -1)
    codes = np.ascontiguousarray(start.T.astype(np.float32))  # [K, v]: the inner loops run over the vectors
    z = np.zeros((count, 1), np.float32) if embedded is None else np.ascontiguousarray(embedded, np.float32)
    share = _shares(rows, targets.class_balance)
    words = _words(rows.vectors)
    offset, ratio = _balance(rows, share, z, targets)
    limit = bits - 2 * max(1, round(targets.distance * bits))
    for _ in range(SWEEPS):
        flips = _sweep(
            codes,
            words,
            z,
            share.astype(np.float32),
            rng.permutation(count),
            np.float32(targets.similarity),
            np.float32(targets.affinity),
            np.float32(offset),
            np.float32(ratio),
            np.float32(limit),
            np.float32(_SEPARATION),
        )
        if flips <= 1e-4 * codes.size:
            break
    return _without_shared_codes(codes.T.astype(np.int8), rows)


def _without_shared_codes(codes: np.ndarray, rows: DistinctRows) -> np.ndarray:
    """Moves vectors whose code equals that of a dissimilar vector to the nearest free code, one or two bits away.

    The vector with the most rows keeps the code. If no such code is free, the vectors continue to share one.
    """
    codes = codes.copy()
    bits = codes.shape[1]
    taken = {code.tobytes() for code in codes}
    flips = [(k,) for k in range(bits)] + list(combinations(range(bits), 2))
    keepers: dict[bytes, list[int]] = {}
    for i in np.argsort(-rows.counts, kind="stable"):
        others = keepers.setdefault(codes[i].tobytes(), [])
        if any(not (rows.vectors[i] & rows.vectors[j]).any() for j in others):
            for flip in flips:
                moved = codes[i].copy()
                moved[list(flip)] *= -1
                if moved.tobytes() not in taken:
                    taken.add(moved.tobytes())
                    codes[i] = moved
                    break
        keepers.setdefault(codes[i].tobytes(), []).append(int(i))
    return codes


def _shares(rows: DistinctRows, balance: float) -> np.ndarray:
    """The weight of each vector float64 [v], of sum 1; a vector without a label weighs as one of the commonest class."""
    of_class = np.maximum(rows.counts @ rows.vectors, 1).astype(np.float64)  # rows of each class
    labels = rows.vectors.sum(axis=1)
    rarity = rows.vectors @ of_class**-balance / np.maximum(labels, 1)
    rarity[labels == 0] = of_class.max() ** -balance
    weights = rows.counts * rarity
    return weights / weights.sum()


def _balance(rows: DistinctRows, share: np.ndarray, z: np.ndarray, targets: CodeTargets) -> tuple[float, float]:
    """(offset, ratio): what makes the weighted mean of t zero, and the weight of similar pairs against dissimilar ones.

    Both are over pairs of rows. A pair of rows with the same vector has t = 1, whatever the codes.
    """
    equal = float(np.square(share).sum())
    labelled = rows.vectors.any(axis=1)
    similar = similar_pairs(rows.vectors, share) - float(np.square(share[labelled]).sum())
    cosine = float(np.square(z.T @ share).sum()) - float(np.square(share) @ np.square(z).sum(axis=1))
    others = max(1.0 - equal, 1e-12)
    offset = -(equal + targets.similarity * similar + targets.affinity * cosine) / others
    ratio = (others - similar) / similar if similar > 0 else 1.0
    return max(offset, -1.0), min(max(ratio, 1.0 / _MOST_RATIO), _MOST_RATIO)


def _words(vectors: np.ndarray) -> np.ndarray:
    """uint64 [v, ceil(c / 64)]: the labels of each vector as bits."""
    count, classes = vectors.shape
    padded = np.zeros((count, -(-classes // 64) * 64), np.uint8)
    padded[:, :classes] = vectors
    return np.packbits(padded, axis=1).view(np.uint64)


@partial(kernel, fastmath={"reassoc", "contract", "nsz"})
def _sweep(codes, words, z, share, order, similarity, affinity, offset, ratio, limit, separation):  # pragma: no cover
    """One pass over all vectors; flips bits of `codes` in place and returns how many."""
    bits, count = codes.shape
    product = np.empty(count, np.float32)  # <h_i, h_j>
    target = np.empty(count, np.float32)  # K t_ij
    weight = np.empty(count, np.float32)
    apart = np.empty(count, np.float32)
    flips = 0
    for i in order:
        product[:] = 0
        for k in range(bits):
            sign = codes[k, i]
            for j in range(count):
                product[j] += sign * codes[k, j]
        for j in range(count):
            shares = False
            for word in range(words.shape[1]):
                shares |= (words[i, word] & words[j, word]) != 0
            cosine = np.float32(0)
            for dim in range(z.shape[1]):
                cosine += z[i, dim] * z[j, dim]
            t = offset + affinity * cosine + (similarity if shares else np.float32(0))
            target[j] = bits * min(max(t, np.float32(-1)), np.float32(1))
            weight[j] = share[j] * (ratio if shares else np.float32(1))
            apart[j] = np.float32(0) if shares else separation * share[j]
        weight[i] = 0
        apart[i] = 0
        for _ in range(2):
            moved = False
            for k in range(bits):
                sign = codes[k, i]
                change = np.float32(0)
                for j in range(count):
                    step = np.float32(-2) * sign * codes[k, j]
                    before = max(product[j] - limit, np.float32(0))
                    after = max(product[j] + step - limit, np.float32(0))
                    change += weight[j] * (np.float32(2) * step * (product[j] - target[j]) + np.float32(4))
                    change += apart[j] * (after * after - before * before)
                if change < np.float32(-1e-6):
                    for j in range(count):
                        product[j] -= np.float32(2) * sign * codes[k, j]
                    codes[k, i] = -sign
                    flips += 1
                    moved = True
            if not moved:
                break
    return flips


__all__ = ["CodeTargets", "LabelEmbedding", "solve_label_codes", "unit_rows"]
