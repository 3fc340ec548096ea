"""Losses of class centres and classifiers: CSQ, DPN, OrthoHash. A row without a label contributes nothing."""

from __future__ import annotations

import tensorflow as tf


def centre_targets(labels: tf.Tensor, centres: tf.Tensor, ties: tf.Tensor) -> tf.Tensor:
    """The target of each row: the sign of the sum of its classes' centres.

    Args:
        labels: [b, c], 0 or 1.
        centres: [c, K], -1 or 1.
        ties: [K], -1 or 1; used where the sum is 0.

    Returns:
        [b, K], -1 or 1, and 0 in the rows of `labels` that are all 0.

    Source: swuxyj/DeepHash-pytorch:CSQ.py (label2center), where a row without a label would have `ties` as its target.
    """
    summed = tf.matmul(labels, centres)
    targets = tf.where(summed == 0.0, ties, tf.sign(summed))
    return targets * tf.reduce_max(labels, axis=1, keepdims=True)


def centre_likelihood(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """CSQ's central similarity: sum of the cross entropies of (tanh z + 1) / 2 and (t + 1) / 2, over the targets that are not 0.

    Args:
        outputs: z, [b, K].
        targets: t, [b, K], of `centre_targets`.

    Returns:
        A scalar. As (tanh z + 1) / 2 is the sigmoid of 2 z, each entry is softplus(-2 t z), which never overflows.

    Source: Yuan et al., "Central Similarity Quantization for Efficient Image and Video Retrieval", CVPR 2020.
    """
    return tf.reduce_sum(tf.abs(targets) * tf.nn.softplus(-2.0 * targets * outputs))


def polarization(outputs: tf.Tensor, targets: tf.Tensor, margin: float) -> tf.Tensor:
    """DPN's polarisation: sum of max(0, m - t z) over the targets that are not 0.

    outputs: z, [b, K]. targets: t, [b, K], of `centre_targets`. margin: m. Scalar. Fan et al., "Deep Polarized Network for
    Supervised Learning of Accurate Binary Hashing Codes", IJCAI 2020.
    """
    return tf.reduce_sum(tf.abs(targets) * tf.nn.relu(margin - targets * outputs))


def margin_cosines(outputs: tf.Tensor, centres: tf.Tensor, labels: tf.Tensor, margin: float, scale: float) -> tf.Tensor:
    """OrthoHash's class logits: s (cos(z, C) - m y).

    Args:
        outputs: z, [b, K].
        centres: C, [c, K], -1 or 1.
        labels: y, [b, c], 0 or 1.
        margin: m, taken off the cosine of every class that a row has.
        scale: s.

    Returns:
        [b, c]. A row of zeros has cosines of 0.

    Source: Hoe et al., "One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective", NeurIPS
    2021; kamwoh/orthohash:functions/loss/orthohash.py (margin type "cos").
    """
    cosines = tf.matmul(tf.nn.l2_normalize(outputs, axis=1), tf.nn.l2_normalize(centres, axis=1), transpose_b=True)
    return scale * (cosines - margin * labels)


def shared_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sum over rows of the cross entropy of softmax(logits) and y / sum(y): each of a row's labels has an equal share.

    logits: [b, c]. labels: y, [b, c], 0 or 1. Scalar. kamwoh/orthohash:functions/loss/orthohash.py (label_smoothing), which
    gives NaN for a row without a label; it adds 0 here.
    """
    shares = labels / tf.maximum(tf.reduce_sum(labels, axis=1, keepdims=True), 1.0)
    return -tf.reduce_sum(shares * tf.nn.log_softmax(logits, axis=1))


def labelled_rows(labels: tf.Tensor) -> tf.Tensor:
    """How many rows have a label, at least 1: what a mean over them divides by. labels: [b, c], 0 or 1. Scalar."""
    return tf.maximum(tf.reduce_sum(tf.reduce_max(labels, axis=1)), 1.0)
