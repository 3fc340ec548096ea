"""SDH: discrete codes from which the labels are read linearly, and kernel features that predict the codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.linalg

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding.shallow import BiasedKernel, rbf, with_ones
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import Preparation, ShallowFitted, random_stream, shallow_fitted, signs, training_rows
from dseh_tf.methods.shallow.kernels import blockwise_squared_distances, choose_anchors

_NOTHING = 1e-9  # kernel values below it are no more than the ridge takes away


@dataclass(frozen=True)
class SDHSettings:
    """anchors, width: RBF exp(-d^2 / (2 width^2)) on this many training rows; .4 is meant for rows of unit length.

    iterations: outer ones; sweeps: at most, over the bits in each. label_ridge: lambda of the label regression G;
    code_penalty: nu, weight of B against F(X); kernel_ridge: of the regression F. normalise: rows to unit length.
    All as in bd622/DiscretHashing:demo_SDH.m and SDH.m.
    """

    anchors: int = 1000
    width: float = 0.4
    iterations: int = 5
    sweeps: int = 10
    label_ridge: float = 1.0
    code_penalty: float = 1e-5
    kernel_ridge: float = 1e-2
    normalise: bool = True


class SDH(Method):
    """min ||Y - B W||^2 + lambda ||W||^2 + nu (||B - Phi P||^2 + lambda_F ||P||^2) over B in {-1, +1}, W, P.

    Shen et al., CVPR 2015, eq. 4, with the l2 loss. Y is the 0/1 label matrix, single or multiple labels alike; Phi
    the RBF features with a column of ones. The three blocks are solved in turn, B bit by bit (discrete cyclic
    coordinate descent, eq. 9). One departure from bd622/DiscretHashing:SDH.m: sweeps start from the codes at hand,
    not from zeros, so the objective never rises. A new row gets sign(Phi(x) P).
    """

    name = "sdh"
    Settings = SDHSettings
    LEAST: ClassVar = {"anchors": 1}
    POSITIVE: ClassVar = ("width",)

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Reads training features and labels. `results["objective"]`: before, and after each outer iteration."""
        cfg = self.settings
        train = training_rows(dataset)
        preparation = Preparation(train, cfg.normalise)
        anchors = preparation.scaled(choose_anchors(train, cfg.anchors, random_stream(self.seed)))

        divisor = -2 * cfg.width**2
        distances = blockwise_squared_distances(preparation.scaled(train), anchors)
        phi = with_ones(rbf(distances, divisor))
        check_kernel(phi[:, :-1], cfg.width, float(np.sqrt(distances.mean())))
        labels = dataset.train.labels.astype(np.float64)
        codes = signs(random_stream(self.seed, 1).standard_normal((len(train), self.bits))).astype(np.float64)
        gram = scipy.linalg.cho_factor(phi.T @ phi + cfg.kernel_ridge * np.eye(phi.shape[1]))

        label_weights = ridge_solution(codes, labels, cfg.label_ridge)
        kernel_weights = scipy.linalg.cho_solve(gram, phi.T @ codes)

        def objective() -> float:
            fit_error = np.sum((labels - codes @ label_weights) ** 2) + cfg.label_ridge * np.sum(label_weights**2)
            code_error = np.sum((codes - phi @ kernel_weights) ** 2) + cfg.kernel_ridge * np.sum(kernel_weights**2)
            return float(fit_error + cfg.code_penalty * code_error)

        trace = [objective()]
        for _ in range(cfg.iterations):
            wanted = labels @ label_weights.T + cfg.code_penalty * (phi @ kernel_weights)
            codes = descend_codes(codes, label_weights, wanted, cfg.sweeps)
            label_weights = ridge_solution(codes, labels, cfg.label_ridge)
            kernel_weights = scipy.linalg.cho_solve(gram, phi.T @ codes)
            trace.append(objective())

        arrays = {"anchors": anchors, "divisor": divisor, "weights": kernel_weights}
        fitted = shallow_fitted(dataset.train, preparation, BiasedKernel, **arrays)
        fitted.results["objective"] = trace
        fitted.learned = {
            "codes": codes.astype(np.int8),
            "label_weights": label_weights,
            "kernel_weights": kernel_weights,
            "phi": phi,
        }
        return fitted


def check_kernel(phi: np.ndarray, width: float, distance: float) -> None:
    """Raises InputError if RBF features [n, m] carry no information: all alike, or only those of the anchors
    themselves.

    A code would then be the same for all rows. distance: of rows to anchors, for the message.
    """
    if np.ptp(phi, axis=0).max() < _NOTHING or np.count_nonzero(phi > _NOTHING) <= phi.shape[1]:
        raise InputError(
            f"width: found {width} where rows are {distance:.3g} from the anchors, expected a width of that order, or "
            "normalise=True"
        )


def ridge_solution(inputs: np.ndarray, targets: np.ndarray, ridge: float) -> np.ndarray:
    """argmin over W of ||targets - inputs W||^2 + ridge ||W||^2, float64 [k, c]."""
    gram = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
    return scipy.linalg.solve(gram, inputs.T @ targets, assume_a="pos")


def descend_codes(codes: np.ndarray, weights: np.ndarray, wanted: np.ndarray, sweeps: int) -> np.ndarray:
    """Discrete cyclic coordinate descent: ±1 codes [n, K] lowering ||B W||^2 - 2 <B, wanted>, one bit at a time.

    Bit k of all rows is solved exactly given the others: sign(wanted_k - B_-k W_-k w_k). Stops when a sweep changes
    nothing. weights: W [K, c]; wanted: Q [n, K].
    """
    codes = codes.copy()
    coupling = weights @ weights.T
    np.fill_diagonal(coupling, 0)
    for _ in range(sweeps):
        before = codes.copy()
        for k in range(codes.shape[1]):
            codes[:, k] = signs(wanted[:, k] - codes @ coupling[:, k])
        if np.array_equal(before, codes):
            break
    return codes
