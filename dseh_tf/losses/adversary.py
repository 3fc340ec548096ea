"""The loss of a discriminator between two sources of features, and of a network trained against it."""

from __future__ import annotations

import tensorflow as tf


def source_cross_entropy(logits: tf.Tensor, source: float) -> tf.Tensor:
    """Binary cross entropy of a discriminator's outputs and the source of all rows, summed over the rows.

    SSAH's discriminators are trained to output 1 for features of labels and 0 for features of images or texts
    (lelan-li/SSAH:SSAH.py, ops.py); the image and text networks are trained to make the discriminator output 1. Li,
    Deng, Li, Liu, Gao, Tao, "Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval", CVPR 2018, uses
    squared errors instead.

    Args:
        logits: [b] or [b, 1].
        source: 0 or 1.

    Returns:
        A scalar.
    """
    sources = tf.fill(tf.shape(logits), tf.cast(source, logits.dtype))
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=sources, logits=logits))
