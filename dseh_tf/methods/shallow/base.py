"""What the shallow methods share: checked input rows, centring, principal directions, the encoder, random streams.

A shallow method learns from the rows of `input_matrix` (features or flattened images). Rows are scaled to unit length
and centred by the training mean, as is usual for these baselines on deep features. TensorFlow is not imported.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.encoding.inputs import checked_rows, image_shape
from dseh_tf.encoding.shallow import BLOCK_ROWS, Rows, ShallowEncoder
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Fitted, training_split
from dseh_tf.seeding import generator

_ROUNDING = 8 * np.finfo(np.float32).eps  # equal numbers may differ by this share after their rows are scaled

log = logging.getLogger(__name__)


def random_stream(seed: int, stream: int = 0) -> np.random.Generator:
    """Generator number `stream` of a shallow method."""
    return generator(seed, "shallow", stream)


def signs(values: np.ndarray) -> np.ndarray:
    """int8 ±1 of any shape; zero counts as +1."""
    return np.where(values >= 0, np.int8(1), np.int8(-1))


def training_rows(dataset: RetrievalDataset) -> np.ndarray:
    """`checked_rows` of the training rows. Raises InputError also on anything but a data set."""
    return checked_rows(training_split(dataset), "train")


class Preparation(Rows):
    """Row scaling and centring, learned on the training rows.

    constant: how many columns have one value in all training rows; they carry nothing and centre to zero.
    """

    def __init__(self, train: np.ndarray, normalise: bool) -> None:
        super().__init__(normalise, np.zeros(train.shape[1]))
        self.constant = int((train.max(axis=0) == train.min(axis=0)).sum())
        if len(train) < 2 or self.constant == self.width:
            raise InputError(f"train features: found {len(train)} equal rows, expected at least two that differ")
        total, lowest, highest = np.zeros(self.width), np.inf, -np.inf
        for start in range(0, len(train), BLOCK_ROWS):
            block = self.scaled(train[start : start + BLOCK_ROWS])
            total += block.sum(axis=0, dtype=np.float64)
            lowest, highest = np.minimum(lowest, block.min(axis=0)), np.maximum(highest, block.max(axis=0))
        if normalise and (highest - lowest <= _ROUNDING * np.abs(highest)).all():
            raise InputError(
                f"train features: found {len(train)} rows that differ only in length, expected several directions, "
                "or normalise=False"
            )
        self.mean = total / len(train)


class ShallowFitted(Fitted):
    """A fitted shallow method: its encoder, and what was found out of the ordinary.

    `learned` has the arrays of a method's own algorithm by name, for study: ITQ's rotation, SDH's training codes.

    Rows are read, checked and encoded in blocks, so a database need not fit in memory once per step.
    """

    encoder_file = "encoder.npz"

    def __init__(self, encoder: ShallowEncoder) -> None:
        super().__init__(encoder.bits)
        self.encoder = encoder
        self.learned: dict[str, Any] = {}

    def encode(self, split: Split, modality: str = "image") -> np.ndarray:
        """int8 ±1 [n, K] of a split, or of an array of features [n, d] or images uint8 [n, height, width, 3].

        Raises InputError on values that are not finite, a different width, or a text side asked for.
        """
        if modality != "image":
            raise InputError(f"modality: found {modality!r}, expected 'image': this method encodes images or features")
        return self.encoder.encode(split)

    def save(self, path: Path) -> None:
        """Writes the encoder to one npz file; `dseh_tf.encoding.saved.load` reads it in any process."""
        self.encoder.save(path)

    def note(self, text: str) -> None:
        """Logs what was done out of the ordinary and keeps it in `results["notes"]`."""
        log.info(text)
        self.results.setdefault("notes", []).append(text)


def shallow_fitted(train: Split, preparation: Preparation, kind: type[ShallowEncoder], **arrays: Any) -> ShallowFitted:
    """The fitted method whose encoder is `kind` with these arrays; with a note if training columns were constant."""
    fitted = ShallowFitted(kind(rows=preparation, image_shape=image_shape(train), **arrays))
    if preparation.constant:
        fitted.note(
            f"{preparation.constant} of {preparation.width} feature columns are constant in training and carry nothing"
        )
    return fitted


def scatter_matrix(x: np.ndarray, preparation: Preparation) -> np.ndarray:
    """float64 [d, d]: the scatter of the centred training rows, sum over rows of x x^T, summed block by block."""
    scatter = np.zeros((preparation.width, preparation.width))
    for start in range(0, len(x), BLOCK_ROWS):
        block = preparation.centred(x[start : start + BLOCK_ROWS])
        scatter += block.T @ block
    return scatter


def principal_directions(x: np.ndarray, preparation: Preparation, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading principal directions of the training rows: float64 [d, p], p <= count, and their variances [p].

    p is smaller than `count` if the centred rows have a smaller rank. Columns are orthonormal, largest variance
    first; the sign of each is fixed by its largest entry, so that a direction does not depend on the solver.
    """
    n, d = x.shape
    if n < d:  # fewer rows than columns: the same directions from the smaller n x n problem
        centred = preparation.centred(x)
        values, vectors = _leading_eigenpairs(centred @ centred.T, count)
        vectors = centred.T @ vectors / np.sqrt(values)
    else:
        values, vectors = _leading_eigenpairs(scatter_matrix(x, preparation), count)
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])]), values / n


def _leading_eigenpairs(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues [p] and vectors [d, p] of a positive semi-definite matrix, p <= count, numerical zeros left
    out."""
    d = len(matrix)
    if count < d // 8:  # Lanczos: a fraction of the time of the whole decomposition; the start vector is fixed
        values, vectors = scipy.sparse.linalg.eigsh(
            matrix, k=count, which="LA", v0=random_stream(0, d).standard_normal(d)
        )
        values, vectors = values[::-1], vectors[:, ::-1]
    else:
        values, vectors = scipy.linalg.eigh(matrix)
        values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    kept = values > values[0] * d * np.finfo(np.float32).eps
    return values[kept], vectors[:, kept]
