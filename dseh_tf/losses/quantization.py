"""Distances of real-valued outputs from codes, and functions that push outputs towards codes."""

from __future__ import annotations

import math

import tensorflow as tf


def absolute_distance(codes: tf.Tensor, reduction: str = "mean") -> tf.Tensor:
    """Distance of tanh outputs from ±1, sum over rows of mean (or sum) over bits of | 1 - |h| | (eq. 8, J3).

    codes: [b, K] in (-1, 1). Scalar. As printed, eq. 8 would have its minimum at h = 0; this is its evident meaning and
        what
    the release computes (tf.losses.absolute_difference, an average over bits).
    """
    distance = tf.abs(1.0 - tf.abs(codes))
    per_row = tf.reduce_mean(distance, axis=1) if reduction == "mean" else tf.reduce_sum(distance, axis=1)
    return tf.reduce_sum(per_row)


def sign_distance(outputs: tf.Tensor) -> tf.Tensor:
    """DPSH's quantisation: sum over rows and bits of (u - sign u)^2, the sign a constant and that of 0 positive.

    outputs: [b, K]. Scalar. Li, Wang, Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels", IJCAI
    2016, eq. 5; jiangqy/DPSH-pytorch:DPSH_CIFAR_10.py (regterm), where sign 0 = 0 draws a zero output nowhere.
    """
    signs = tf.where(outputs >= 0, tf.ones_like(outputs), -tf.ones_like(outputs))
    return tf.reduce_sum(tf.square(outputs - tf.stop_gradient(signs)))


def laplacian_distance(outputs: tf.Tensor) -> tf.Tensor:
    """DHN's quantisation: sum over rows and bits of log cosh(|u| - 1), a smooth | |u| - 1 |.

    outputs: [b, K]. Scalar. Zhu, Long, Wang, Cao, "Deep Hashing Network for Efficient Similarity Retrieval", AAAI 2016, the
    bimodal Laplacian prior. thuml/HashNet:pytorch/src/loss.py has it with the sign reversed, which drives the outputs
    from ±1, and its cosh overflows from 89 on; here log cosh x = |x| + softplus(-2 |x|) - log 2.
    """
    distance = tf.abs(tf.abs(outputs) - 1.0)
    return tf.reduce_sum(distance + tf.nn.softplus(-2.0 * distance) - math.log(2.0))


def tanh_distance(outputs: tf.Tensor) -> tf.Tensor:
    """CSQ's quantisation: sum over rows and bits of (|tanh z| - 1)^2.

    outputs: z, [b, K]. Scalar. swuxyj/DeepHash-pytorch:CSQ.py (Q_loss), in place of the paper's log cosh.
    """
    return tf.reduce_sum(tf.square(tf.abs(tf.tanh(outputs)) - 1.0))


def cubic_distance(outputs: tf.Tensor) -> tf.Tensor:
    """GreedyHash's penalty: sum over rows and bits of ||z| - 1|^3.

    outputs: z, [b, K]. Scalar. Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN",
    NeurIPS 2018; swuxyj/DeepHash-pytorch:GreedyHash.py.
    """
    return tf.reduce_sum(tf.pow(tf.abs(tf.abs(outputs) - 1.0), 3.0))


def continuation(step: tf.Tensor, gamma: float, power: float, every: int) -> tf.Tensor:
    """HashNet's beta_t = (1 + gamma t)^power, t the step rounded down to a multiple of `every`: what tanh is sharpened by.

    step: int64 scalar, from 0. float32 scalar. A function of the step alone, where thuml/HashNet:pytorch/src/network.py
    counts its own forward passes and starts again when a snapshot is loaded. swuxyj/DeepHash-pytorch:HashNet.py
    sharpens by epochs / 100 instead, hardly at all.
    """
    reached = tf.cast(step // every * every, tf.float32)
    return tf.pow(1.0 + gamma * reached, power)


def piecewise_threshold(probabilities: tf.Tensor, epsilon: float) -> tf.Tensor:
    """DNNH's threshold: 0 below .5 - epsilon, 1 above .5 + epsilon, the value itself between; flat outside.

    probabilities: in (0, 1), any shape. Lai, Pan, Liu, Yan, "Simultaneous Feature Learning and Hash Coding with Deep Neural
    Networks", CVPR 2015. epsilon = .5 leaves everything as it is, as HYPJUDY/caffe-dnnh:runtime/48bit/train48.prototxt
    does, which has no threshold.
    """
    low, high = probabilities < 0.5 - epsilon, probabilities > 0.5 + epsilon
    return tf.where(low, tf.zeros_like(probabilities), tf.where(high, tf.ones_like(probabilities), probabilities))
