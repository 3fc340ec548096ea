"""Class centres: one fixed code per class, as targets of CSQ, OrthoHash and DPN. Does not import TensorFlow."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from dseh_tf.errors import InputError, positive
from dseh_tf.seeding import generator

KINDS = ("hadamard_or_search", "random", "dpn")

_SWEEPS = 3  # passes over all columns after the first, greedy one
_DRAWS = 32  # sets of centres, of which the one with the best balanced bits is taken


def class_centres(classes: int, bits: int, seed: int, kind: str = "hadamard_or_search") -> np.ndarray:
    """Codes of the classes, all different, as a function of the arguments alone.

    Args:
        classes: how many centres; at most 2^bits.
        bits: length of a centre, K.
        seed: of all draws.
        kind: "hadamard_or_search" draws rows of [H; -H], H a Hadamard matrix of order K, where one is known (Sylvester,
            Paley, and doubling) and classes <= 2 K: the minimum distance is K / 2. Elsewhere it searches for a linear code
            with a large minimum distance. Among several draws it takes the one with the best balanced bits.
            "random" draws independent fair bits, and a centre that repeats another again.
            "dpn" keeps random words at a minimum distance from each other, a bound that falls as draws fail.

    Returns:
        int8 [classes, bits], each -1 or 1.

    Raises:
        InputError: an unknown kind, or more classes than there are codes.

    Sources: Hadamard rows are those of Yuan et al., CVPR 2020 (CSQ), algorithm 1; random bits and the falling bound are
    codebooks B and O of kamwoh/orthohash:scripts/train_hashing.py. The search is ours.
    """
    classes, bits = positive(classes, "classes"), positive(bits, "bits")
    if kind not in KINDS:
        raise InputError(f"centres: found {kind!r}, expected one of {', '.join(KINDS)}")
    if classes > 2**bits:
        raise InputError(f"bits: found {bits}, expected at least {(classes - 1).bit_length()} for {classes} classes")
    rng = generator(seed, "centres", KINDS.index(kind))
    if kind == "random":
        centres = _random(classes, bits, rng)
    elif kind == "dpn":
        centres = _least_distance_draws(classes, bits, rng)
    else:
        hadamard = hadamard_matrix(bits) if classes <= 2 * bits else None
        if hadamard is None:
            code = _linear_code((classes - 1).bit_length() or 1, bits, rng)
            choices = (rng.permutation(code)[:classes] for _ in range(_DRAWS))
        else:
            choices = (_hadamard_rows(hadamard.astype(np.int8), classes, rng) for _ in range(_DRAWS))
        centres = min(choices, key=lambda choice: np.abs(choice.sum(axis=0, dtype=int)).max())
    return centres.astype(np.int8)


def hadamard_matrix(order: int) -> np.ndarray | None:
    """A matrix of ±1 [order, order] with orthogonal rows, or None if none of these constructions gives one.

    Sylvester's for powers of two; otherwise Paley's first (order - 1 a prime) or second (order / 2 - 1 a prime, 1 mod 4); otherwise
    twice the matrix of half the order.
    """
    if order & (order - 1) == 0:
        return scipy.linalg.hadamard(order)
    if order % 4:
        return None
    if _is_prime(order - 1):
        return _conference(order - 1, -1) + np.eye(order, dtype=int)
    if order % 8 == 4 and _is_prime(order // 2 - 1):
        conference = _conference(order // 2 - 1, 1)
        one, other = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
        return np.kron(conference, one) + np.kron(np.eye(order // 2, dtype=int), other)
    half = hadamard_matrix(order // 2)
    return None if half is None else np.block([[half, half], [half, -half]])


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _conference(q: int, sign: int) -> np.ndarray:
    """[q + 1, q + 1]: 0 on the diagonal, elsewhere 1, `sign`, and whether a difference is a square modulo the prime q."""
    square = -np.ones(q, int)
    square[np.arange(1, q) ** 2 % q] = 1
    square[0] = 0
    matrix = np.zeros((q + 1, q + 1), int)
    matrix[0, 1:], matrix[1:, 0] = 1, sign
    matrix[1:, 1:] = square[(np.arange(q)[:, None] - np.arange(q)) % q]
    return matrix


def _hadamard_rows(hadamard: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Different rows under random signs; beyond K classes, the opposites of some of them too."""
    order = len(hadamard)
    rows = rng.permutation(hadamard)[:classes] * rng.choice(np.array([-1, 1], np.int8), (min(classes, order), 1))
    return rng.permutation(np.concatenate([rows, -rows[: max(0, classes - order)]]))


def _linear_code(dimension: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """All 2^k words of a linear code, k = dimension, under random signs of the bits: int8 [2^k, bits].

    Bit j of word x is the parity of x & columns[j], with x in 0..2^k - 1 and columns[j] in 1..2^k - 1. excess[x], its zeros
    minus its ones, is K - 2 weight. A column is chosen to make sum_{x > 0} exp(b excess[x]) small, which favours a large
    least weight; one Walsh-Hadamard transform of the exponentials gives that sum for every possible column. Columns are
    chosen one after the other, then each again given all others, some times. Every second start leaves the last column for
    the parity of the others: all weights are even then, and an odd least weight grows by one.
    The exponentials are whole numbers, so that no rounding of sums decides between columns.
    """
    words = 1 << dimension
    index = np.arange(words)

    def column(mask: int) -> np.ndarray:
        return 1 - 2 * (np.bitwise_count(index & mask).astype(int) & 1)

    def choose(excess: np.ndarray, table: np.ndarray) -> int:
        weights = table[excess[1:].max() - excess]
        weights[0] = 0
        sums = _walsh_hadamard(weights)[1:]
        return int(rng.choice(np.flatnonzero(sums == sums.min()))) + 1

    best_quality, best = (-1, 0), np.zeros(bits, int)
    for start in range(max(1, min(8, 2**19 // (bits * words)))):
        sharpness = (2.0, 1.0, 4.0)[start // 2 % 3] / math.sqrt(bits)
        table = np.round(2.0**20 * np.exp(-sharpness * np.arange(2 * bits + 1))).astype(np.int64)
        free = bits - start % 2
        columns, excess = np.zeros(free, int), np.zeros(words, int)
        for sweep in range(1 + _SWEEPS):
            for j in rng.permutation(free):
                if sweep:
                    excess -= column(columns[j])
                columns[j] = choose(excess, table)
                excess += column(columns[j])
            whole, total = columns, excess
            if free < bits:
                parity = int(np.bitwise_xor.reduce(columns)) or choose(excess, table)
                whole, total = np.append(columns, parity), excess + column(parity)
            largest = total[1:].max()
            quality = ((bits - largest) // 2, -int((total[1:] == largest).sum()))
            if quality > best_quality:
                best_quality, best = quality, whole.copy()
    code = np.stack([column(mask) for mask in best], axis=1).astype(np.int8)
    return code * rng.choice(np.array([-1, 1], np.int8), bits)


def _walsh_hadamard(values: np.ndarray) -> np.ndarray:
    """sum_x values[x] (-1)^parity(x & c) for every c; the length is a power of two."""
    half = 1
    while half < len(values):
        pairs = values.reshape(-1, 2, half)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half *= 2
    return values


def _random(classes: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    centres = rng.choice(np.array([-1, 1], np.int8), (classes, bits))
    while True:
        repeats = np.setdiff1d(np.arange(classes), np.unique(centres, axis=0, return_index=True)[1])
        if not len(repeats):
            return centres
        centres[repeats] = rng.choice(np.array([-1, 1], np.int8), (len(repeats), bits))


def _least_distance_draws(
    classes: int, bits: int, rng: np.random.Generator, share: float = 0.61, step: float = 0.01, failures: int = 10_000
) -> np.ndarray:
    """Random words, each kept if its distance to all that were kept is at least share x K.

    After `failures` words that were not kept, over all classes, the share falls by `step`. The words are drawn in blocks; the
    outcome is that of one word after the other. The release gives up below .2; here the search continues down to one
    bit.
    """
    kept = np.zeros((0, bits), np.float32)
    failed, level = 0, 0
    while len(kept) < classes:
        block = rng.choice(np.array([-1, 1], np.float32), (4096, bits))
        nearest = (bits - (block @ kept.T).max(axis=1)) / 2 if len(kept) else np.full(len(block), bits, np.float32)
        at = 0
        while at < len(block) and len(kept) < classes:
            least = max(1, math.ceil((share - step * level) * bits - 1e-9))
            good = np.flatnonzero(nearest[at : at + failures - failed] >= least)
            tried = int(good[0]) if len(good) else min(len(block) - at, failures - failed)
            failed += tried
            at += tried
            if len(good):
                kept = np.concatenate([kept, block[at : at + 1]])
                nearest = np.minimum(nearest, (bits - block @ block[at]) / 2)
                at += 1
            elif failed == failures:
                failed, level = 0, level + 1
    return kept
