"""The V-step of ADSH: solves the codes of the database bit by bit; each bit is set to its minimum for all rows at
once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dseh_tf.methods.asymmetric.sample import Sample

_BLOCK_ROWS = 2048  # of [K, rows] float64: in the cache


def solve_codes(
    codes: np.ndarray,
    sample: Sample,
    outputs: np.ndarray,
    gamma: float,
    pull: np.ndarray | None = None,
    on_bit: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """One pass over the bits, minimising the objective over one column of V with the others fixed:

        sum_ij (<u_i, v_j> - K S_ij)^2 + gamma sum_i |v_i - u_i|^2 - 2 sum_j <v_j, p_j>

    For bit k of row j the minimum is sign(K (S^T U)_jk + gamma u_jk + p_jk - <v_j, A_k>), where u_j is 0 for rows that
    are not sampled, A = U^T U with a diagonal of 0, and v_j has the new values of earlier bits. Rows do not depend on
    each other, so they are processed in blocks; S^T U is computed only for distinct label vectors. The sign of 0 is +1.

    Source: jiangqy/ADSH-AAAI2018:ADSH_pytorch/ADSH_CIFAR_10.py. The Matlab release has sign(U) in place of U in S^T U, which is
    not the minimum.

    Args:
        codes: V before the step, int8 [n, K]: ±1, or 0 before the first step.
        sample: The sampled rows, whose outputs are known.
        outputs: U, [m, K] in (-1, 1).
        gamma: Weight of the distance of codes and outputs of the sampled rows.
        pull: p by distinct label vector, [v, K]; None for 0.
        on_bit: Called after each bit with its number and all codes so far, for tests; the whole step is then one block.

    Returns:
        int8 ±1 [n, K].
    """
    outputs = outputs.astype(np.float64)
    wanted = outputs.shape[1] * sample.products(outputs)
    if pull is not None:
        wanted += pull
    others = outputs.T @ outputs
    np.fill_diagonal(others, 0.0)
    order = np.argsort(sample.rows, kind="stable")
    rows, outputs = sample.rows[order], gamma * outputs[order]
    found = np.empty(codes.shape, np.int8)
    block = len(codes) if on_bit else _BLOCK_ROWS
    for start in range(0, len(codes), block):
        stop = min(start + block, len(codes))
        target = wanted[sample.database.index[start:stop]]
        first, last = np.searchsorted(rows, (start, stop))
        target[rows[first:last] - start] += outputs[first:last]
        target = np.ascontiguousarray(target.T)
        part = np.ascontiguousarray(codes[start:stop].T, np.float64)
        for bit, weights in enumerate(others):
            part[bit] = np.where(target[bit] >= weights @ part, 1.0, -1.0)
            if on_bit:
                on_bit(bit, part.T.astype(np.int8))
        found[start:stop] = part.T
    return found


def objective(codes: np.ndarray, sample: Sample, outputs: np.ndarray, gamma: float) -> float:
    """ADSH's objective over the sample, sum_ij (<u_i, v_j> - K S_ij)^2 + gamma sum_i |v_i - u_i|^2, divided by m n.

    The arguments are those of `solve_codes`.
    """
    outputs, bits = outputs.astype(np.float64), codes.shape[1]
    gram, targets, squares = sample.constants(codes)
    pairs = ((outputs @ gram) * outputs).sum() - 2.0 * bits * (outputs * targets).sum() + bits**2 * squares.sum()
    distance = np.square(codes[sample.rows] - outputs).sum()
    return float(pairs + gamma * distance) / (len(outputs) * len(codes))
