"""Loss terms of asymmetric methods: a network's outputs against the codes of a whole database, which are variables of
their own."""

from __future__ import annotations

import tensorflow as tf


def database_pairs(
    outputs: tf.Tensor,
    gram: tf.Tensor,
    targets: tf.Tensor,
    squares: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """ADSH's pairs of a batch and a database, sum over i and j of (<u_i, v_j> - K S_ij)^2.

    The squares are expanded, so that a step costs b K^2 for any size of the database:

        sum_i  u_i^T (V^T V) u_i - 2 K <u_i, sum_j S_ij v_j> + K^2 sum_j S_ij^2

    The sums over j are constants while V is fixed (`dseh_tf.methods.asymmetric.sample.Sample.constants`). If they are
    divided by n beforehand, the result is the sum divided by n.

    Args:
        outputs: u, [b, K].
        gram: V^T V, [K, K].
        targets: For the batch's rows, sum_j S_ij v_j, [b, K].
        squares: For the batch's rows, sum_j S_ij^2, [b].
        weights: [b], how often each row counts; None for once.

    Returns:
        A scalar.

    Source: Jiang, Li, "Asymmetric Deep Supervised Hashing", AAAI 2018;
    jiangqy/ADSH-AAAI2018:ADSH_pytorch/utils/adsh_loss.py, which holds S as a matrix [m, n].
    """
    bits = float(outputs.shape[1])
    products = tf.reduce_sum(outputs * tf.matmul(outputs, gram), axis=1)
    pulled = tf.reduce_sum(outputs * targets, axis=1)
    rows = products - 2.0 * bits * pulled + bits * bits * squares
    return tf.reduce_sum(rows if weights is None else weights * rows)


def bit_correlation(outputs: tf.Tensor) -> tf.Tensor:
    """DAPH's decorrelation of the bits, sum over pairs of bits of (U^T U / b - I)^2.

    outputs: U, [b, K], of the global batch. Scalar. Shen et al., "Deep Asymmetric Pairwise Hashing", ACM MM 2017;
    swuxyj/DeepHash-pytorch:DAPH.py, which takes the mean over the K^2 pairs.
    """
    size, bits = float(outputs.shape[0]), outputs.shape[1]
    gram = tf.matmul(outputs, outputs, transpose_a=True) / size
    return tf.reduce_sum(tf.square(gram - tf.eye(bits, dtype=outputs.dtype)))


def bit_balance(outputs: tf.Tensor) -> tf.Tensor:
    """DAPH's balance of the bits, sum over bits of (sum over the batch of u)^2.

    outputs: u, [b, K], of the global batch. Scalar. Shen et al., ACM MM 2017; swuxyj/DeepHash-pytorch:DAPH.py, which takes
    the mean over the bits.
    """
    return tf.reduce_sum(tf.square(tf.reduce_sum(outputs, axis=0)))
