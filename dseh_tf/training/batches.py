"""Training batches as a pure function of (seed, phase, round, step), and rows in order for encoding.

There is no state: a run that is resumed at step s draws what it would have drawn, and every replica takes its slice of
the same global batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError
from dseh_tf.seeding import generator, stream_seed

# Below this a source of the batches is one tensor; a larger memory map is read row by row.
_TENSOR_BYTES = 2**31
_THREADS = 2  # that read batches; their order does not depend on it

Element = dict[str, tf.Tensor]


@dataclass(frozen=True)
class TrainingRows:
    """The batches of one phase of one round.

    Attributes:
        arrays: What a batch holds, by name; each [n, ...]. Tensors of `resident` are not copied again in every phase.
        batch_size: Size of the global batch.
        seed, phase, round: Name the stream.
        flipped: For names in it, the mirrored twin of that array, or None for images, which are mirrored here; each row is
            taken from either with probability 1/2.
        subset: The rows that batches are drawn from, int [m]; None for all. The arrays are not copied.
        permuted: Every epoch visits each row once, in an order of its own. Otherwise the rows of a step are drawn without
            replacement, every step again (lelan-li/DSEH:DSEH.py: an epoch is floor(n / batch) such draws).
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
        """Number of steps per epoch. With permutations, the last batch is filled up with the rows of the first."""
        return -(-self.rows // self.batch_size) if self.permuted else max(1, self.rows // self.batch_size)

    def dataset(self, context: tf.distribute.InputContext, first: int, last: int) -> tf.data.Dataset:
        """Batches of the steps first..last-1 for one worker: its replicas' shares of each step, in turn.

        An element: {"rows": int32 [b], and one tensor [b, ...] per name}. With a subset it also has "places" int32 [b],
        where
        the rows are in it; in a permutation "counted" float32 [b], 0 for rows that fill up the last batch of an epoch.
        """
        replicas = context.num_replicas_in_sync
        if self.batch_size % replicas:
            raise InputError(
                f"{self.phase} batch: found {self.batch_size} rows for {replicas} replicas (--replicas), expected a multiple"
            )
        local = replicas // context.num_input_pipelines
        share = self.batch_size // replicas
        own = range(context.input_pipeline_id * local, (context.input_pipeline_id + 1) * local)
        read = self._reading(share)
        if self.permuted:
            elements = tf.data.Dataset.from_tensor_slices(self._tables(first, last, own, share))
        else:
            draw, element = self._drawing(first, own, share), read
            elements, read = tf.data.Dataset.range((last - first) * local), lambda index: element(draw(index))
        # Neither has control flow of tensors; converting them would take longer than tracing.
        read = tf.autograph.experimental.do_not_convert(read)
        # A round may have few steps, and rewriting the pipeline takes as long as some of them.
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        options.autotune.enabled = False
        return (
            elements.map(read, num_parallel_calls=_THREADS, deterministic=True)
            .prefetch(2 * local)
            .with_options(options)
        )

    def _drawing(self, first: int, own: range, share: int) -> Callable[[tf.Tensor], Element]:
        """From the number of an element to its rows, and which of them are mirrored."""
        draw, flip = (stream_seed(self.seed, self.phase, self.round, what) for what in ("rows", "flip"))
        subset = None if self.subset is None else _reader(self.subset.astype(np.int32))

        def rows_of(index: tf.Tensor) -> Element:
            step, start = first + index // len(own), (own.start + index % len(own)) * share
            noise = tf.random.stateless_uniform([self.rows], [draw, step], alg="philox")
            rows = tf.math.top_k(noise, self.batch_size).indices[start : start + share]
            element = {"rows": rows} if subset is None else {"places": rows, "rows": subset(rows)}
            if self.flipped:
                coins = tf.random.stateless_uniform([self.batch_size], [flip, step], alg="philox")
                element["mirrored"] = coins[start : start + share] < 0.5
            return element

        return rows_of

    def _tables(self, first: int, last: int, own: range, share: int) -> dict[str, np.ndarray]:
        """The same for all elements of a permutation, [elements, share]; an epoch's are a function of its number."""
        size, begun = self.epoch_steps * self.batch_size, first // self.epoch_steps
        found: dict[str, list[np.ndarray]] = {"places": [], "mirrored": []}
        for epoch in range(begun, -(-last // self.epoch_steps)):
            rng = generator(self.seed, f"epochs of {self.phase}/{self.round}", epoch)
            found["places"].append(np.resize(rng.permutation(self.rows), size))
            found["mirrored"].append(rng.random(size) < 0.5)
        steps = slice(first - begun * self.epoch_steps, last - begun * self.epoch_steps)

        def cut(values: np.ndarray) -> np.ndarray:
            return values.reshape(-1, self.batch_size // share, share)[steps, own.start : own.stop].reshape(-1, share)

        tables = {name: cut(np.concatenate(values)) for name, values in found.items()}
        counted = np.arange(size).reshape(self.epoch_steps, -1) < self.rows
        tables["counted"] = cut(np.tile(counted, (len(found["places"]), 1))).astype(np.float32)
        places = tables["places"].astype(np.int32)
        if not self.flipped:
            del tables["mirrored"]
        if self.subset is None:
            del tables["places"]
            return tables | {"rows": places}
        return tables | {"places": places, "rows": self.subset.astype(np.int32)[places]}

    def _reading(self, share: int) -> Callable[[Element], Element]:
        """From rows to the arrays' values; half of the rows are mirrored."""
        readers = {name: _reader(array) for name, array in self.arrays.items()}
        twins = {name: _reader(array) for name, array in self.flipped.items() if array is not None}

        def values_of(element: Element) -> Element:
            rows = element["rows"]
            found = {**element, **{name: read(rows) for name, read in readers.items()}}
            mirrored = found.pop("mirrored", None)
            for name in self.flipped:
                plain = found[name]
                twin = twins[name](rows) if name in twins else tf.reverse(plain, axis=[2])
                found[name] = tf.where(tf.reshape(mirrored, [-1] + [1] * (plain.shape.rank - 1)), twin, plain)
            return {name: tf.ensure_shape(value, [share, *value.shape[1:]]) for name, value in found.items()}

        return values_of


def resident(array: np.ndarray) -> np.ndarray | tf.Tensor:
    """The array as a tensor that the batches of many phases share; a large memory map as it is."""
    if isinstance(array, np.memmap) and array.nbytes > _TENSOR_BYTES:
        return array
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(array)


def _reader(array: np.ndarray | tf.Tensor):
    """rows int32 [b] -> array[rows], from a tensor, or from the file of a large memory map."""
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
