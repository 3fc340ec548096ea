"""The encoders of the shallow methods (see `dseh_tf.encoding.shallow`) as TensorFlow graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from dseh_tf.encoding.shallow import BiasedKernel, CentredKernel, Projection, Rows, ShallowEncoder, Sinusoids
from dseh_tf.encoding.trees import LEVELS, Trees

Graph = Callable[[tf.Tensor], tf.Tensor]


def project(encoder: ShallowEncoder, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The real values [n, K] of raw rows float32 [n, d].

    Args:
        encoder: Any encoder that `dseh_tf.encoding.saved` reads.
        x: The rows.
        dtype: What is computed in and returned: float64 as in numpy, or float32 for runtimes that lack it.
    """
    x = tf.cast(x, dtype)
    match encoder:
        case Projection():
            return tf.matmul(_centred(encoder.rows, x), _constant(encoder.weights, dtype))
        case Sinusoids():
            values = tf.matmul(_centred(encoder.rows, x), _constant(encoder.directions, dtype))
            values = tf.gather(values - _constant(encoder.lowest, dtype), encoder.direction.astype(np.int32), axis=1)
            return tf.sin(_constant(encoder.frequency, dtype) * values + _constant(np.pi / 2, dtype))
        case CentredKernel():
            phi = _rbf(_scaled(encoder.rows, x), encoder) - _constant(encoder.centre, dtype)
            return tf.matmul(phi, _constant(encoder.weights, dtype))
        case BiasedKernel():
            phi, weights = _rbf(_scaled(encoder.rows, x), encoder), encoder.weights
            return tf.matmul(phi, _constant(weights[:-1], dtype)) + _constant(weights[-1], dtype)
        case Trees():
            return _tree_sums(encoder, _centred(encoder.rows, x))
    raise TypeError(f"found an encoder of {type(encoder).__name__}, expected one of dseh_tf.encoding")


def _scaled(rows: Rows, x: tf.Tensor) -> tf.Tensor:
    if not rows.normalise:
        return x
    largest = tf.reduce_max(tf.abs(x), axis=1, keepdims=True)
    x = x / tf.where(largest > 0, largest, tf.ones_like(largest))  # so that no square leaves the range
    length = tf.sqrt(tf.reduce_sum(x * x, axis=1, keepdims=True))
    return x / tf.where(length > 0, length, tf.ones_like(length))


def _centred(rows: Rows, x: tf.Tensor) -> tf.Tensor:
    return _scaled(rows, x) - _constant(rows.mean, x.dtype)


def _rbf(x: tf.Tensor, encoder: CentredKernel | BiasedKernel) -> tf.Tensor:
    anchors = np.asarray(encoder.anchors, np.float64)
    squares = tf.reduce_sum(x * x, axis=1, keepdims=True) + _constant((anchors**2).sum(axis=1), x.dtype)
    distances = squares - 2 * tf.matmul(x, _constant(anchors.T, x.dtype))
    return tf.exp(tf.maximum(distances, tf.zeros_like(distances)) / _constant(encoder.divisor, x.dtype))


def _tree_sums(trees: Trees, x: tf.Tensor) -> tf.Tensor:
    """All trees of all rows walk down together, as many steps as the deepest tree has."""
    dtype = x.dtype
    seen = tf.matmul(x, _constant(trees.directions, dtype)) - _constant(trees.lowest, dtype)
    seen = tf.clip_by_value(tf.floor(seen / _constant(trees.step, dtype)), 0, LEVELS - 1)
    left, right = trees.left.astype(np.int32), trees.right.astype(np.int32)
    inner = left >= 0
    # A leaf leads to itself.
    own = np.arange(len(left), dtype=np.int32)
    down = tf.constant(np.stack([np.where(inner, right, own), np.where(inner, left, own)], axis=1).reshape(-1))
    feature, threshold = trees.feature.astype(np.int32), _constant(trees.threshold, dtype)
    node = tf.zeros_like(seen[:, :1], tf.int32) + trees.roots.astype(np.int32)[None]
    for _ in range(_depth(trees)):
        level = tf.gather(seen, tf.gather(feature, node), axis=1, batch_dims=1)
        below = tf.cast(level <= tf.gather(threshold, node), tf.int32)
        node = tf.gather(down, 2 * node + below)
    # One column per bit with a 1 at its trees; a matrix product sums in every runtime.
    bit_of = np.repeat(np.arange(trees.bits), np.diff(trees.first_tree))
    member = (bit_of[:, None] == np.arange(trees.bits)).astype(np.float64)
    sums = tf.matmul(tf.gather(_constant(trees.value, dtype), node), _constant(member, dtype))
    return sums + _constant(trees.baseline, dtype)


def _depth(trees: Trees) -> int:
    """Steps from a root to the deepest leaf. A child comes after its parent."""
    depth = np.zeros(len(trees.left), np.int64)
    for node in np.flatnonzero(trees.left >= 0):
        for child in (trees.left[node], trees.right[node]):
            depth[child] = max(depth[child], depth[node] + 1)
    return int(depth.max(initial=0))


def _constant(values: Any, dtype: tf.DType) -> tf.Tensor:
    return tf.constant(np.asarray(values), dtype)
