"""Losses of pairs of rows: similarity, inner products and their likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Of the bank's rows that `bank_likelihood` works on at a time.
_BLOCK_BYTES = 3 * 2**20
_USUAL_WIDTH = 512  # of a bank whose width changes between phases


def similarity(labels: tf.Tensor, batch_labels: tf.Tensor) -> tf.Tensor:
    """S_ij = 1 if rows i and j share a label, else 0.

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


def squared_likelihood(theta: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """SSAH's pair loss in its release: half the sum of squares of softplus(theta) - targets * theta.

    theta: [n, b]. targets: [n, b], similarity times .999. Scalar. lelan-li/SSAH:SSAH.py (Loss_pair_Fea_L and the others) takes
    the l2_loss of the two sides of what its paper, like `pair_likelihood`, subtracts and adds up.
    """
    return 0.5 * tf.reduce_sum(tf.square(tf.nn.softplus(theta) - targets * theta))


def bank_likelihood(
    bank: tf.Variable | tf.Tensor,
    outputs: tf.Tensor,
    similar: tf.Tensor,
    scale: float,
    similarity: float,
    weights: tf.Tensor | None = None,
    rows: range | None = None,
) -> tf.Tensor:
    """`pair_likelihood(inner_products(bank, outputs, scale), similarity * similar)` with its gradient in one reading.

    Both theta and the gradient, scale * (sigmoid(theta) - targets)^T bank, need the whole bank. Here they are computed
    block by block, while a block is in the cache. A variable that is updated by rows is copied when it is read, so it
    is read in blocks as well; for a tensor the blocks are views.

    Args:
        bank: [n, d], n known; a constant: only `outputs` get a gradient.
        outputs: [b, d].
        similar: [n, b] of `similarity`; with `rows`, of these rows.
        scale: Scale of the inner products.
        similarity: What multiplies `similar`.
        weights: [n], how often each row of the bank counts; None for once.
        rows: Consecutive rows of the bank to sum over; None for all.

    Returns:
        A scalar, the sum over all pairs.
    """
    rows = range(bank.shape[0]) if rows is None else rows
    scaled = tf.transpose(scale * tf.stop_gradient(outputs))  # [d, b]; the product is faster than with transpose_b
    block = max(1, _BLOCK_BYTES // ((bank.shape[1] or _USUAL_WIDTH) * bank.dtype.size))
    values: list[tf.Tensor] = []
    gradients: list[tf.Tensor] = []
    for start in range(rows.start, rows.stop, block):
        stop = min(start + block, rows.stop)
        with tf.control_dependencies(gradients[-2:-1]):  # no more than two blocks at a time
            # Of a variable these rows alone are read.
            part = tf.gather(bank, tf.range(start, stop)) if isinstance(bank, tf.Variable) else bank[start:stop]
        theta = tf.matmul(part, scaled)
        targets = similarity * similar[start - rows.start : stop - rows.start]
        probability = tf.sigmoid(theta)
        slope = probability - targets
        value = tf.reduce_sum(tf.nn.relu(theta) - targets * theta, axis=1) - _log_product(
            tf.maximum(probability, 1.0 - probability)  # softplus(theta) = relu(theta) - log sigmoid(|theta|)
        )
        if weights is not None:
            value *= weights[start:stop]
            slope *= weights[start:stop, None]
        values.append(tf.reduce_sum(value))
        gradients.append(tf.matmul(slope, part, transpose_a=True))
    return _with_gradient(outputs, tf.add_n(values), scale * tf.add_n(gradients))


def _log_product(x: tf.Tensor) -> tf.Tensor:
    """The sums of log(x) over the columns of x [n, b], of values in [1/2, 1]: the logarithm of products of them.

    A product of 64 is at least 2^-64, which float32 represents, and costs a multiplication where a logarithm costs ten.
    """
    products = [tf.reduce_prod(x[:, start : start + 64], axis=1) for start in range(0, x.shape[1], 64)]
    return tf.add_n([tf.math.log(product) for product in products])


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow has no types
def _with_gradient(x: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """`value` as a function of x whose gradient is known."""
    return tf.identity(value), lambda upstream: (upstream * gradient, None, None)


def weighted_likelihood(theta: tf.Tensor, similar: tf.Tensor, positive_weight: float) -> tuple[tf.Tensor, tf.Tensor]:
    """HashNet's pair loss: (sum of w (softplus(theta) - s theta), sum of w), w = `positive_weight` for similar pairs, else 1.

    theta: [m, n] inner products times their scale. similar: [m, n], 0 or 1. Two scalars. Cao, Long, Wang, Yu, "HashNet",
    ICCV 2017, eq. 4. Two errors of thuml/HashNet:pytorch/src/loss.py are not repeated: it scales theta within the
    exponential and not beside s, and it compares the unscaled product with its threshold of 15, from where on it drops
    the scale as well. softplus needs no threshold.
    """
    weights = 1.0 + (positive_weight - 1.0) * similar
    return tf.reduce_sum(weights * (tf.nn.softplus(theta) - similar * theta)), tf.reduce_sum(weights)
