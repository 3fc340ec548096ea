"""The losses as naive loops in float64, and finite differences."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def log_one_plus_exp(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def finite_differences(function, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function, entry by entry."""
    slope = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        there, back = x.copy(), x.copy()
        there[index] += step
        back[index] -= step
        slope[index] = (function(there) - function(back)) / (2 * step)
    return slope


def value_and_gradient(function, x: np.ndarray) -> tuple[float, np.ndarray]:
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = function(variable)
    return float(value), tape.gradient(value, variable).numpy()


def naive_similarity(rows: np.ndarray, batch: np.ndarray) -> np.ndarray:
    similar = np.zeros((len(rows), len(batch)))
    for i, a in enumerate(rows):
        for j, b in enumerate(batch):
            similar[i, j] = 1.0 if set(np.flatnonzero(a)) & set(np.flatnonzero(b)) else 0.0
    return similar


def naive_likelihood(memory, outputs, similar, scale: float, similarity: float) -> float:
    """Equations 5, 7 and 12, pair by pair."""
    total = 0.0
    for i in range(len(memory)):
        for j in range(len(outputs)):
            theta = scale * sum(float(a) * float(b) for a, b in zip(memory[i], outputs[j], strict=True))
            total += log_one_plus_exp(theta) - similarity * similar[i, j] * theta
    return total


def naive_sign_distance(u) -> float:
    return sum((x - (1.0 if x >= 0 else -1.0)) ** 2 for row in u for x in row)


def naive_laplacian(u) -> float:
    return sum(math.log(math.cosh(abs(x) - 1.0)) for row in u for x in row)


def naive_weighted(theta, similar, weight: float) -> tuple[float, float]:
    loss = count = 0.0
    for i, row in enumerate(theta):
        for j, value in enumerate(row):
            w = weight if similar[i][j] else 1.0
            loss += w * (log_one_plus_exp(value) - similar[i][j] * value)
            count += w
    return loss, count


def naive_hinge(codes, positives, negatives, valid, margin: float) -> float:
    total = 0.0
    for t in range(len(positives)):
        for i in range(len(codes)):
            if valid[t][i]:
                near = sum((a - b) ** 2 for a, b in zip(codes[i], codes[positives[t][i]], strict=True))
                far = sum((a - b) ** 2 for a, b in zip(codes[i], codes[negatives[t][i]], strict=True))
                total += max(0.0, near - far + margin)
    return total


def naive_targets(labels, centres, ties) -> np.ndarray:
    targets = np.zeros((len(labels), centres.shape[1]))
    for i, row in enumerate(labels):
        for k in range(centres.shape[1]):
            summed = sum(centres[j, k] for j in range(len(row)) if row[j])
            if row.any():
                targets[i, k] = ties[k] if summed == 0 else math.copysign(1.0, summed)
    return targets


def naive_centre_likelihood(u, targets) -> float:
    """Binary cross entropy by its definition, with the two probabilities of each bit."""
    total = 0.0
    for row, wanted in zip(u, targets, strict=True):
        for x, t in zip(row, wanted, strict=True):
            p = (math.tanh(x) + 1) / 2
            if t:
                total -= (t + 1) / 2 * math.log(p) + (1 - (t + 1) / 2) * math.log(1 - p)
    return total


def naive_tanh_distance(u) -> float:
    return sum((abs(math.tanh(x)) - 1) ** 2 for row in u for x in row)


def naive_polarization(u, targets, margin: float) -> float:
    return sum(
        max(0.0, margin - t * x) for a, b in zip(u, targets, strict=True) for x, t in zip(a, b, strict=True) if t
    )


def naive_margin_cosines(u, centres, labels, margin: float, scale: float) -> np.ndarray:
    logits = np.zeros((len(u), len(centres)))
    for i, row in enumerate(u):
        for j, centre in enumerate(centres):
            length = math.sqrt(sum(x * x for x in row)) * math.sqrt(len(centre))
            cosine = sum(float(a) * float(b) for a, b in zip(row, centre, strict=True)) / length
            logits[i, j] = scale * (cosine - margin * labels[i][j])
    return logits


def naive_shared_cross_entropy(logits, labels) -> float:
    total = 0.0
    for row, own in zip(logits, labels, strict=True):
        normalizer = math.log(sum(math.exp(x) for x in row))
        for x, y in zip(row, own, strict=True):
            if y:
                total += (normalizer - x) / sum(own)
    return total


def naive_cubic_distance(u) -> float:
    return sum(abs(abs(x) - 1) ** 3 for row in u for x in row)


def gradient_of(function, x: np.ndarray) -> np.ndarray:
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x).numpy()
