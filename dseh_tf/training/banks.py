"""The semantic memory: one row of semantic features and codes per training image, stored on the devices.

The release stores it in numpy and feeds it at every step, together with the similarity matrix (lelan-li/DSEH:DSEH.py).
Here it never leaves the device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.devices.replicas import PerReplicaVariables, own_rows, split_sum, write_rows
from dseh_tf.seeding import stateless_seed


class SemanticMemory(tf.Module):
    """Feature bank F [n, d], code bank H [n, K] and the labels [n, c] of the same rows, all float32.

    A step writes the rows of the global batch with the gradient stopped, and then reads the banks as constants. This is
    numerically equal to the release's two forward passes, at the cost of one.
    """

    def __init__(self, strategy: tf.distribute.Strategy, labels: np.ndarray, dim: int, bits: int) -> None:
        super().__init__(name="semantic_memory")
        n = len(labels)
        self._labels = PerReplicaVariables(strategy, labels.astype(np.float32), "labels")
        self._features = PerReplicaVariables(strategy, np.zeros((n, dim), np.float32), "features")
        self._codes = PerReplicaVariables(strategy, np.zeros((n, bits), np.float32), "codes")
        self.rows = n

    def checkpointed(self) -> dict[str, tf.Variable]:
        """What a checkpoint has to hold (the labels come with the data)."""
        return {"memory_features": self._features.primary, "memory_codes": self._codes.primary}

    def spread(self) -> None:
        """After a restore: every replica's copy equals the first."""
        self._features.spread()
        self._codes.spread()

    def fill_normal(self, seed: int) -> None:
        """Standard normal banks, as before the first round (lelan-li/DSEH:DSEH.py)."""
        for index, bank in enumerate((self._features, self._codes)):
            bank.assign(
                tf.random.stateless_normal(bank.primary.shape, stateless_seed(seed, "banks", index), alg="philox")
            )

    def fill(self, features: np.ndarray, codes: np.ndarray) -> None:
        """Replaces both banks."""
        self._features.assign(features.astype(np.float32))
        self._codes.assign(codes.astype(np.float32))

    @property
    def labels(self) -> tf.Variable:
        return self._labels.local

    @property
    def features(self) -> tf.Variable:
        return self._features.local

    @property
    def codes(self) -> tf.Variable:
        return self._codes.local

    # In a replica context

    def write(self, rows: tf.Tensor, outputs: Mapping[str, tf.Tensor]) -> None:
        """Writes the rows of a global batch into this replica's copies. No gradient flows through the banks.

        Args:
            rows: int32 [B].
            outputs: "feature" [B, d], "code" [B, K] or both.
        """
        for name, values in outputs.items():
            write_rows(self._bank(name), rows, values)

    def own(self, name: str) -> tf.Tensor:
        """This replica's part of the rows of a bank, "feature" [m, d] or "code" [m, K], for a sum of its own."""
        rows = own_rows(self.rows)
        return tf.gather(self._bank(name), tf.range(rows.start, rows.stop))

    def similar(self, labels: tf.Tensor) -> tf.Tensor:
        """S float32 [m, B] of this replica's part of the rows and a global batch with label vectors [B, c]."""
        rows = own_rows(self.rows)
        return losses.similarity(tf.convert_to_tensor(self.labels)[rows.start : rows.stop], labels)

    def likelihood(
        self, name: str, outputs: tf.Tensor, similar: tf.Tensor, scale: float, similarity: float
    ) -> tf.Tensor:
        """The likelihood of all rows of a bank x batch (eq. 5 and 7), summed, as a term of the global loss.

        Args:
            name: Name of the bank, "feature" or "code".
            outputs: [B, d] or [B, K] of the batch.
            similar: The result of `similar`.
            scale: Scale of the inner products.
            similarity: What multiplies S.

        Returns:
            A scalar, with a gradient for `outputs`.
        """
        part = losses.bank_likelihood(self._bank(name), outputs, similar, scale, similarity, rows=own_rows(self.rows))
        return split_sum(part)

    def _bank(self, name: str) -> tf.Variable:
        return {"feature": self.features, "code": self.codes}[name]


class CodeBank(tf.Module):
    """One row of K values a training image, and the labels of the same rows, float32, on the devices.

    DPSH stores its outputs in it, and CNNH its targets. It is zero until it is filled.
    """

    def __init__(self, strategy: tf.distribute.Strategy, labels: np.ndarray, bits: int) -> None:
        super().__init__(name="code_bank")
        self._labels = PerReplicaVariables(strategy, labels.astype(np.float32), "labels")
        self._values = PerReplicaVariables(strategy, np.zeros((len(labels), bits), np.float32), "values")
        self.rows = len(labels)

    def checkpointed(self) -> dict[str, tf.Variable]:
        """What a checkpoint has to hold (the labels come with the data)."""
        return {"bank": self._values.primary}

    def spread(self) -> None:
        """After a restore: every replica's copy equals the first."""
        self._values.spread()

    def fill(self, values: np.ndarray) -> None:
        """Replaces all rows."""
        self._values.assign(values.astype(np.float32))

    @property
    def labels(self) -> tf.Variable:
        return self._labels.local

    @property
    def values(self) -> tf.Variable:
        return self._values.local

    def write(self, rows: tf.Tensor, values: tf.Tensor) -> None:
        """Writes rows of the global batch, gathered already, into this replica's copy; no gradient flows through it."""
        write_rows(self.values, rows, values)
