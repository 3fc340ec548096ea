"""SSAH's multi-scale fusion of text rows: averages over neighbouring words, in addition to the words themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def stretched(places: int, words: int, dtype: str = "float32") -> np.ndarray:
    """The matrix [places, words] that stretches rows of `places` values to `words` values.

    It is the bilinear resizing of TensorFlow 1 (`tf.compat.v1.image.resize_images`): value i is read at i * places / words, where
    `tf.image.resize` reads at (i + 1/2) * places / words - 1/2.
    """
    at = np.arange(words) * (places / words)
    lower = np.floor(at).astype(int)
    upper, share = np.minimum(lower + 1, places - 1), at - lower
    matrix = np.zeros((places, words))
    np.add.at(matrix, (lower, np.arange(words)), 1.0 - share)
    np.add.at(matrix, (upper, np.arange(words)), share)
    return matrix.astype(dtype)


@keras.saving.register_keras_serializable("dseh_tf")
class MultiScaleTexts(keras.layers.Layer):
    """Text rows [b, t] and their averages over windows of neighbouring words: to [b, t, 1 + scales].

    Each scale averages windows that do not overlap, multiplies by one trained weight, takes the ReLU and stretches the result
    back to t values. A weight that starts below zero leaves its scale at zero for good where texts are not negative. Source:
    lelan-li/SSAH:tnet.py (interp_block, MultiScaleTxt).

    Args:
        windows: Widths in words, in the order of the output. Those wider than the texts are left out.
        seed: Seed of the weights, which are normal of size .01.
    """

    def __init__(self, windows: Sequence[int], seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.windows, self.seed = tuple(windows), seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        words = int(input_shape[-1] or 0)
        self._used = [window for window in self.windows if window <= words]
        self._weights = [
            self.add_weight(
                name=f"scale_{window}",
                shape=(),
                initializer=keras.initializers.RandomNormal(stddev=0.01, seed=self.seed + index),
            )
            for index, window in enumerate(self._used)
        ]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        words, channels = x.shape[-1], [x]
        for window, weight in zip(self._used, self._weights, strict=True):
            places = words // window
            windows = tf.reshape(x[:, : places * window], [-1, places, window])
            averages = tf.nn.relu(tf.reduce_mean(windows, axis=2) * tf.convert_to_tensor(weight))
            channels.append(tf.matmul(averages, stretched(places, words, x.dtype.name)))
        return tf.stack(channels, axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        used = [window for window in self.windows if window <= int(input_shape[-1] or 0)]
        return (*input_shape, 1 + len(used))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "windows": list(self.windows), "seed": self.seed}
