"""The targets of ImgNet: LabNet's features and codes, one row per distinct label vector.

LabNet is a function of the label vector, so training rows with equal labels have equal features, codes and columns of S.
A sum over all training rows is therefore a sum over the distinct vectors, weighted by how often each occurs.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data.label_vectors import DistinctRows
from dseh_tf.devices.replicas import PerReplicaVariables, own_rows, split_sum

# Up to this many distinct vectors (64 MB) S is a table; beyond, its columns are computed from the labels.
_TABLE_VECTORS = 8192


class LabelTargets(tf.Module):
    """Features and codes of the distinct label vectors, constants of one ImgNet phase, on the devices.

    They are derived from LabNet, so no checkpoint holds them.
    """

    def __init__(self, strategy: tf.distribute.Strategy, rows: DistinctRows, dim: int, bits: int) -> None:
        """Allocates targets of zero.

        Args:
            strategy: Each of its replicas has its own copy.
            rows: The training rows' label vectors.
            dim: Width d of the semantic features.
            bits: Code length K.
        """
        super().__init__(name="label_targets")
        count, vectors = len(rows.vectors), rows.vectors.astype(np.float32)
        self.rows = len(rows.index)
        self._index = PerReplicaVariables(strategy, rows.index, "index")
        self._counts = PerReplicaVariables(strategy, rows.counts.astype(np.float32), "counts")
        self._vectors = PerReplicaVariables(strategy, vectors, "vectors")
        table = vectors @ vectors.T > 0.5 if count <= _TABLE_VECTORS else np.zeros((0, 0), bool)
        self._table = PerReplicaVariables(strategy, table, "similar")
        self._codes = PerReplicaVariables(strategy, np.zeros((count, bits), np.float32), "codes")
        self._features = PerReplicaVariables(strategy, np.zeros((count, 0), np.float32), "features", (count, None))
        self._units = PerReplicaVariables(strategy, np.zeros(0, np.int32), "units", (None,))
        self._places = PerReplicaVariables(strategy, np.zeros(dim, np.int32), "places")

    def fill(self, features: np.ndarray, codes: np.ndarray) -> None:
        """Replaces the targets.

        Units that are zero for every vector are left out: they add nothing to an inner product, and get no gradient from
        it. After LabNet's training most of its ReLU units are of this kind.

        Args:
            features: float [v, d].
            codes: float [v, K], ±1.
        """
        active = (features != 0).any(axis=0)
        places = np.where(active, np.cumsum(active) - 1, active.sum())
        self._units.assign(np.flatnonzero(active).astype(np.int32))
        self._places.assign(places.astype(np.int32))
        self._features.assign(features[:, active].astype(np.float32))
        self._codes.assign(codes.astype(np.float32))

    def fill_codes(self, codes: np.ndarray) -> None:
        """Replaces the codes alone, ±1 [v, K]."""
        self._codes.assign(codes.astype(np.float32))

    def codes_array(self) -> np.ndarray:
        """float32 [v, K], outside of a step."""
        return self._codes.primary.numpy()

    def checkpointed(self) -> dict[str, tf.Variable]:
        """The codes, for a method that does not derive them from LabNet."""
        return {"label_codes": self._codes.primary}

    def spread(self) -> None:
        """After a restore: every replica's copy equals the first."""
        self._codes.spread()

    # In a replica context

    @property
    def codes(self) -> tf.Variable:
        """float32 [v, K]."""
        return self._codes.local

    def codes_of(self, rows: tf.Tensor) -> tf.Tensor:
        """The codes float32 [b, K] of training rows int32 [b]."""
        return tf.gather(tf.convert_to_tensor(self._codes.local), self._vectors_of(rows))

    def likelihood(
        self, rows: tf.Tensor, labels: tf.Tensor, outputs: tf.Tensor, scale: float, similarity: float
    ) -> tf.Tensor:
        """The likelihood of all training rows x batch (eq. 12), summed, as a term of the global loss.

        Args:
            rows: int32 [B], the global batch.
            labels: float32 [B, c], its label vectors.
            outputs: float32 [B, d], its semantic features.
            scale: Scale of the inner products.
            similarity: What multiplies S.

        Returns:
            A scalar, with a gradient for `outputs`.
        """
        units, places = tf.convert_to_tensor(self._units.local), tf.convert_to_tensor(self._places.local)
        part = losses.bank_likelihood(
            tf.convert_to_tensor(self._features.local),
            _columns(outputs, units, places),
            self._similar(rows, labels),
            scale,
            similarity,
            tf.convert_to_tensor(self._counts.local),
            own_rows(self._counts.primary.shape[0]),
        )
        return split_sum(part)

    def _vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.convert_to_tensor(self._index.local), rows)

    def _similar(self, rows: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """S float32 [m, B] of this replica's part of the distinct vectors and the batch."""
        own = own_rows(self._counts.primary.shape[0])
        if not self._table.primary.shape[0]:
            return losses.similarity(tf.convert_to_tensor(self._vectors.local)[own.start : own.stop], labels)
        columns = tf.gather(tf.convert_to_tensor(self._table.local), self._vectors_of(rows))  # S is symmetric
        return tf.transpose(tf.cast(columns[:, own.start : own.stop], labels.dtype))


@tf.custom_gradient
def _columns(x: tf.Tensor, columns: tf.Tensor, places: tf.Tensor) -> tuple:
    """x[:, columns], with a gradient that needs no scatter.

    places: int32 [d], where each column of x is in the result; for those left out, the width of the result.
    """

    def gradient(upstream: tf.Tensor) -> tuple:
        padded = tf.pad(tf.transpose(upstream), [[0, 1], [0, 0]])  # rows are copied whole, columns one number at a time
        return tf.transpose(tf.gather(padded, places)), None, None

    return tf.transpose(tf.gather(tf.transpose(x), columns)), gradient
