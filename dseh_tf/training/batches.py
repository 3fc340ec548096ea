"""Training batches as a pure function of (seed, phase, round, step), and rows in order for encoding.

Nothing here has state: a run that is resumed at step s draws what it would have drawn, and every replica takes its
slice of the same global batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError

# Below this a source of the batches is one tensor; a larger memory map is read row by row.
_TENSOR_BYTES = 2**31


def stream_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for the stream called by `names`, e.g. stream_seed(0, "imgnet", round, "flip")."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True)
class TrainingRows:
    """The batches of one phase of one round.

    Attributes:
        arrays: What a batch holds, by name; each [n, ...]. Tensors of `resident` are not copied again in every phase.
        batch_size: Of the global batch.
        seed, phase, round: Name the stream.
        flipped: For names in it, the mirrored twin of that array, or None for images, which are mirrored here; each row is
            taken from either with probability 1/2.
        subset: The rows that batches are drawn from, int [m]; None for all. The arrays are not copied.
        permuted: Every epoch visits each row once, in an order of its own. Otherwise the rows of a step are drawn without
            replacement, every step anew (lelan-li/DSEH:DSEH.py: an epoch is floor(n / batch) such draws).
    """

    arrays: Mapping[str, np.ndarray | tf.Tensor]
    batch_size: int
    seed: int
    phase: str
    round: int
    flipped: Mapping[str, np.ndarray | tf.Tensor | None]
    subset: np.ndarray | None = None
    permuted: bool = False

    def __post_init__(self) -> None:
        if self.batch_size > self.rows:
            setting = f"{self.phase}_batch" if self.phase in ("labnet", "imgnet") else "batch"
            raise InputError(
                f"{self.phase} batch: found {self.batch_size}, expected at most the {self.rows} training rows "
                f"(--set={setting}=...)"
            )

    @property
    def rows(self) -> int:
        """The number of rows that batches are drawn from."""
        return len(next(iter(self.arrays.values())) if self.subset is None else self.subset)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch. Of a permutation, the last batch is filled up with the rows of the first."""
        return -(-self.rows // self.batch_size) if self.permuted else max(1, self.rows // self.batch_size)

    def dataset(self, context: tf.distribute.InputContext, first: int, last: int) -> tf.data.Dataset:
        """Batches of the steps first..last-1 for one worker: its replicas' shares of each step, in turn.

        An element: {"rows": int32 [b], and one tensor [b, ...] a name}. With a subset it also has "places" int32 [b], where
        the rows are in it; in a permutation "counted" float32 [b], 0 for rows that fill up the last batch of an epoch.
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
        subset = None if self.subset is None else _reader(self.subset.astype(np.int32))

        def share_of_step(index: tf.Tensor) -> dict[str, tf.Tensor]:
            step = first + index // local
            start = (context.input_pipeline_id * local + index % local) * share
            if self.permuted:
                epoch, begun = step // self.epoch_steps, tf.cast(step % self.epoch_steps, tf.int32) * self.batch_size
                noise = tf.random.stateless_uniform([self.rows], [draw, epoch], alg="philox")
                place = begun + tf.cast(start, tf.int32) + tf.range(share)
                rows = tf.gather(tf.argsort(noise, stable=True), place % self.rows)
            else:
                noise = tf.random.stateless_uniform([self.rows], [draw, step], alg="philox")
                rows = tf.math.top_k(noise, self.batch_size).indices[start : start + share]
            element = {}
            if self.permuted:
                element["counted"] = tf.cast(place < self.rows, tf.float32)
            if subset is not None:
                element["places"] = rows
                rows = subset(rows)
            element |= {"rows": rows, **{name: read(rows) for name, read in readers.items()}}
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


def resident(array: np.ndarray) -> np.ndarray | tf.Tensor:
    """The array as a tensor that the batches of many phases share; a large memory map as it is."""
    if isinstance(array, np.memmap) and array.nbytes > _TENSOR_BYTES:
        return array
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(array)


def _reader(array: np.ndarray | tf.Tensor):
    """rows int32 [b] -> array[rows], from a tensor, or from the file behind a large memory map."""
    if isinstance(array, np.memmap) and array.nbytes > _TENSOR_BYTES:
        dtype, shape = tf.as_dtype(array.dtype), array.shape[1:]

        def from_file(rows: tf.Tensor) -> tf.Tensor:
            values = tf.numpy_function(lambda r: array[r], [rows], dtype, stateful=False)
            return tf.ensure_shape(values, [None, *shape])

        return from_file
    values = resident(array)  # a captured tensor: passed by reference, never written into the graph
    return lambda rows: tf.gather(values, rows)


def array_batches(array: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Slices of at most `batch_size` rows, in order."""
    for start in range(0, len(array), batch_size):
        yield np.asarray(array[start : start + batch_size])
