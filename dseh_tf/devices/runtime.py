"""The surroundings of a training run: devices, output folders and intervals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import keras
import tensorflow as tf

from dseh_tf.devices.workers import ALONE, Workers


@dataclass
class Runtime:
    """The surroundings of a training run. Only `jit_compile` and `bfloat16` change what is computed.

    Attributes:
        strategy: The distribution strategy.
        workers: The processes of the run. If there are several, only worker 0 writes, all restore the same checkpoint,
            and each encodes a part of the rows.
        checkpoints, tensorboard: Folders, or None to write neither.
        checkpoint_steps: Number of steps between checkpoints within a phase; there is also one at its end.
        label_report_epochs: LabNet epochs between reports of its codes and MAP; 0 for a single report at the end of the
            phase.
        evaluate_rounds: Whether ImgNet is evaluated after every round, not only at the end.
        progress: Whether to show progress bars on standard error.
        jit_compile: XLA for the training steps, if there is one replica. It draws other dropout masks.
        bfloat16: Trunks compute in it, and their weights stay float32. LabNet, hash layers, losses and banks are float32
            throughout.
        encode_batch: Rows of a forward pass when encoding.
        pixel_cache: Folder for decoded training images that do not fit into memory; None for `data/pixels`.
    """

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    workers: Workers = ALONE
    checkpoints: Path | None = None
    tensorboard: Path | None = None
    checkpoint_steps: int = 1000
    label_report_epochs: int = 0
    evaluate_rounds: bool = True
    progress: bool = True
    jit_compile: bool = False
    bfloat16: bool = False
    encode_batch: int = 256
    pixel_cache: Path | None = None

    @contextmanager
    def networks(self) -> Iterator[None]:
        """Where networks and optimisers are built: on the strategy's devices, in its precision."""
        before = keras.config.dtype_policy()
        if self.bfloat16:
            keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            with self.strategy.scope():
                yield
        finally:
            keras.config.set_dtype_policy(before)


def float32_products(tf32: bool = False) -> None:
    """Sets how GPUs multiply float32 matrices, for the whole process.

    With TensorFloat-32, TensorFlow's default on GPUs since Ampere, inputs of matrix products and convolutions are rounded to 10
    bits of mantissa. Codes of the same image then differ in some bits from those of a CPU.

    Args:
        tf32: Whether to round.
    """
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
