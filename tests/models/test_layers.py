"""Response normalisation against loops; dropout that does not depend on the number of replicas."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dseh_tf.models.layers import DropoutStream, GlobalDropout, LocalResponseNormalization, dropout_stream, new_layer


def _lrn(x: np.ndarray, radius: int, bias: float, alpha: float, beta: float) -> np.ndarray:
    out = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        *where, channel = place
        total = sum(
            float(x[(*where, k)]) ** 2 for k in range(max(0, channel - radius), min(x.shape[-1], channel + radius + 1))
        )
        out[place] = x[place] / (bias + alpha * total) ** beta
    return out


@pytest.mark.parametrize("shape", [(3, 9), (2, 3, 4, 7), (2, 1, 1, 2)])
@pytest.mark.parametrize("options", [(2, 2.0, 1e-4, 0.75), (1, 1.0, 0.3, 0.5), (4, 0.5, 0.1, 0.75)])
def test_response_normalization(rng, shape, options):
    x = rng.normal(0, 30, shape).astype(np.float32)
    found = LocalResponseNormalization(*options)(x).numpy()
    np.testing.assert_allclose(found, _lrn(x, *options), rtol=1e-5)


def test_response_normalization_defaults_are_cnn_fs(rng):
    x = rng.normal(0, 100, (4, 12)).astype(np.float32)
    found = LocalResponseNormalization()(x).numpy()
    np.testing.assert_allclose(found, _lrn(x, 2, 2.0, 1e-4, 0.75), rtol=1e-5)
    # dividing alpha by the five channels, as other libraries do, is seen
    assert np.abs(found - _lrn(x, 2, 2.0, 1e-4 / 5, 0.75)).max() > 1


def test_response_normalization_has_the_right_gradient(tf, rng):
    x = rng.normal(0, 1, (2, 6))
    options = (2, 1.0, 0.5, 0.75)
    layer = LocalResponseNormalization(*options)
    tensor = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        total = tf.reduce_sum(layer(tensor))
    numeric = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        numeric[place] = (_lrn(x + step, *options).sum() - _lrn(x - step, *options).sum()) / 2e-5
    np.testing.assert_allclose(tape.gradient(total, tensor), numeric, rtol=1e-3, atol=1e-4)


def test_response_normalization_keeps_bfloat16(tf, rng):
    x = rng.normal(0, 30, (2, 8)).astype(np.float32)
    found = LocalResponseNormalization(dtype="bfloat16")(x)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), _lrn(x, 2, 2.0, 1e-4, 0.75), rtol=2e-2)


def _stream(tf, seed: int = 5, first: int = 0, rows: int = 8) -> DropoutStream:
    return DropoutStream(tf.constant([seed, 3], tf.int64), first, rows)


def test_dropout_of_a_share_is_the_share_of_the_dropout(tf, rng):
    x = rng.normal(size=(8, 50)).astype(np.float32)
    layer = GlobalDropout(0.4, salt=6)
    with dropout_stream(_stream(tf)):
        whole = layer(x, training=True).numpy()
    assert not np.array_equal(whole[:4] == 0, whole[4:] == 0)
    for replicas in (2, 4):
        share = 8 // replicas
        parts = []
        for replica in range(replicas):
            with dropout_stream(_stream(tf, first=replica * share)):
                parts.append(layer(x[replica * share : (replica + 1) * share], training=True).numpy())
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("replicas", [2, 4])
def test_dropout_under_a_strategy(tf, rng, replicas):
    from dseh_tf.devices.replicas import make_strategy, replica_id

    x = rng.normal(size=(8, 50)).astype(np.float32)
    layer = GlobalDropout(0.5, salt=6)
    with dropout_stream(_stream(tf)):
        whole = layer(x, training=True).numpy()
    strategy, share = make_strategy("mirrored", replicas), 8 // replicas

    @tf.function
    def step():
        first = replica_id() * share
        with dropout_stream(_stream(tf, first=first)):
            return layer(tf.constant(x)[first : first + share], training=True)

    parts = strategy.experimental_local_results(strategy.run(step))
    np.testing.assert_array_equal(np.concatenate([part.numpy() for part in parts]), whole)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_drops_its_rate_and_keeps_the_mean(tf, rate):
    x = np.ones((64, 2000), np.float32)
    with dropout_stream(_stream(tf, rows=64)):
        y = GlobalDropout(rate, salt=6)(x, training=True).numpy()
    error = 5 * np.sqrt(rate * (1 - rate) / y.size)
    assert np.mean(y == 0) == pytest.approx(rate, abs=error)
    np.testing.assert_allclose(y[y > 0], 1 / (1 - rate), rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=error / (1 - rate))
    # neither rows nor columns share their masks
    assert len(np.unique(y, axis=0)) == 64 and np.ptp(np.mean(y == 0, axis=0)) > 0


def test_dropout_masks_differ_by_seed_step_and_salt(tf):
    x = np.ones((8, 200), np.float32)

    def mask(seed: int, step: int, salt: int) -> bytes:
        with dropout_stream(DropoutStream(tf.constant([seed, step], tf.int64), 0, 8)):
            return GlobalDropout(0.5, salt)(x, training=True).numpy().tobytes()

    assert mask(1, 1, 6) == mask(1, 1, 6)
    assert len({mask(1, 1, 6), mask(1000, 1, 6), mask(1, 2, 6), mask(1, 1, 7)}) == 4


def test_dropout_rests_outside_training(tf, rng):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    layer = GlobalDropout(0.5, salt=6, name="dropout6")
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(GlobalDropout(0.0, salt=6)(x, training=True), x)


def test_dropout_raises_without_a_stream(tf, rng):
    layer = GlobalDropout(0.5, salt=6, name="dropout6")
    with pytest.raises(RuntimeError, match="dropout6: training without a dropout_stream"):
        layer(np.ones((4, 5), np.float32), training=True)
    with pytest.raises(KeyError), dropout_stream(_stream(tf)):
        raise KeyError  # a step that fails leaves no stream behind
    with pytest.raises(RuntimeError, match="dropout_stream"):
        layer(np.ones((4, 5), np.float32), training=True)


def test_layers_are_saved_with_their_settings(tmp_path, rng):
    inputs = keras.Input((6,))
    x = LocalResponseNormalization(1, 1.5, 0.2, 0.5, name="lrn")(inputs)
    model = keras.Model(inputs, GlobalDropout(0.3, salt=9, name="drop")(x))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    values = rng.normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_array_equal(loaded(values), model(values))
    assert (loaded.get_layer("drop").rate, loaded.get_layer("drop").salt) == (0.3, 9)


def test_new_layers_start_small(tf):
    layer = new_layer(400, "fc8", seed=3)
    layer.build((None, 1000))
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    # a normal of .01 cut at two standard deviations has .8796 of its size
    assert kernel.std() == pytest.approx(0.01 * 0.8796, rel=0.01)
    assert np.abs(kernel).max() <= 0.02
    assert bias.std() == pytest.approx(0.01, rel=0.15)
    assert abs(kernel.mean()) < 1e-4


def test_new_layers_of_another_size(tf):
    layer = new_layer(400, "fc1", 3, 0.1)
    layer.build((None, 1000))
    assert layer.kernel.numpy().std() == pytest.approx(0.1 * 0.8796, rel=0.01)
    assert layer.bias.numpy().std() == pytest.approx(0.01, rel=0.15)
