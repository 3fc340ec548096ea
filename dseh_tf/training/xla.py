"""Training steps under XLA with deterministic operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf


@contextmanager
def slice_pooling() -> Iterator[None]:
    """Inside this context, keras.layers.MaxPooling2D is traced as a maximum of strided slices.

    The outputs are the same, and so are the gradients: of equal values the first gets it. XLA has no deterministic gradient of
    the max-pooling operation (TensorFlow 2.21), but one of slices and of the maximum of two tensors.
    """
    layer = keras.layers.MaxPooling2D
    own = layer.__dict__.get("call")

    def call(self: keras.layers.MaxPooling2D, inputs: tf.Tensor) -> tf.Tensor:
        return max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    layer.call = call
    try:
        yield
    finally:
        if own is None:
            del layer.call
        else:
            layer.call = own


def max_pool(
    x: tf.Tensor, size: tuple[int, int], strides: tuple[int, int], padding: str, data_format: str
) -> tf.Tensor:
    """Maxima over windows, as tf.nn.max_pool2d gives them: of [b, height, width, c], or [b, c, height, width].

    Args:
        x: Floats.
        size: Size of a window.
        strides: Between windows.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
    """
    axes = (1, 2) if data_format == "channels_last" else (2, 3)
    places = []
    paddings = [[0, 0]] * 4
    for axis, window, stride in zip(axes, size, strides, strict=True):
        length = x.shape[axis]
        if padding == "same":
            count = -(-length // stride)
            extra = max((count - 1) * stride + window - length, 0)
            paddings[axis] = [extra // 2, extra - extra // 2]
        else:
            count = (length - window) // stride + 1
        places.append([slice(first, first + (count - 1) * stride + 1, stride) for first in range(window)])
    if padding == "same":
        x = tf.pad(x, paddings, constant_values=x.dtype.min)
    found = None
    for rows in places[0]:
        for columns in places[1]:
            index = [slice(None)] * 4
            index[axes[0]], index[axes[1]] = rows, columns
            part = x[tuple(index)]
            found = part if found is None else tf.maximum(found, part)
    assert found is not None
    return found
