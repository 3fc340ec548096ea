"""Losses of triplets of rows, and the drawing of triplets from a batch."""

from __future__ import annotations

import tensorflow as tf


def sample_triplets(similar: tf.Tensor, seed: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`count` triplets an anchor row within a batch: (positives, negatives, valid), each [count, b].

    similar: [b, b], 0 or 1. seed: int64 [2]; the same seed, the same triplets. positives and negatives: int32 rows, drawn
    uniformly among those similar to the anchor (itself aside) and those that are not. valid: float, 1 if it has both.
    """
    size = similar.shape[0]
    noise = tf.random.stateless_uniform([2, count, size, size], seed, alg="philox")
    positive = similar * (1.0 - tf.eye(size, dtype=similar.dtype))
    negative = 1.0 - similar

    def draw(noise: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        return tf.argmax(tf.where(allowed[None] > 0.5, noise, -1.0), axis=2, output_type=tf.int32)

    both = (tf.reduce_max(positive, axis=1) > 0.5) & (tf.reduce_max(negative, axis=1) > 0.5)
    valid = tf.tile(tf.cast(both, similar.dtype)[None], [count, 1])
    return draw(noise[0], positive), draw(noise[1], negative), valid


def triplet_hinge(
    codes: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, valid: tf.Tensor, margin: float
) -> tf.Tensor:
    """DNNH's ranking loss: sum over valid triplets of max(0, |b - b+|^2 - |b - b-|^2 + margin).

    codes: [b, K]. The others as `sample_triplets` gives them. Scalar. Lai et al., CVPR 2015.
    """
    anchors = codes[None]
    near = tf.reduce_sum(tf.square(anchors - tf.gather(codes, positives)), axis=2)
    far = tf.reduce_sum(tf.square(anchors - tf.gather(codes, negatives)), axis=2)
    return tf.reduce_sum(valid * tf.nn.relu(near - far + margin))
