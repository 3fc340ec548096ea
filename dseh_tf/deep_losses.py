"""The loss terms of the deep rivals as pure functions of tensors; what they share with DSEH is in `dseh_tf.losses`.

As there, every function returns the sum over what it is given, and the caller divides by counts of the global batch.
"""

from __future__ import annotations

import math

import tensorflow as tf


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


def weighted_likelihood(theta: tf.Tensor, similar: tf.Tensor, positive_weight: float) -> tuple[tf.Tensor, tf.Tensor]:
    """HashNet's pair loss: (sum of w (softplus(theta) - s theta), sum of w), w = `positive_weight` for similar pairs, else 1.

    theta: [m, n] inner products times their scale. similar: [m, n], 0 or 1. Two scalars. Cao, Long, Wang, Yu, "HashNet",
    ICCV 2017, eq. 4. Two errors of thuml/HashNet:pytorch/src/loss.py are not repeated: it scales theta within the
    exponential and not beside s, and it compares the unscaled product with its threshold of 15, from where on it drops
    the scale as well. softplus needs no threshold.
    """
    weights = 1.0 + (positive_weight - 1.0) * similar
    return tf.reduce_sum(weights * (tf.nn.softplus(theta) - similar * theta)), tf.reduce_sum(weights)


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


def sample_triplets(similar: tf.Tensor, seed: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`count` triplets an anchor row within a batch: (positives, negatives, valid), each [count, b].

    similar: [b, b], 0 or 1. seed: int64 [2]; the same seed, the same triplets. positives and negatives: int32 rows, drawn
    uniformly among those similar to the anchor (itself aside) and those that are not. valid: float, 1 where it has both.
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


def code_regression(outputs: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """CNNH's second stage: sum of (u - h)^2 over rows and bits.

    outputs, codes: [b, K]. Scalar. Xia, Pan, Lai, Liu, Yan, "Supervised Hashing for Image Retrieval via Image
    Representation Learning", AAAI 2014. swuxyj/DeepHash-pytorch:CNNH.py takes |u - h| instead.
    """
    return tf.reduce_sum(tf.square(outputs - codes))


# Class centres and classifiers: CSQ, DPN, OrthoHash, GreedyHash. A row without any label belongs to no class: it adds nothing.


def centre_targets(labels: tf.Tensor, centres: tf.Tensor, ties: tf.Tensor) -> tf.Tensor:
    """What each row is trained towards: the sign of the sum of its classes' centres.

    Args:
        labels: [b, c], 0 or 1.
        centres: [c, K], -1 or 1.
        ties: [K], -1 or 1; taken where the sum is 0.

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


def tanh_distance(outputs: tf.Tensor) -> tf.Tensor:
    """CSQ's quantisation: sum over rows and bits of (|tanh z| - 1)^2.

    outputs: z, [b, K]. Scalar. swuxyj/DeepHash-pytorch:CSQ.py (Q_loss), in place of the paper's log cosh.
    """
    return tf.reduce_sum(tf.square(tf.abs(tf.tanh(outputs)) - 1.0))


def polarization(outputs: tf.Tensor, targets: tf.Tensor, margin: float) -> tf.Tensor:
    """DPN's polarisation: sum of max(0, m - t z) over the targets that are not 0.

    outputs: z, [b, K]. targets: t, [b, K], of `centre_targets`. margin: m. Scalar. Fan et al., "Deep Polarized Network for
    Supervised Learning of Accurate Binary Hashing Codes", IJCAI 2020.
    """
    return tf.reduce_sum(tf.abs(targets) * tf.nn.relu(margin - targets * outputs))


def margin_cosines(
    outputs: tf.Tensor, centres: tf.Tensor, labels: tf.Tensor, margin: float, scale: float
) -> tf.Tensor:
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


def cubic_distance(outputs: tf.Tensor) -> tf.Tensor:
    """GreedyHash's penalty: sum over rows and bits of ||z| - 1|^3.

    outputs: z, [b, K]. Scalar. Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN",
    NeurIPS 2018; swuxyj/DeepHash-pytorch:GreedyHash.py.
    """
    return tf.reduce_sum(tf.pow(tf.abs(tf.abs(outputs) - 1.0), 3.0))


def labelled_rows(labels: tf.Tensor) -> tf.Tensor:
    """How many rows have a label, at least 1: what a mean over them divides by. labels: [b, c], 0 or 1. Scalar."""
    return tf.maximum(tf.reduce_sum(tf.reduce_max(labels, axis=1)), 1.0)
