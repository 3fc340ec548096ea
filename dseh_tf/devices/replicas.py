"""Devices: the distribution strategy, and the exchange between its replicas.

On any number of replicas, a run computes the same loss on the same batches, and only rounding differs: every loss is
divided by counts of the *global* batch, gradients are summed over the replicas before they are clipped, and masks and
batches are slices of the global ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from dseh_tf.devices.cluster import read_cluster
from dseh_tf.errors import InputError


def make_strategy(name: str = "default", replicas: int = 0) -> tf.distribute.Strategy:
    """The distribution strategy of a run.

    name: "default" (one device, or all GPUs if there are several), "mirrored" or "multi_worker" (TF_CONFIG).
    replicas: how many; 0 for every GPU, or one CPU. More than there are GPUs makes logical CPU devices, which only
    works before TensorFlow has used its devices; InputError otherwise.
    """
    if name == "multi_worker":
        cluster = read_cluster()
        if replicas:
            raise InputError(f"replicas: found {replicas} with multi_worker, expected 0: a worker uses all of its GPUs")
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.OpError as error:
            told = (error.message.splitlines() or [type(error).__name__])[0]
            raise InputError(f"TF_CONFIG: {cluster.name(cluster.index)}: cannot start ({told})") from error
    if name not in ("default", "mirrored"):
        raise InputError(f"strategy: found {name!r}, expected default, mirrored or multi_worker")
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    count = replicas or len(gpus) or 1
    if name == "default" and count == 1:
        return tf.distribute.get_strategy()
    if count <= len(gpus):
        return tf.distribute.MirroredStrategy([d.name for d in gpus[:count]])
    # Within one processor a sum is a sum: no collectives, whose groups of other sizes would clash in one process.
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([d.name for d in logical_cpus(count)[:count]], reduction)


def logical_cpus(count: int) -> list[tf.config.LogicalDevice]:
    """At least `count` logical CPU devices. Raises InputError if TensorFlow already runs with fewer."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        pass  # already initialised: the count below tells whether it is enough
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < count:
        raise InputError(f"replicas: found {len(devices)} logical devices in a running TensorFlow, expected {count}")
    return devices


def local_devices(strategy: tf.distribute.Strategy) -> tuple[str, ...]:
    """The devices of this process, one per replica."""
    if strategy.num_replicas_in_sync == 1 and not isinstance(strategy, tf.distribute.MirroredStrategy):
        return ((tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0].name,)
    return tuple(strategy.extended.worker_devices)


def replica_id() -> int:
    """The current replica's number among all of them; a Python number while the step is traced."""
    return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))


def replica_count() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(rows: int) -> range:
    """This replica's contiguous part of `rows` rows that all replicas have (in a replica context)."""
    count, index = replica_count(), replica_id()
    return range(rows * index // count, rows * (index + 1) // count)


def split_sum(part: tf.Tensor) -> tf.Tensor:
    """A sum over the rows of a bank as a term of the global loss, from this replica's part of it (`own_rows`).

    Replicas take an equal share of every term, and the shares are added up.
    """
    count = replica_count()
    return part if count == 1 else part * count


def gather(x: tf.Tensor) -> tf.Tensor:
    """[b, ...] of every replica as [replicas * b, ...], in replica order, on each of them.

    Implemented as a sum of tensors that are zero except for the rows of one replica: `all_gather` fails inside
    tf.function under MultiWorkerMirroredStrategy, and a sum has the right gradient.
    """
    count = replica_count()
    if count == 1:
        return x
    slot = tf.reshape(tf.one_hot(replica_id(), count, dtype=x.dtype), [count] + [1] * x.shape.rank)
    everyone = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, slot * x[None])
    return tf.reshape(everyone, tf.concat([[-1], tf.shape(x)[1:]], 0))


def sum_gradients(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients of the global loss from those of the replicas' shares of it."""
    if replica_count() == 1:
        return list(gradients)
    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)))


def write_rows(variable: tf.Variable, rows: tf.Tensor, values: tf.Tensor) -> None:
    """Sets variable[rows] = values, without a gradient. If a row occurs twice, its last values are used.

    With deterministic operations a scatter on a GPU copies the whole variable to the host and back (TensorFlow 2.21,
    core/kernels/scatter_nd_op.cc). There each row looks up its values among those of the batch instead.

    Args:
        variable: [n, ...].
        rows: int32 [b].
        values: [b, ...].
    """
    values = tf.stop_gradient(values)
    if not on_gpu(variable):
        variable.scatter_nd_update(rows[:, None], values)
        return
    batch = tf.range(1, tf.shape(rows)[0] + 1)
    named = tf.equal(tf.range(tf.shape(variable)[0])[:, None], rows[None, :])
    place = tf.reduce_max(tf.where(named, batch[None, :], 0), axis=1)  # 0 for a row that is not in the batch
    shape = tf.concat([tf.shape(place), tf.ones([variable.shape.rank - 1], tf.int32)], axis=0)
    found = tf.gather(values, tf.maximum(place - 1, 0))
    variable.assign(tf.where(tf.reshape(place > 0, shape), found, tf.convert_to_tensor(variable)))


def on_gpu(variable: tf.Variable) -> bool:
    return "GPU" in variable.device


class PerReplicaVariables:
    """One plain variable a replica with the same content, on that replica's device.

    For large state that every replica updates at the same rows itself, which avoids mirrored writes and copies between
    devices.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        initial: np.ndarray | tf.Tensor,
        name: str,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        """Creates a copy of `initial` for each local replica; `shape` has None if the size may change."""
        devices = local_devices(strategy)
        self._first = 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self._first = strategy.cluster_resolver.task_id * len(devices)
        self.copies: list[tf.Variable] = []
        for device in devices:
            with tf.device(device):
                self.copies.append(tf.Variable(initial, trainable=False, name=name, shape=shape))

    @property
    def local(self) -> tf.Variable:
        """The current replica's copy (in a replica context)."""
        return self.copies[replica_id() - self._first]

    @property
    def primary(self) -> tf.Variable:
        """The copy that is checkpointed."""
        return self.copies[0]

    def assign(self, value: np.ndarray | tf.Tensor) -> None:
        """Sets every copy (outside of a step)."""
        for copy in self.copies:
            copy.assign(value)

    def spread(self) -> None:
        """Copies the primary to the others, after a checkpoint was restored into it."""
        for copy in self.copies[1:]:
            copy.assign(self.primary)


class RowStream:
    """Applies a network to many rows, over all local replicas; traced once for each shape of a batch.

    function: of one tensor [b, ...] to {name: [b, ...]}.
    """

    def __init__(self, strategy: tf.distribute.Strategy, function: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> None:
        self.strategy = strategy
        self._run = tf.function(lambda values: strategy.run(function, args=(values,)), reduce_retracing=True)

    def __call__(self, batches: Iterable[np.ndarray], batch_size: int) -> Iterator[dict[str, np.ndarray]]:
        """Yields the function's outputs batch by batch, rows in order.

        batches: arrays with at most `batch_size` rows each, padded here to one shape.
        """
        count = len(local_devices(self.strategy))
        share = -(-batch_size // count)
        first = 0
        if isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            first = self.strategy.cluster_resolver.task_id * count
        behind: tuple[dict, int] | None = None
        for batch in batches:
            rows = len(batch)
            if rows < share * count:
                batch = np.concatenate([batch, np.repeat(batch[-1:], share * count - rows, axis=0)])

            def value(context: tf.distribute.ValueContext, batch: np.ndarray = batch) -> tf.Tensor:
                start = (context.replica_id_in_sync_group - first) * share
                return tf.convert_to_tensor(batch[start : start + share])

            outputs = self._run(self.strategy.experimental_distribute_values_from_function(value))
            # A device may still be at work on it: its next batch is handed over before this one is read back.
            if behind:
                yield self._read(*behind)
            behind = outputs, rows
        if behind:
            yield self._read(*behind)

    def _read(self, outputs: dict, rows: int) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate([v.numpy() for v in self.strategy.experimental_local_results(output)])[:rows]
            for name, output in outputs.items()
        }


def joined(outputs: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What a `RowStream` yields, as one array of all rows by output name."""
    parts: dict[str, list[np.ndarray]] = {}
    for batch in outputs:
        for name, rows in batch.items():
            parts.setdefault(name, []).append(rows)
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}
