"""What a step of ADSH needs of the sampled rows and the database, stored on the devices."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dseh_tf.devices.replicas import PerReplicaVariables, write_rows
from dseh_tf.methods.asymmetric.sample import Sample


class SampleBank(tf.Module):
    """The outputs of m sampled rows, the codes of the n database rows, and constants of a round.

    The constants follow from the sample and the codes. They are divided by n, and no checkpoint holds them.

    Attributes:
        rows: n.
        codes: V, int8 [n, K]; zeros before the first V-step.
    """

    def __init__(self, strategy: tf.distribute.Strategy, rows: int, sampled: int, bits: int) -> None:
        super().__init__(name="sample_bank")
        self.rows = rows
        with tf.device("CPU:0"):
            self.codes = tf.Variable(tf.zeros([rows, bits], tf.int8), trainable=False, name="database_codes")
        shapes = {
            "outputs": (sampled, bits),
            "own": (sampled, bits),
            "targets": (sampled, bits),
            "squares": (sampled,),
            "gram": (bits, bits),
        }
        self._values = {
            name: PerReplicaVariables(strategy, np.zeros(shape, np.float32), name) for name, shape in shapes.items()
        }

    def checkpointed(self) -> dict[str, tf.Variable]:
        """What a checkpoint has to hold."""
        return {"database_codes": self.codes, "sample_outputs": self._values["outputs"].primary}

    def spread(self) -> None:
        """After a restore: every replica's copy equals the first."""
        self._values["outputs"].spread()

    def fill(self, sample: Sample) -> None:
        """Computes the constants of a round from its sample and the codes."""
        codes = self.codes.numpy()
        gram, targets, squares = sample.constants(codes)
        for name, value in (("gram", gram), ("targets", targets), ("squares", squares)):
            self._values[name].assign((value / len(codes)).astype(np.float32))
        self._values["own"].assign(codes[sample.rows].astype(np.float32))

    def outputs(self) -> np.ndarray:
        """U, float32 [m, K], as the batches gave it, outside of a step."""
        return self._values["outputs"].primary.numpy()

    # In a replica context

    @property
    def gram(self) -> tf.Tensor:
        """V^T V / n, [K, K]."""
        return tf.convert_to_tensor(self._values["gram"].local)

    def of(self, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of sampled rows, int32 [b]: sum_j S_ij v_j / n [b, K], sum_j S_ij^2 / n [b], and their codes [b, K]."""
        targets, squares, own = (
            tf.gather(tf.convert_to_tensor(self._values[name].local), places) for name in ("targets", "squares", "own")
        )
        return targets, squares, own

    def write(self, places: tf.Tensor, values: tf.Tensor, counted: tf.Tensor) -> None:
        """Writes outputs [b, K] of the global batch where `counted` is 1; no gradient flows through them."""
        bank = self._values["outputs"].local
        kept = tf.gather(tf.convert_to_tensor(bank), places)
        write_rows(bank, places, tf.where(counted[:, None] > 0, values, kept))
