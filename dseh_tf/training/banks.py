"""The semantic memory: one row a training image of semantic features and codes, held on the devices.

The release keeps it in numpy and feeds it, with the similarity matrix, at every step (lelan-li/DSEH:DSEH.py). Here it
never leaves the device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from dseh_tf.devices.replicas import PerReplicaVariables, gather
from dseh_tf.seeding import stateless_seed


class SemanticMemory(tf.Module):
    """Feature bank F [n, d], code bank H [n, K] and the labels [n, c] of the same rows, all float32.

    A step writes the rows of the global batch with the gradient stopped, then reads the banks as constants: this is
    numerically the release's two forward passes, for the price of one.
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

    def write(self, rows: tf.Tensor, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Variable]:
        """Writes this replica's rows, and those of all others, into every copy (in a replica context).

        Args:
            rows: int32 [b].
            outputs: "feature" [b, d], "code" [b, K] or both. They are constants afterwards: no gradient flows through
                the banks.

        Returns:
            The banks written, under the same names.
        """
        banks = {"feature": self.features, "code": self.codes}
        rows = gather(rows)[:, None]
        for name, values in outputs.items():
            banks[name].scatter_nd_update(rows, gather(tf.stop_gradient(values)))
        return {name: banks[name] for name in outputs}


class CodeBank(tf.Module):
    """One row of K values a training image, and the labels of the same rows, float32, on the devices.

    What DPSH keeps of its outputs, or what CNNH has as targets. Zero until it is filled.
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
        self.values.scatter_nd_update(rows[:, None], tf.stop_gradient(values))
