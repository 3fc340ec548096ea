"""Label codes against the module's definition, written out as loops over pairs in float64, and against exhaustive search."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from dseh_tf.data.label_vectors import DistinctRows, distinct_rows
from dseh_tf.methods.dseh import label_codes
from dseh_tf.methods.dseh.label_codes import CodeTargets, LabelEmbedding, solve_label_codes

DEFAULT = CodeTargets()


def naive_weights(rows: DistinctRows, balance: float) -> list[float]:
    """Of each training row, of sum 1: the mean of n_c ** -b over its labels; one without labels as of the commonest class."""
    labels = [rows.vectors[i].tolist() for i in rows.index]
    of_class = [sum(row[c] for row in labels) for c in range(rows.vectors.shape[1])]
    weights = []
    for row in labels:
        rarities = [of_class[c] ** -balance for c, has in enumerate(row) if has] or [max(of_class) ** -balance]
        weights.append(sum(rarities) / len(rarities))
    return [weight / sum(weights) for weight in weights]


def naive_shares(rows: DistinctRows, balance: float) -> np.ndarray:
    """v_i: the weight of all rows with vector i."""
    found = np.zeros(len(rows.vectors))
    for i, weight in zip(rows.index, naive_weights(rows, balance), strict=True):
        found[i] += weight
    return found


def naive_offset_and_ratio(rows: DistinctRows, z, targets: CodeTargets) -> tuple[float, float]:
    """By a loop over all ordered pairs of rows: t is 1 for rows of one vector, and its weighted mean is to be 0."""
    fixed = equal = similar = dissimilar = 0.0
    weighted = list(zip(rows.index, naive_weights(rows, targets.class_balance), strict=True))
    for a, one in weighted:
        for b, other in weighted:
            weight = one * other
            if a == b:
                equal += weight
                continue
            shares = bool((rows.vectors[a] & rows.vectors[b]).any())
            similar, dissimilar = similar + weight * shares, dissimilar + weight * (not shares)
            fixed += weight * (targets.similarity * shares + targets.affinity * float(np.dot(z[a], z[b])))
    offset = max(-1.0, -(equal + fixed) / (1 - equal))
    ratio = min(100.0, max(0.01, dissimilar / similar)) if similar else 1.0
    return offset, ratio


def pair_targets(rows: DistinctRows, z, targets: CodeTargets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(t, w, v_i v_j where dissimilar and else 0), float64 [v, v] with a diagonal of zero weight."""
    offset, ratio = naive_offset_and_ratio(rows, z, targets)
    v = naive_shares(rows, targets.class_balance)
    n = len(v)
    t, w, apart = (np.zeros((n, n)) for _ in range(3))
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            shares = bool((rows.vectors[i] & rows.vectors[j]).any())
            t[i, j] = min(
                1.0, max(-1.0, offset + targets.similarity * shares + targets.affinity * float(np.dot(z[i], z[j])))
            )
            w[i, j] = v[i] * v[j] * (ratio if shares else 1.0)
            apart[i, j] = 0.0 if shares else v[i] * v[j]
    return t, w, apart


def objective(codes: np.ndarray, pairs: tuple, distance: float) -> float:
    """The module's docstring, with the separation's factor r = 30."""
    (t, w, apart), bits, total = pairs, codes.shape[1], 0.0
    limit = 1.0 - 2.0 * max(1, round(distance * bits)) / bits
    for i in range(len(codes)):
        for j in range(len(codes)):
            inner = sum(int(a) * int(b) for a, b in zip(codes[i], codes[j], strict=True)) / bits
            total += w[i, j] * (inner - t[i, j]) ** 2 + 30.0 * apart[i, j] * max(0.0, inner - limit) ** 2
    return total


def unit(rng, count: int, width: int) -> np.ndarray:
    z = rng.standard_normal((count, width))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def several_labels(rng, rows: int, classes: int, most: int = 3) -> np.ndarray:
    labels = np.zeros((rows, classes), np.uint8)
    for row in labels:
        row[rng.choice(classes, rng.integers(1, most + 1), replace=False)] = 1
    return labels


def one_label(counts) -> DistinctRows:
    return distinct_rows(np.eye(len(counts), dtype=np.uint8)[np.repeat(np.arange(len(counts)), counts)])


def distances(codes: np.ndarray) -> np.ndarray:
    """Hamming distances [v, v], the diagonal as far as can be."""
    found = (codes.shape[1] - codes.astype(np.int64) @ codes.T) // 2
    found[np.diag_indices_from(found)] = codes.shape[1] + 1
    return found


def shared(codes: np.ndarray, vectors: np.ndarray) -> int:
    """Pairs of dissimilar vectors with one code."""
    alike = np.triu(distances(codes) == 0, 1)
    return int((alike & (vectors.astype(int) @ vectors.T == 0)).sum())


# The objective


@pytest.mark.parametrize("targets", [DEFAULT, CodeTargets(1.4, 0.9, 0.2, 0.0), CodeTargets(0.8, 0.0, 0.4, 1.0)])
@pytest.mark.parametrize("labels", ["several", "one", "none"])
def test_the_weighted_mean_of_the_targets_is_zero(rng, labels, targets):
    """Over pairs of rows, which weigh as their classes' frequencies say; rows of one vector have the inner product 1 anyway."""
    given = several_labels(rng, 40, 6) if labels != "one" else np.eye(5, dtype=np.uint8)[rng.integers(5, size=40)]
    if labels == "none":
        given[:7] = 0
    rows = distinct_rows(given)
    z = unit(rng, len(rows.vectors), 3)
    share = label_codes._shares(rows, targets.class_balance)
    np.testing.assert_allclose(share, naive_shares(rows, targets.class_balance), rtol=1e-12)
    offset, ratio = label_codes._balance(rows, share, z, targets)
    expected = naive_offset_and_ratio(rows, z, targets)
    assert offset == pytest.approx(expected[0], rel=1e-6) and ratio == pytest.approx(expected[1], rel=1e-9)
    assert offset > -1
    total = similar = dissimilar = 0.0
    weighted = list(zip(rows.index, naive_weights(rows, targets.class_balance), strict=True))
    for a, one in weighted:
        for b, other in weighted:
            shares, weight = (rows.vectors[a] & rows.vectors[b]).any(), one * other
            t = 1.0 if a == b else offset + targets.similarity * shares + targets.affinity * float(z[a] @ z[b])
            total += weight * t
            if a != b:
                similar, dissimilar = similar + weight * ratio * shares, dissimilar + weight * (not shares)
    assert total == pytest.approx(0.0, abs=1e-6)
    assert labels == "one" or similar == pytest.approx(dissimilar)


def test_weights_of_rare_classes():
    """Three classes of 16, 4 and 1 rows: by their rows, by the roots of those, and all alike; a row of none as of the first."""
    labels = np.repeat(np.vstack([np.eye(3), np.zeros(3)]).astype(np.uint8), [16, 4, 1, 3], axis=0)
    rows = distinct_rows(labels)
    assert rows.vectors.argmax(axis=1).tolist() == [0, 2, 1, 0] and not rows.vectors[0].any()
    for balance, weights in ((0.0, [3, 1, 4, 16]), (0.5, [3 / 4, 1, 2, 4]), (1.0, [3 / 16, 1, 1, 1])):
        np.testing.assert_allclose(label_codes._shares(rows, balance), np.array(weights) / sum(weights), rtol=1e-12)


def test_bounds_of_offset_and_ratio(rng):
    """Where nearly all pairs are similar the targets cannot be balanced; where few are they count at most 100 times."""
    every = distinct_rows(np.hstack([np.ones((20, 1), np.uint8), (rng.random((20, 5)) < 0.5).astype(np.uint8)]))
    zeros = np.zeros((len(every.vectors), 1), np.float32)
    offset, ratio = label_codes._balance(every, every.counts / 20, zeros, CodeTargets(similarity=3.0))
    assert offset == -1.0 and ratio == 0.01
    few = np.eye(400, dtype=np.uint8)
    few[0, 1] = 1
    rows = distinct_rows(few)
    assert label_codes._balance(rows, rows.counts / 400, np.zeros((400, 1), np.float32), DEFAULT)[1] == 100.0


@pytest.mark.parametrize("bits", [5, 8, 13])
@pytest.mark.parametrize("embeds", [False, True])
@pytest.mark.parametrize("similarity", [0.6, 1.9])  # the second asks for inner products beyond 1
def test_no_flip_of_one_bit_is_better(rng, bits, embeds, similarity):
    """From random signs the descent ends lower, and in a local minimum."""
    labels = several_labels(rng, 30, 5, most=2)
    labels[0] = 0
    rows, targets = distinct_rows(labels), CodeTargets(similarity, 0.8, 0.3, 0.7)
    count = len(rows.vectors)
    z = unit(rng, count, 4) if embeds else None
    pairs = pair_targets(rows, np.zeros((count, 1)) if z is None else z, targets)
    start = np.where(rng.random((count, bits)) < 0.5, 1, -1).astype(np.int8)
    kept = start.copy()
    codes = solve_label_codes(rows, bits, targets, z, start)
    np.testing.assert_array_equal(start, kept)
    assert codes.dtype == np.int8 and codes.shape == (count, bits) and set(np.unique(codes)) == {-1, 1}
    best = objective(codes, pairs, targets.distance)
    assert best < 0.8 * objective(start, pairs, targets.distance)
    assert shared(codes, rows.vectors) == 0
    for i in range(count):
        for k in range(bits):
            codes[i, k] *= -1
            assert objective(codes, pairs, targets.distance) > best - 1e-6, (i, k)
            codes[i, k] *= -1


@pytest.mark.parametrize("embeds", [False, True])
def test_the_best_of_several_starts_is_the_best_there_is(rng, embeds):
    """All 4,096 assignments of 3 bits to 4 vectors."""
    rows = distinct_rows(np.array([[1, 0, 0]] * 5 + [[1, 1, 0]] * 3 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 4, np.uint8))
    z = unit(rng, 4, 2) if embeds else None
    pairs = pair_targets(rows, np.zeros((4, 1)) if z is None else z, DEFAULT)
    everything = (np.array(signs).reshape(4, 3) for signs in product((-1, 1), repeat=12))
    best = min(objective(codes, pairs, DEFAULT.distance) for codes in everything)
    solved = [solve_label_codes(rows, 3, DEFAULT, z, seed=seed) for seed in range(8)]
    found = min(objective(codes, pairs, DEFAULT.distance) for codes in solved)
    assert found == pytest.approx(best, rel=1e-9)


def test_seeds_and_starts(rng):
    rows = distinct_rows(several_labels(rng, 60, 7))
    z = unit(rng, len(rows.vectors), 3)
    one, again, other = (solve_label_codes(rows, 16, DEFAULT, z, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    # From a solution there is nothing to gain, whatever the seed; from any other start another one is found.
    np.testing.assert_array_equal(solve_label_codes(rows, 16, DEFAULT, z, one, seed=6), one)
    np.testing.assert_array_equal(solve_label_codes(rows, 16, DEFAULT, z, -one, seed=6), -one)
    unlike = np.where(rng.random(one.shape) < 0.5, 1, -1).astype(np.int8)
    assert not np.array_equal(solve_label_codes(rows, 16, DEFAULT, z, unlike, seed=5), one)


def test_a_start_is_improved_not_replaced(rng):
    """After two flipped bits the solution comes back, or nearly: most vectors never leave it."""
    rows = one_label(np.full(40, 3))
    solved = solve_label_codes(rows, 32, DEFAULT, seed=1)
    start = solved.copy()
    start[[4, 9], [3, 7]] *= -1
    again = solve_label_codes(rows, 32, DEFAULT, start=start, seed=2)
    assert (again != solved).any(axis=1).sum() <= 8
    assert (again == solved).mean() > 0.97 > 0.6 > (solve_label_codes(rows, 32, DEFAULT, seed=2) == solved).mean()


# Embeddings


def image_features(rng, labels: np.ndarray, width: int, noise: np.ndarray | None = None) -> np.ndarray:
    """Class centres added up, and noise that is stronger and correlated in some directions."""
    mix = rng.standard_normal((width, width)) if noise is None else noise
    return (
        labels @ rng.standard_normal((labels.shape[1], width)) + rng.standard_normal((len(labels), width)) @ mix + 3.0
    )


def cosines(vectors: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Of all pairs of rows, under the inner product a' metric b."""
    n = len(vectors)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b = vectors[i], vectors[j]
            found[i, j] = a @ metric @ b / np.sqrt((a @ metric @ a) * (b @ metric @ b))
    return found


def shrunk_inverse(rest: np.ndarray) -> np.ndarray:
    """Inverse of the covariance plus a tenth of its mean variance, by its eigenvectors."""
    covariance = sum(np.outer(row, row) for row in rest) / len(rest)
    values, vectors = np.linalg.eigh(covariance)
    return vectors @ np.diag(1.0 / (values + 0.1 * values.mean())) @ vectors.T


@pytest.mark.parametrize(("classes", "width"), [(6, 4), (4, 15)])
def test_the_embedding_is_a_whitened_ridge_regression(rng, classes, width):
    """Fitted a second time by least squares with the ridge as further rows."""
    labels = several_labels(rng, 150, classes)
    labels[:9] = 0
    x = image_features(rng, labels, width).astype(np.float32)
    centred = labels - labels.mean(axis=0)
    wide = np.vstack([centred, np.sqrt(5.0) * np.eye(classes)])
    weights = np.linalg.lstsq(
        wide, np.vstack([x - x.mean(axis=0, dtype=float), np.zeros((classes, width))]), rcond=None
    )[0]
    metric = shrunk_inverse(x - x.mean(axis=0, dtype=float) - centred @ weights)
    vectors = several_labels(rng, 12, classes)
    z = LabelEmbedding(x, labels)(vectors)
    assert z.shape == (12, min(classes, width)) and z.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, rtol=1e-6)
    expected = cosines((vectors - labels.mean(axis=0)) @ weights, metric)
    np.testing.assert_allclose(z @ z.T, expected, atol=2e-6)


def test_of_single_labels_it_is_whitened_class_means(rng, monkeypatch):
    """Without a ridge exactly; and with it nearly, where a class has many rows."""
    classes, width = 5, 8
    labels = np.eye(classes, dtype=np.uint8)[rng.integers(classes, size=900)]
    x = image_features(rng, labels, width)
    means = np.array([x[labels[:, c] == 1].mean(axis=0) for c in range(classes)])
    metric = shrunk_inverse(x - means[labels.argmax(axis=1)])
    expected = cosines(means - x.mean(axis=0), metric)
    vectors = np.eye(classes, dtype=np.uint8)
    near = LabelEmbedding(x, labels)(vectors)
    np.testing.assert_allclose(near @ near.T, expected, atol=0.03)
    monkeypatch.setattr(label_codes, "_RIDGE", 1e-7)
    exact = LabelEmbedding(x, labels)(vectors)
    np.testing.assert_allclose(exact @ exact.T, expected, atol=2e-6)
    assert np.abs(near @ near.T - expected).max() > 2e-6


def test_many_rows_are_thinned_evenly(rng, monkeypatch):
    labels = several_labels(rng, 300, 4)
    x = image_features(rng, labels, 6)
    monkeypatch.setattr(label_codes, "_EMBEDDED_ROWS", 100)
    thinned = LabelEmbedding(x, labels)
    chosen = np.array([int(299 * i / 99) for i in range(100)])
    expected = LabelEmbedding(x[chosen], labels[chosen])
    np.testing.assert_allclose(thinned.weights @ thinned.weights.T, expected.weights @ expected.weights.T, rtol=1e-9)
    np.testing.assert_allclose(thinned.mean, labels[chosen].mean(axis=0))


def test_vectors_without_a_direction(rng):
    """The mean vector is at no angle to any other; features that are all alike say nothing."""
    labels = np.array([[1, 0], [0, 1]] * 20, np.uint8)
    x = image_features(rng, labels, 3)
    assert not LabelEmbedding(x, labels)(np.array([[0.5, 0.5]])).any()
    flat = LabelEmbedding(np.ones((40, 3), np.float32), labels)(labels)
    assert np.isfinite(flat).all() and not flat.any()


@pytest.mark.parametrize("several", [False, True])
def test_similar_images_get_near_codes(rng, several):
    """Among dissimilar label vectors those whose images look alike are nearer in Hamming distance."""
    classes = 24
    families = rng.standard_normal((6, 16)).repeat(4, axis=0)  # four classes each of six kinds
    centres = families + 0.5 * rng.standard_normal((classes, 16))
    labels = (
        several_labels(rng, 900, classes, 2) if several else np.eye(classes, dtype=np.uint8)[np.arange(960) % classes]
    )
    x = labels @ centres + 0.5 * rng.standard_normal((len(labels), 16))
    rows = distinct_rows(labels)
    z = LabelEmbedding(x, labels)(rows.vectors)
    apart = np.triu(rows.vectors.astype(int) @ rows.vectors.T == 0, 1)

    def correlation(codes) -> float:
        return float(np.corrcoef((z @ z.T)[apart], distances(codes)[apart])[0, 1])

    assert correlation(solve_label_codes(rows, 32, DEFAULT, z)) < -0.6
    assert abs(correlation(solve_label_codes(rows, 32, DEFAULT))) < 0.4  # without embeddings by the labels alone


# What is asked of the codes of any data set


def promised(classes: int, bits: int) -> int:
    """The distance that the Gilbert-Varshamov bound grants that many words."""
    distance, volume = 1, 1
    while volume * classes <= 2**bits:
        volume += comb(bits, distance)
        distance += 1
    return distance - 1


@pytest.mark.parametrize("bits", [12, 16, 32, 64, 128])
@pytest.mark.parametrize("classes", [2, 3, 10, 20, 100, 300, 1000])
def test_one_label_a_row(classes, bits):
    rows = one_label(np.full(classes, 2))
    codes = solve_label_codes(rows, bits, DEFAULT)
    nearest = distances(codes).min(axis=1)
    least, floor = int(nearest.min()), min(promised(classes, bits), round(DEFAULT.distance * bits))
    assert least >= 1
    if 2**bits >= 100 * classes:
        assert least >= floor
    else:  # packed: some fall short by a bit
        assert least >= floor - 1 and (nearest < floor).mean() < 0.15
    if classes >= 4:
        assert (np.abs(codes.mean(axis=0)) < 1).all()
    if (classes, bits) == (100, 32):
        assert least >= 9


def test_no_room_for_all(rng):
    """300 classes in 8 bits share codes, 2 to a code at the most but for a few, and all bits are used."""
    codes = solve_label_codes(one_label(np.full(300, 2)), 8, DEFAULT)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert len(counts) > 200 and counts.max() <= 4
    assert (np.abs(codes.mean(axis=0)) < 0.3).all()


@pytest.mark.parametrize("embeds", [False, True])
def test_a_long_tail_of_classes(rng, embeds):
    """The most frequent class has 1,000 times the rows of the rarest."""
    counts = np.maximum(1, (1000 / np.arange(1, 101) ** 1.5)).astype(int)
    rows = one_label(counts)
    assert sorted(rows.counts.tolist()) == sorted(counts.tolist()) and rows.counts.min() == 1
    codes = solve_label_codes(rows, 32, DEFAULT, unit(rng, 100, 20) if embeds else None)
    between = distances(codes)
    frequent = np.argsort(-rows.counts)[:20]
    assert between[np.ix_(frequent, frequent)].min() >= 9
    assert between.min() >= 6
    weighted = rows.counts @ codes / rows.counts.sum()
    assert np.abs(weighted).max() < 1


def test_many_labels_an_image(rng):
    """1,500 vectors of 40 classes, most of them of a single row."""
    labels = np.zeros((0, 40), np.uint8)
    chances = 0.35 / np.sqrt(np.arange(1, 41))
    while len(distinct_rows(labels).vectors) < 1500:
        more = (rng.random((400, 40)) < chances).astype(np.uint8)
        labels = np.vstack([labels, more[more.any(axis=1)]])
    rows = distinct_rows(labels)
    vectors = rows.vectors.astype(int)
    codes = solve_label_codes(rows, 32, DEFAULT, LabelEmbedding(image_features(rng, labels, 24), labels)(rows.vectors))
    assert shared(codes, rows.vectors) == 0
    between, common = distances(codes), vectors @ vectors.T
    upper = np.triu(np.ones_like(between, bool), 1)
    means = [between[upper & (common == count)].mean() for count in range(4)]
    assert means[0] > means[1] > means[2] > means[3] and means[0] - means[1] > 3
    balance = np.abs(rows.counts @ codes / rows.counts.sum())
    assert balance.mean() < 0.3 and balance.max() < 0.7


def test_rows_without_a_label(rng):
    """They are similar to nothing, so their code is as far from all others as any two dissimilar codes are."""
    labels = np.vstack([np.eye(12, dtype=np.uint8)[np.arange(240) % 12], np.zeros((60, 12), np.uint8)])
    rows = distinct_rows(labels)
    assert not rows.vectors[0].any()
    x = image_features(rng, labels, 20)
    for z in (None, LabelEmbedding(x, labels)(rows.vectors)):
        between = distances(solve_label_codes(rows, 32, DEFAULT, z))
        assert between[0, 1:].min() >= 9 and between[1:, 1:].min() >= 9


# Codes that dissimilar vectors share


def test_shared_codes_are_parted():
    """The vector with most rows stays; another moves by one bit, or by two where those codes are taken; similar ones stay."""
    labels = np.array([[1, 0, 0, 0]] * 5 + [[0, 1, 0, 0]] * 2 + [[0, 1, 1, 0]] * 3 + [[0, 0, 0, 1]], np.uint8)
    rows = distinct_rows(labels)
    place = {tuple(vector): i for i, vector in enumerate(rows.vectors.tolist())}
    first, second, third, fourth = (place[v] for v in ((1, 0, 0, 0), (0, 1, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
    codes = np.ones((4, 6), np.int8)
    kept = codes.copy()
    parted = label_codes._without_shared_codes(codes, rows)
    np.testing.assert_array_equal(codes, kept)
    assert (parted[first] == 1).all()
    between = distances(parted)
    assert shared(parted, rows.vectors) == 0 and between[first, second] == between[first, fourth] == 1

    # Similar to each other, second and third may share; they do where nothing dissimilar is there too.
    codes = np.ones((4, 6), np.int8)
    codes[first] = codes[fourth] = -1
    parted = label_codes._without_shared_codes(codes, rows)
    assert (parted[[second, third]] == 1).all() and (parted[first] == -1).all()
    assert distances(parted)[first, fourth] == 1

    one_label_rows = one_label([9, 8] + [1] * 5)  # the sixth and seventh find all codes at one bit taken
    codes = np.ones((7, 4), np.int8)
    parted = label_codes._without_shared_codes(codes, one_label_rows)
    top = int(np.argmax(one_label_rows.counts))
    assert shared(parted, one_label_rows.vectors) == 0
    assert sorted(distances(parted)[top].tolist()) == [1, 1, 1, 1, 2, 2, 5]


def test_codes_that_cannot_be_parted():
    """Ten classes on eight codes: all are used, and a code that is free already keeps its vector."""
    rows = one_label([3] * 10)
    codes = np.array([[1, 1, 1]] * 9 + [[-1, -1, -1]], np.int8)
    parted = label_codes._without_shared_codes(codes, rows)
    np.testing.assert_array_equal(parted[9], [-1, -1, -1])
    unique, counts = np.unique(parted, axis=0, return_counts=True)
    assert len(unique) == 8 and counts.tolist() == [1] * 7 + [3]  # six neighbours and the code itself for nine
