"""Every loss term as a pure function of tensors.

Sources: Li et al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018 (equation numbers) and lelan-li/DSEH:DSEH.py at
b40990a (the release). Every function returns the sum over what it is given; the caller divides by the number of
pairs, rows or entries of the *global* batch, so that replicas add up to the same loss.
"""

from __future__ import annotations

import tensorflow as tf

# Of the bank's rows that `bank_likelihood` works on at a time.
_BLOCK_BYTES = 3 * 2**20

def similarity(labels: tf.Tensor, batch_labels: tf.Tensor) -> tf.Tensor:
    """S_ij = 1 where rows i and j share a label, else 0.

    labels: float [n, c] multi-hot. batch_labels: float [b, c]. Returns [n, b] of the same dtype.
    """
    shared = tf.matmul(labels, batch_labels, transpose_b=True)
    return tf.cast(shared > 0.5, labels.dtype)


def inner_products(memory: tf.Tensor, outputs: tf.Tensor, scale: float) -> tf.Tensor:
    """theta_ij = scale * <memory_i, outputs_j>; the release has scale 1/2 where eq. 5 and 7 print none.

    memory: [n, d], a constant of the step. outputs: [b, d]. Returns [n, b].
    """
    return scale * tf.matmul(memory, outputs, transpose_b=True)


def pair_likelihood(theta: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Negative log-likelihood of pairwise similarity, sum of softplus(theta) - targets * theta (eq. 5, 7, 12).

    theta: [n, b]. targets: [n, b], similarity times its scale (.999, .8 or 5 in the release; 1 in the paper). Scalar.
    softplus, because theta of ReLU features is unbounded and the release's log(1 + exp(theta)) overflows from 89 on.
    """
    return tf.reduce_sum(tf.nn.softplus(theta) - targets * theta)


def bank_likelihood(
    bank: tf.Variable | tf.Tensor, outputs: tf.Tensor, similar: tf.Tensor, scale: float, similarity: float
) -> tf.Tensor:
    """`pair_likelihood(inner_products(bank, outputs, scale), similarity * similar)` with its gradient in one reading.

    bank: [n, d], n and d known, a constant: only `outputs` get a gradient. outputs: [b, d]. similar: [n, b] of
    `similarity`. similarity: what multiplies it. Scalar.

    theta and the gradient, scale * (sigmoid(theta) - targets)^T bank, both need the whole bank. Here they are taken a
    block of rows at a time, while it is in the cache; and as a variable that is updated by rows is copied when it is
    read, by blocks as well, no step copies the bank.
    """
    rows, width = bank.shape
    scaled = scale * tf.stop_gradient(outputs)
    block = max(1, _BLOCK_BYTES // (width * bank.dtype.size))
    values, gradients = [], []
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        with tf.control_dependencies(gradients[-2:-1]):  # no more than two blocks at a time
            part = tf.gather(bank, tf.range(start, stop))  # of a variable these rows alone are read
        theta = tf.matmul(part, scaled, transpose_b=True)
        targets = similarity * similar[start:stop]
        values.append(pair_likelihood(theta, targets))
        gradients.append(tf.matmul(tf.sigmoid(theta) - targets, part, transpose_a=True))
    return _with_gradient(outputs, tf.add_n(values), scale * tf.add_n(gradients))


@tf.custom_gradient
def _with_gradient(x: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor) -> tuple:
    """`value` as a function of x whose gradient is known."""
    return tf.identity(value), lambda upstream: (upstream * gradient, None, None)


def quantization(codes: tf.Tensor, reduction: str = "mean") -> tf.Tensor:
    """Distance of tanh outputs from ±1, sum over rows of mean (or sum) over bits of | 1 - |h| | (eq. 8, J3).

    codes: [b, K] in (-1, 1). Scalar. As printed, eq. 8 would be least at h = 0; this is its evident meaning and what
    the release computes (tf.losses.absolute_difference, an average over bits).
    """
    distance = tf.abs(1.0 - tf.abs(codes))
    per_row = tf.reduce_mean(distance, axis=1) if reduction == "mean" else tf.reduce_sum(distance, axis=1)
    return tf.reduce_sum(per_row)


def label_regression(predicted: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Half the squared error of the class outputs, 1/2 sum (y - predicted)^2 (eq. 10, J4).

    predicted: [b, c], behind a sigmoid in the release, linear in the paper. labels: [b, c] multi-hot. Scalar.
    """
    return 0.5 * tf.reduce_sum(tf.square(labels - predicted))


def code_cross_entropy(
    logits: tf.Tensor, signs: tf.Tensor, logit_scale: float = 10.0, smoothing: float = 0.999
) -> tf.Tensor:
    """Binary cross entropy of ImgNet's hash layer against LabNet's codes (eq. 13, J2 of ImgNet), summed.

    logits: [b, K] before any activation. signs: [b, K] in {-1, +1}. Scalar. The sigmoid is applied once, to
    logit_scale * logits; with a target of .999 the logits settle at 6.9 / logit_scale instead of growing for ever.
    """
    targets = smoothing * 0.5 * (signs + 1.0)
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logit_scale * logits))
