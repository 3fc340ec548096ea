"""Training batches as a pure function of (seed, phase, round, step), and rows in order for encoding.

Nothing here has state: a run that is resumed at step s draws what it would have drawn, and every replica takes its
slice of the same global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError
from dseh_tf.seeding import stream_seed

# Below this a source of the batches is one tensor; a larger memory map is read row by row.
_TENSOR_BYTES = 2**31


@dataclass(frozen=True)
class TrainingRows:
    """The batches of one phase of one round.

    arrays: what a batch holds, by name; each [n, ...]. flipped: for names in it, the mirrored twin of that array, or
    None for images, which are mirrored here; each row is taken from either with probability 1/2.
    batch_size: of the global batch. seed, phase, round: name the stream.
    """

    arrays: Mapping[str, np.ndarray]
    batch_size: int
    seed: int
    phase: str
    round: int
    flipped: Mapping[str, np.ndarray | None]

    def __post_init__(self) -> None:
        if self.batch_size > self.rows:
            setting = f"{self.phase}_batch" if self.phase in ("labnet", "imgnet") else "batch"
            raise InputError(
                f"{self.phase} batch: found {self.batch_size}, expected at most the {self.rows} training rows "
                f"(--set={setting}=...)"
            )

    @property
    def rows(self) -> int:
        return len(next(iter(self.arrays.values())))

    def dataset(self, context: tf.distribute.InputContext, first: int, last: int) -> tf.data.Dataset:
        """Batches of the steps first..last-1 for one worker: its replicas' shares of each step, in turn.

        An element: {"rows": int32 [b], and one tensor [b, ...] a name}. Rows of a step are drawn without replacement,
        every step anew (lelan-li/DSEH:DSEH.py: an epoch is floor(n / batch) such draws, not a permutation).
        """
        replicas = context.num_replicas_in_sync
        if self.batch_size % replicas:
            raise InputError(
                f"{self.phase} batch: found {self.batch_size} rows for {replicas} replicas (--replicas), expected a multiple"
            )
        local = replicas // context.num_input_pipelines
        share = self.batch_size // replicas
        draw, flip = (stream_seed(self.seed, self.phase, self.round, what) for what in ("rows", "flip"))
        readers = {name: _reader(array) for name, array in self.arrays.items()}
        twins = {name: _reader(array) for name, array in self.flipped.items() if array is not None}

        def share_of_step(index: tf.Tensor) -> dict[str, tf.Tensor]:
            step = first + index // local
            start = (context.input_pipeline_id * local + index % local) * share
            noise = tf.random.stateless_uniform([self.rows], [draw, step], alg="philox")
            rows = tf.math.top_k(noise, self.batch_size).indices[start : start + share]
            element = {"rows": rows, **{name: read(rows) for name, read in readers.items()}}
            if self.flipped:
                coins = tf.random.stateless_uniform([self.batch_size], [flip, step], alg="philox")
                mirrored = coins[start : start + share] < 0.5
                for name in self.flipped:
                    plain = element[name]
                    twin = twins[name](rows) if name in twins else tf.reverse(plain, axis=[2])
                    element[name] = tf.where(tf.reshape(mirrored, [-1] + [1] * (plain.shape.rank - 1)), twin, plain)
            return {name: tf.ensure_shape(value, [share, *value.shape[1:]]) for name, value in element.items()}

        steps = tf.data.Dataset.range((last - first) * local)
        return steps.map(share_of_step, num_parallel_calls=2, deterministic=True).prefetch(2 * local)


def _reader(array: np.ndarray):
    """rows int32 [b] -> array[rows], from a tensor, or from the file behind a large memory map."""
    if isinstance(array, np.memmap) and array.nbytes > _TENSOR_BYTES:
        dtype, shape = tf.as_dtype(array.dtype), array.shape[1:]

        def from_file(rows: tf.Tensor) -> tf.Tensor:
            values = tf.numpy_function(lambda r: array[r], [rows], dtype, stateful=False)
            return tf.ensure_shape(values, [None, *shape])

        return from_file
    # A captured tensor: passed by reference, never written into the graph.
    with tf.device("CPU:0"):
        values = tf.convert_to_tensor(array)
    return lambda rows: tf.gather(values, rows)


def array_batches(array: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Slices of at most `batch_size` rows, in order."""
    for start in range(0, len(array), batch_size):
        yield np.asarray(array[start : start + batch_size])
