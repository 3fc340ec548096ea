"""ITQ: principal directions, rotated so that quantising to signs costs least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.encoding.shallow import Projection
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


@dataclass(frozen=True)
class ITQSettings:
    """iterations: of the rotation; 50 in Gong and Lazebnik's paper (the release's loop makes 51).

    normalise: rows to unit length before centring.
    """

    iterations: int = 50
    normalise: bool = True


class ITQ(Method):
    """b = sign(x P R): P the leading principal directions, R the rotation of `learn_rotation`.

    Gong and Lazebnik, CVPR 2011, eq. 2 to 4; settings of willard-yuan/hashing-baseline-for-image-retrieval:Method-ITQ.
    With fewer directions than bits R is a tight frame, p rows of an orthogonal K x K matrix: the same codes as if the
    missing directions were columns of zeros.
    """

    name = "itq"
    Settings = ITQSettings

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Reads the training features alone. `results["quantisation_error"]`: mean of ||b - v R||^2 / K by
        iteration."""
        train = training_rows(dataset)
        preparation = Preparation(train, self.settings.normalise)
        directions, _ = principal_directions(train, preparation, self.bits)
        return fit_rotated(
            self, dataset.train, train, preparation, directions, f"the {directions.shape[1]} principal directions"
        )


def fit_rotated(
    method: Method, split: Split, train: np.ndarray, preparation: Preparation, directions: np.ndarray, source: str
) -> ShallowFitted:
    """Rotates the projections of `train`, the rows of `split`, on `directions` [d, p], p <= K.

    `source` describes the directions if there are fewer directions than bits.
    """
    values = preparation.projected(train, directions)
    values /= values.std()  # one factor for all columns: it changes no code, and makes errors comparable
    start = random_orthogonal(random_stream(method.seed), method.bits)[: values.shape[1]]
    rotation, errors = learn_rotation(values, start, method.settings.iterations)
    fitted = shallow_fitted(split, preparation, Projection, weights=directions @ rotation)
    if values.shape[1] < method.bits:
        fitted.note(f"{method.bits} bits from {source}, all there are: rotated as a tight frame over all bits")
    fitted.learned = {"directions": directions, "rotation": rotation}
    fitted.results["quantisation_error"] = errors
    return fitted


def random_orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    """float64 [size, size], orthogonal, from the QR decomposition of a Gaussian matrix."""
    return scipy.linalg.qr(rng.standard_normal((size, size)))[0]


def learn_rotation(values: np.ndarray, rotation: np.ndarray, iterations: int) -> tuple[np.ndarray, list[float]]:
    """The rotation [p, K], rows orthonormal, that lowers ||B - V R||^2, B = sign(V R), from a start; and the errors.

    values: V, float64 [n, p], centred; rotation: the start, [p, K] with orthonormal rows. Each step solves for R
    exactly (orthogonal Procrustes: V^T B = U D W^T gives R = U W^T), so the error never rises. Errors: one before
    each step and one at the end, ||B - V R||^2 / (n K).
    """
    errors = []
    for _ in range(iterations):
        rotated = values @ rotation
        codes = signs(rotated).astype(np.float64)
        errors.append(float(np.mean((codes - rotated) ** 2)))
        left, _, right = scipy.linalg.svd(values.T @ codes, full_matrices=False)
        rotation = left @ right
    rotated = values @ rotation
    return rotation, [*errors, float(np.mean((signs(rotated) - rotated) ** 2))]
