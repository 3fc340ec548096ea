"""ITQ-CCA: ITQ on the directions most correlated with the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from dseh_tf.data import RetrievalDataset
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import BLOCK_ROWS, Preparation, ShallowFitted, scatter_matrix, training_rows
from dseh_tf.methods.shallow.itq import fit_rotated


@dataclass(frozen=True)
class ITQCCASettings:
    """iterations: of the rotation. normalise: rows to unit length before centring.

    ridge: added to both covariances, as a share of their mean diagonal entry (1e-4 on the release's scale).
    scaling: what a direction is multiplied by, of its eigenvalue lambda (the squared correlation): "sqrt" (the
    correlation; from memory of Gong's release, unverified), "linear" or "none".
    """

    iterations: int = 50
    normalise: bool = True
    ridge: float = 1e-4
    scaling: str = "sqrt"


class ITQCCA(Method):
    """b = sign(x W R): W the canonical directions of features against labels, R ITQ's rotation.

    Gong et al., PAMI 2013, sec. 3.2 (CCA-ITQ), with a ridge relative to the trace. Labels give at most c directions:
    with more bits than that the rotation is a tight frame, and the surplus bits are further views of the same
    directions.
    """

    name = "itq_cca"
    Settings = ITQCCASettings

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Reads training features and labels. `results["correlations"]`: the canonical correlations that were kept."""
        scalings: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "sqrt": lambda r: r,
            "linear": lambda r: r**2,
            "none": np.ones_like,
        }
        if self.settings.scaling not in scalings:
            raise InputError(f"itq_cca: found scaling {self.settings.scaling!r}, expected one of {', '.join(scalings)}")
        train = training_rows(dataset)
        preparation = Preparation(train, self.settings.normalise)
        directions, correlations = canonical_directions(train, preparation, dataset.train.labels, self.settings.ridge)
        directions, correlations = directions[:, : self.bits], correlations[: self.bits]
        scaled = directions * scalings[self.settings.scaling](correlations)
        source = f"the {len(correlations)} canonical directions of {dataset.classes} classes"
        fitted = fit_rotated(self, dataset.train, train, preparation, scaled, source)
        fitted.results["correlations"] = correlations.tolist()
        fitted.learned["canonical"] = directions
        return fitted


def canonical_directions(
    train: np.ndarray, preparation: Preparation, labels: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Feature directions [d, p], p <= c, and their canonical correlations [p], largest first.

    Solves Cxy (Cyy + r I)^-1 Cyx w = lambda (Cxx + r I) w by Cholesky factors of the two regularised covariances and
    a singular value decomposition between them; directions have unit variance under Cxx + r I; correlation =
    sqrt(lambda). Raises InputError if all training rows have the same labels.
    """
    targets = labels - labels.mean(axis=0, dtype=np.float64)
    if not targets.any():
        raise InputError("train labels: found the same labels in every row, expected at least two different rows")
    n = len(train)
    cross = np.zeros((preparation.width, labels.shape[1]))
    for start in range(0, n, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        cross += preparation.centred(train[rows]).T @ targets[rows]
    feature_root = _regularised_root(scatter_matrix(train, preparation) / n, ridge)
    label_root = _regularised_root(targets.T @ targets / n, ridge)
    whitened = scipy.linalg.solve_triangular(feature_root, cross / n, lower=True)
    whitened = scipy.linalg.solve_triangular(label_root, whitened.T, lower=True).T
    left, correlations, _ = scipy.linalg.svd(whitened, full_matrices=False)
    kept = correlations > 1e-6
    return scipy.linalg.solve_triangular(feature_root, left[:, kept], lower=True, trans="T"), correlations[kept]


def _regularised_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """Lower Cholesky factor of the covariance plus `ridge` times its mean diagonal entry."""
    size = len(covariance)
    covariance[np.diag_indices(size)] += ridge * np.trace(covariance) / size
    return scipy.linalg.cholesky(covariance, lower=True)
