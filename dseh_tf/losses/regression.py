"""Losses of single rows against a target: labels, or known codes."""

from __future__ import annotations

import tensorflow as tf


def label_regression(predicted: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Half the squared error of the class outputs, 1/2 sum (y - predicted)^2 (eq. 10, J4).

    predicted: [b, c], after a sigmoid in the release, linear in the paper. labels: [b, c] multi-hot. Scalar.
    """
    return 0.5 * tf.reduce_sum(tf.square(labels - predicted))


def code_regression(outputs: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """CNNH's second stage: sum of (u - h)^2 over rows and bits.

    outputs, codes: [b, K]. Scalar. Xia, Pan, Lai, Liu, Yan, "Supervised Hashing for Image Retrieval via Image
    Representation Learning", AAAI 2014. swuxyj/DeepHash-pytorch:CNNH.py takes |u - h| instead.
    """
    return tf.reduce_sum(tf.square(outputs - codes))


def code_cross_entropy(
    logits: tf.Tensor, signs: tf.Tensor, logit_scale: float = 10.0, smoothing: float = 0.999
) -> tf.Tensor:
    """Binary cross entropy of ImgNet's hash layer against LabNet's codes (eq. 13, J2 of ImgNet), summed.

    logits: [b, K] before any activation. signs: [b, K] in {-1, +1}. Scalar. The sigmoid is applied once, to
    logit_scale * logits; with a target of .999 the logits settle at 6.9 / logit_scale instead of growing forever.
    """
    targets = smoothing * 0.5 * (signs + 1.0)
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logit_scale * logits))
