"""Layers that Keras lacks, or whose Keras version depends on the number of replicas."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("dseh_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """x / (bias + alpha * sum of squares over the neighbouring channels) ** beta, over the last axis.

    Works on [b, channels] and on [b, height, width, channels]. The defaults are those of CNN-F and of the release's
    LabNet (lelan-li/DSEH:net_vggf.py); alpha is not divided by the window size, as in MatConvNet.
    """

    def __init__(self, radius: int = 2, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs) -> None:
        super().__init__(**kwargs)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x: tf.Tensor) -> tf.Tensor:
        # The sum of squares wants float32's range.
        return tf.cast(self._normalize(tf.cast(x, tf.float32)), x.dtype)

    def _normalize(self, x: tf.Tensor) -> tf.Tensor:
        """By shifted sums: a ninth of the time that tf.nn.local_response_normalization takes on a CPU."""

        @tf.custom_gradient
        def normalize(x: tf.Tensor) -> tuple:
            size = self.bias + self.alpha * self._window_sum(tf.square(x))
            factor = tf.exp(-self.beta * tf.math.log(size))

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                shared = self._window_sum(upstream * x * factor / size)
                return upstream * factor - (2.0 * self.alpha * self.beta) * x * shared

            return x * factor, gradient

        return normalize(x)

    def _window_sum(self, x: tf.Tensor) -> tf.Tensor:
        """Sum over each channel and its `radius` neighbours on both sides."""
        channels = x.shape[-1]
        padded = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[self.radius, self.radius]])
        return (
            sum(padded[..., shift : shift + channels] for shift in range(1, 2 * self.radius + 1))
            + padded[..., :channels]
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(), "radius": self.radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta
        }  # fmt: skip


@dataclass(frozen=True)
class DropoutStream:
    """Where the masks of one training step come from.

    seed: int64 [2], a pure function of the run's seed, the phase, the round and the step. first_row: this replica's
    first row within the global batch (int or scalar). global_batch: rows of the global batch.
    """

    seed: tf.Tensor
    first_row: tf.Tensor | int
    global_batch: int


class _Streams(threading.local):
    """A stack for each thread: MirroredStrategy traces every replica in its own, by turns where they exchange statistics."""

    def __init__(self) -> None:
        self.stack: list[DropoutStream] = []


_streams = _Streams()


@contextmanager
def dropout_stream(stream: DropoutStream) -> Iterator[None]:
    """Makes `stream` the source of every GlobalDropout called within (while the step is traced)."""
    _streams.stack.append(stream)
    try:
        yield
    finally:
        _streams.stack.pop()


@keras.saving.register_keras_serializable("dseh_tf")
class StraightThroughSign(keras.layers.Layer):
    """The sign, -1 or 1, that of 0 positive; the gradient passes as if it were the identity.

    Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN", NeurIPS 2018.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        signs = tf.where(x >= 0, tf.ones_like(x), -tf.ones_like(x))
        return tf.stop_gradient(signs) + (x - tf.stop_gradient(x))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable("dseh_tf")
class GlobalDropout(keras.layers.Layer):
    """Dropout that is the same on any number of replicas.

    `keras.layers.Dropout` draws the same mask on every replica. Here the mask of the global batch is drawn with a
    stateless operation, and each replica uses its rows of it. Raises RuntimeError if it is called with training=True
    outside `dropout_stream`. salt: distinguishes the layers of a network.
    """

    def __init__(self, rate: float, salt: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate, self.salt = rate, salt

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or not self.rate:
            return x
        if not _streams.stack:
            raise RuntimeError(f"{self.name}: training without a dropout_stream, expected one around the step")
        stream = _streams.stack[-1]
        seed = stream.seed + tf.constant([self.salt, 0], tf.int64)
        drawn = tf.random.stateless_uniform([stream.global_batch, *x.shape[1:]], seed, alg="philox")
        drawn = drawn[stream.first_row : stream.first_row + tf.shape(x)[0]]
        kept = tf.cast(drawn >= self.rate, x.dtype)
        return x * kept / (1.0 - self.rate)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "salt": self.salt}


def new_layer(units: int, name: str, seed: int, size: float = 0.01, **kwargs) -> keras.layers.Dense:
    """A fully connected layer with the initial weights of the release, lelan-li/DSEH:net_vggf.py.

    Weights come from a truncated normal of `size`, .01 there, and biases from a normal of size .01. seed: of these draws.
    """
    weights = keras.initializers.TruncatedNormal(stddev=size, seed=seed)
    biases = keras.initializers.RandomNormal(stddev=0.01, seed=seed + 1)
    return keras.layers.Dense(units, kernel_initializer=weights, bias_initializer=biases, name=name, **kwargs)


def linear_layer(units: int, width: int, name: str, seed: int, **kwargs) -> keras.layers.Dense:
    """A fully connected layer of float32 with torch's initial weights, for methods whose releases are in torch.

    Weights and biases are uniform in ±1 / sqrt(width). width: of the input. seed: of these draws.
    """
    bound = width**-0.5
    weights = keras.initializers.RandomUniform(-bound, bound, seed)
    biases = keras.initializers.RandomUniform(-bound, bound, seed + 1)
    return keras.layers.Dense(
        units, kernel_initializer=weights, bias_initializer=biases, name=name, dtype="float32", **kwargs
    )
