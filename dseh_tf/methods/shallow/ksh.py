"""KSH: kernel projections fitted bit by bit to the label similarity that is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.linalg
from scipy.special import expit

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding.shallow import CentredKernel, rbf
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import Preparation, ShallowFitted, random_stream, shallow_fitted, signs, training_rows
from dseh_tf.methods.shallow.kernels import (
    LabelSimilarity,
    blockwise_squared_distances,
    choose_anchors,
    labelled_subset,
)


@dataclass(frozen=True)
class KSHSettings:
    """anchors: training rows that span the kernel. width_factor: the RBF is exp(-d^2 / (2 s)), s = width_factor times
    the mean squared distance of training rows to anchors (1 in the release).

    labelled: most rows in the pairwise objective (2,000 in the release; here as many as there are, up to this), drawn
    at random where there are more. iterations: at most, of the refinement of a bit; tolerance: it stops where the
    surrogate per row changes by less. normalise: rows to unit length. The rest as in
    ColumbiaDVMM/Supervised-Hashing-with-Kernels:KSH_demo.m and OptProjectionFast.m.
    """

    anchors: int = 300
    width_factor: float = 1.0
    labelled: int = 20_000
    iterations: int = 500
    tolerance: float = 1e-2
    normalise: bool = True


class KSH(Method):
    """min ||K S - sum_k y_k y_k^T||^2, y_k = sign(Phi a_k), greedily one bit at a time.

    Liu et al., CVPR 2012, eq. 6 to 13. Each a_k starts at the top generalised eigenvector of (Phi^T R Phi, Phi^T
    Phi), R the residual, is refined on a sigmoid surrogate by Nesterov's method, and the better of the two by y^T R y
    is kept. The residual is never formed: R = K S - Y Y^T acts through the distinct label vectors and the earlier
    bits.
    """

    name = "ksh"
    Settings = KSHSettings
    LEAST: ClassVar = {"anchors": 1, "labelled": 1}
    POSITIVE: ClassVar = ("width_factor",)

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Reads training features and labels. `results["objective"]`: ||R||^2 / ||K S||^2 before, and after each
        bit."""
        cfg = self.settings
        train = training_rows(dataset)
        preparation = Preparation(train, cfg.normalise)
        anchors = preparation.scaled(choose_anchors(train, cfg.anchors, random_stream(self.seed)))
        distances = blockwise_squared_distances(preparation.scaled(train), anchors)
        width = cfg.width_factor * distances.mean()
        if not width:
            raise InputError("train features: found no distance between any two rows, expected rows that differ more")
        phi = rbf(distances, -2 * width)
        centre = phi.mean(axis=0)

        used = labelled_subset(dataset.train.labels, cfg.labelled, random_stream(self.seed, 1))
        phi = phi[used] - centre
        similarity = LabelSimilarity(dataset.train.labels[used])
        projections, trace, refined = fit_bits(phi, similarity, self.bits, cfg.iterations, cfg.tolerance)

        arrays = {"anchors": anchors, "divisor": -2 * width, "centre": centre, "weights": projections}
        fitted = shallow_fitted(dataset.train, preparation, CentredKernel, **arrays)
        if len(used) < len(train):
            fitted.note(f"{len(used)} of {len(train)} training rows, drawn at random, make up the pairwise objective")
        fitted.results["objective"] = trace
        fitted.results["bits_refined"] = refined
        return fitted


def fit_bits(
    phi: np.ndarray, similarity: LabelSimilarity, bits: int, iterations: int, tolerance: float
) -> tuple[np.ndarray, list[float], int]:
    """Projections [m, K] of centred kernel features [n, m], the objective by bit, and how many bits the refinement
    won."""
    n, m = phi.shape
    codes = np.zeros((n, bits), np.float32)
    single = phi.astype(np.float32)  # the refinement is bound by reading these two, and its steps need no more digits
    projections = np.zeros((m, bits))
    scatter = phi.T @ phi
    # Anchors that nearly coincide make the scatter singular; the ridge is far below its smallest useful eigenvalue.
    scatter[np.diag_indices(m)] += 1e-9 * np.trace(scatter) / m
    residual_scatter = bits * phi.T @ (similarity @ phi)
    trace, refined = [1.0], 0
    for k in range(bits):
        done = codes[:, :k]

        def residual(v: np.ndarray, done: np.ndarray = done) -> np.ndarray:
            return bits * (similarity @ v) - done @ (done.T @ v.astype(np.float32, copy=False))

        start = scipy.linalg.eigh(residual_scatter, scatter, subset_by_index=[m - 1, m - 1])[1][:, 0]
        start *= np.sqrt(n / (start @ scatter @ start))
        better, _ = refine_projection(single, residual, start, iterations, tolerance)
        gains = []
        for candidate in (start, better):
            y = signs(phi @ candidate).astype(np.float64)
            gains.append((y @ residual(y), y, candidate))
        won = gains[1][0] > gains[0][0]
        refined += int(won)
        gain, y, projections[:, k] = gains[int(won)]
        codes[:, k] = y
        towards = phi.T @ y
        residual_scatter -= np.outer(towards, towards)
        trace.append(float(trace[-1] - (2 * gain - n * n) / (bits * n) ** 2))
    return projections, trace, refined


def refine_projection(
    phi, residual, start: np.ndarray, iterations: int, tolerance: float
) -> tuple[np.ndarray, list[float]]:
    """Nesterov's accelerated descent of -y^T R y, y = tanh(Phi a / 2), from `start`; the surrogate by step, per row.

    phi: [n, m]; residual: v -> R v. The step length is halved until the quadratic bound holds, and never grows.
    """
    n = len(phi)

    def surrogate(a: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        y = 2 * expit(phi @ a.astype(phi.dtype)) - 1
        pulled = residual(y)
        return float(-y.astype(np.float64) @ pulled), y, pulled

    previous = current = start
    costs = [surrogate(start)[0]]
    momentum, lipschitz = 1.0, 1.0
    older = 0.0
    for _ in range(iterations):
        probe = current + (older - 1) / momentum * (current - previous)
        value, y, pulled = surrogate(probe)
        gradient = -(phi.T @ (pulled * (1 - y * y)).astype(phi.dtype)).astype(np.float64)
        for _ in range(51):
            following = probe - gradient / lipschitz
            cost = surrogate(following)[0]
            if cost <= value - gradient @ gradient / (2 * lipschitz):
                break
            lipschitz *= 2
        else:
            break
        previous, current = current, following
        costs.append(cost)
        older, momentum = momentum, (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if abs(costs[-1] - costs[-2]) / n <= tolerance:
            break
    return current, [cost / n for cost in costs]
