"""Max-pooling by slices, beside TensorFlow's operation: outputs and gradients, ties included."""

import numpy as np
import pytest


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3))])
def test_pooling_by_slices_is_max_pooling(tf, padding, size, strides):
    import keras

    from dseh_tf.training.xla import slice_pooling

    x = tf.constant(np.random.default_rng(0).integers(-3, 3, (2, 9, 8, 3)).astype(np.float32))
    layer = keras.layers.MaxPooling2D(size, strides, padding)

    def values():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=tf.float32), y.shape))
        return y, tape.gradient(loss, x)

    plain = values()
    with slice_pooling():
        sliced = values()
    for before, now in zip(plain, sliced, strict=True):
        np.testing.assert_array_equal(before.numpy(), now.numpy())
    assert "call" not in keras.layers.MaxPooling2D.__dict__
    first = keras.layers.MaxPooling2D(size, strides, padding, data_format="channels_first")
    with slice_pooling():
        np.testing.assert_array_equal(first(tf.transpose(x, [0, 3, 1, 2])), tf.transpose(plain[0], [0, 3, 1, 2]))
