"""The joint-semantics affinity of two modalities, and its reconstruction by codes.

Su, Zhong, Zhang, "Deep Joint-Semantics Reconstructing Hashing for Large-Scale Unsupervised Cross-Modal Retrieval", ICCV 2019;
release zs-zhong/DJSRH:train.py.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Reconstruction(NamedTuple):
    """Mean squared errors, scalars: of image and image, image and text, and text and text codes."""

    image_image: tf.Tensor
    image_text: tf.Tensor
    text_text: tf.Tensor


def unit_rows(rows: tf.Tensor) -> tf.Tensor:
    """Rows [b, d] divided by their length. A row of zeros stays zero, and its gradient is 0."""
    squares = tf.reduce_sum(tf.square(rows), axis=1, keepdims=True)
    empty = squares == 0
    return rows * tf.where(
        empty, tf.zeros_like(squares), tf.math.rsqrt(tf.where(empty, tf.ones_like(squares), squares))
    )


def cosine_affinity(features: tf.Tensor) -> tf.Tensor:
    """2 cos(f_i, f_j) - 1 of the rows of [b, d]: [b, b] in -1..1 for features without negative values.

    A row of zeros (an image without tags) has -1 with every row, including itself.
    """
    rows = unit_rows(features)
    return 2.0 * tf.matmul(rows, rows, transpose_b=True) - 1.0


def joint_affinity(
    image_features: tf.Tensor, text_features: tf.Tensor, beta: float, eta: float, mu: float
) -> tf.Tensor:
    """S = mu ((1 - eta) S~ + eta S~ S~^T / b), where S~ = beta S_image + (1 - beta) S_text.

    Args:
        image_features: [b, d].
        text_features: [b, t].
        beta: Weight of the image's affinity.
        eta: Weight of the second order: rows with the same neighbours are similar.
        mu: Scale of the whole.

    Returns:
        [b, b]. Values can be outside of -1..1.
    """
    mixed = beta * cosine_affinity(image_features) + (1.0 - beta) * cosine_affinity(text_features)
    second = tf.matmul(mixed, mixed, transpose_b=True) / tf.cast(tf.shape(mixed)[0], mixed.dtype)
    return mu * ((1.0 - eta) * mixed + eta * second)


def reconstruction_losses(image_codes: tf.Tensor, text_codes: tf.Tensor, affinity: tf.Tensor) -> Reconstruction:
    """Means over b^2 of (cos(b_i, b_j) - S_ij)^2, for each pair of modalities.

    Args:
        image_codes: [b, K].
        text_codes: [b, K].
        affinity: S, [b, b].
    """
    images, texts = unit_rows(image_codes), unit_rows(text_codes)

    def loss(one: tf.Tensor, two: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(tf.matmul(one, two, transpose_b=True) - affinity))

    return Reconstruction(loss(images, images), loss(images, texts), loss(texts, texts))
