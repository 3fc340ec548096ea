"""On 1, 2 or 4 replicas a run computes the same loss on the same batches; rounding alone differs."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.replicas import gather, make_strategy, own_rows, replica_id, split_sum


@pytest.fixture(scope="module")
def dataset() -> RetrievalDataset:
    rng = np.random.default_rng(1)
    labels = np.zeros((256, 6), np.uint8)
    labels[np.arange(256), rng.integers(0, 6, 256)] = 1
    labels[np.arange(256), rng.integers(0, 6, 256)] = 1
    pattern = rng.integers(0, 256, (6, 16, 16, 3))
    images = labels @ pattern.reshape(6, -1) / labels.sum(1, keepdims=True)
    images = np.clip(images.reshape(-1, 16, 16, 3) + rng.normal(0, 20, (256, 16, 16, 3)), 0, 255).astype(np.uint8)
    return RetrievalDataset.from_arrays((images, labels), (images[:32], labels[:32]), (images, labels))


def _traces(dataset: RetrievalDataset, strategy, **settings) -> dict[str, np.ndarray]:
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH
    from dseh_tf.methods.image_encoder import Trunk

    # With flips, dropout between layers that exchange statistics, LabNet's clip. Adam makes a whole step of a gradient of
    # nearly nothing, by its sign, which float32 decides: at 1e-3 a network from scratch carries that on to the loss.
    defaults = {
        "labnet_epochs": (13,), "imgnet_epochs": (13,), "labnet_width": 128, "feature_dim": 64, "imgnet_learning_rate": 3e-4,
        "dropout": 0.3,
    }  # fmt: skip
    method = DSEH(16, seed=3, preset="release", trunk=Trunk("compact", 16), **{**defaults, **settings})
    fitted = method.fit(dataset, Runtime(strategy=strategy, progress=False, evaluate_rounds=False))
    return fitted.traces


@pytest.fixture(scope="module")
def single(tf, dataset):
    return _traces(dataset, tf.distribute.get_strategy())


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 4])
def test_loss_trace_is_that_of_one_replica(tf, dataset, single, replicas):
    several = _traces(dataset, make_strategy("mirrored", replicas))
    assert set(several) == set(single)
    for phase in ("labnet", "imgnet"):
        one, more = single[f"{phase}/0/total"], several[f"{phase}/0/total"]
        assert len(one) >= 100
        np.testing.assert_allclose(more[:100], one[:100], rtol=1e-4)


def test_gather_keeps_replica_order(tf):
    strategy = make_strategy("mirrored", 4)

    @tf.function
    def run():
        return strategy.run(lambda: gather(tf.fill([2, 3], float(replica_id()))))

    for value in strategy.experimental_local_results(run()):
        np.testing.assert_array_equal(value[:, 0], [0, 0, 1, 1, 2, 2, 3, 3])


def test_gather_passes_the_gradient(tf):
    """Sum over replicas of a loss on all rows: each row's gradient counts every replica's share once."""
    strategy = make_strategy("mirrored", 2)

    @tf.function
    def run():
        def share():
            x = tf.fill([1], 1.0 + replica_id())
            with tf.GradientTape() as tape:
                tape.watch(x)
                # every replica holds half of sum_i x_i^2 over all rows
                loss = 0.5 * tf.reduce_sum(gather(x) ** 2)
            return tape.gradient(loss, x)

        return strategy.run(share)

    gradients = [float(g[0]) for g in strategy.experimental_local_results(run())]
    assert gradients == [2.0, 4.0]


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_parts_of_a_bank_add_up(tf, replicas):
    """Every row is in one part, in order; a replica's equal share of all terms gives the sum over the bank once."""
    strategy = make_strategy("mirrored", replicas) if replicas > 1 else tf.distribute.get_strategy()
    bank, parts = np.arange(1.0, 8.0, dtype=np.float32), {}

    def part():
        parts[replica_id()] = rows = own_rows(len(bank))
        return split_sum(tf.reduce_sum(tf.constant(bank)[rows.start : rows.stop])) / replicas

    shares = strategy.experimental_local_results(strategy.run(part))
    assert [row for _, rows in sorted(parts.items()) for row in rows] == list(range(7))
    assert float(sum(shares)) == bank.sum()


def test_batch_must_divide(tf, dataset):
    from dseh_tf.errors import InputError

    strategy = make_strategy("mirrored", 3)
    with pytest.raises(InputError, match="labnet batch: found 32 rows for 3 replicas"):
        _traces(dataset, strategy)


@pytest.mark.parametrize("gpu", [False, True])
def test_rows_are_written(tf, monkeypatch, gpu):
    """As on a CPU and as on a GPU, beside numpy; a row that is named twice has its last values."""
    from dseh_tf.devices import replicas

    rng = np.random.default_rng(0)
    monkeypatch.setattr(replicas, "on_gpu", lambda variable: gpu)
    for shape in ((9,), (9, 4)):
        bank = tf.Variable(rng.standard_normal(shape), dtype=tf.float32)
        expected = bank.numpy()
        rows, values = np.array([3, 8, 0, 3], np.int32), rng.standard_normal((4, *shape[1:])).astype(np.float32)
        with tf.GradientTape() as tape:
            given = tf.constant(values)
            tape.watch(given)
            replicas.write_rows(bank, tf.constant(rows), given)
            total = tf.reduce_sum(bank)
        for row, value in zip(rows, values, strict=True):
            expected[row] = value
        np.testing.assert_array_equal(bank.numpy(), expected)
        assert tape.gradient(total, given) is None
