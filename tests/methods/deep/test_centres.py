"""Class centres: least distances by brute force, balanced bits, and that they are a function of the arguments."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.methods.deep.centres import KINDS, class_centres, hadamard_matrix


def distances(centres: np.ndarray) -> list[int]:
    """Of every pair, bit by bit."""
    words = [int("".join("1" if bit > 0 else "0" for bit in row), 2) for row in centres]
    return [(a ^ b).bit_count() for a, b in itertools.combinations(words, 2)]


@pytest.mark.parametrize(("order", "known"), [(1, True), (2, True), (6, False), (12, True), (16, True), (20, True), (28, True),
                                              (36, True), (48, True), (92, False), (96, True), (30, False)])  # fmt: skip
def test_hadamard_matrices(order, known):
    matrix = hadamard_matrix(order)
    assert (matrix is not None) == known
    if known:
        assert matrix.shape == (order, order) and set(np.unique(matrix)) <= {-1, 1}
        np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order))


@pytest.mark.parametrize(("classes", "bits"), [(2, 4), (10, 16), (16, 16), (21, 16), (32, 16), (64, 32), (100, 64), (128, 64),
                                               (10, 12), (24, 12), (10, 48), (81, 48), (72, 36), (250, 128)])  # fmt: skip
def test_hadamard_rows_are_half_the_bits_apart(classes, bits):
    centres = class_centres(classes, bits, 5)
    found = distances(centres)
    assert len(found) == classes * (classes - 1) // 2 and min(found) == bits // 2
    # All of them are rows of [H; -H]: at half the bits, or opposite.
    assert set(found) <= {bits // 2, bits}
    rows = {tuple(row) for row in np.concatenate([hadamard_matrix(bits), -hadamard_matrix(bits)])}
    assert {tuple(row) for row in centres.astype(int)} <= rows


# Floors are a little below what the best known linear codes of the next power of two of words have:
# [16, 7, 6], [24, 7, 10], [32, 7, 14], [48, 7, 22], [32, 10, 12], [64, 10, 28], [48, 10, 20], [128, 10, 60].
@pytest.mark.parametrize(("classes", "bits", "least"), [
    (100, 16, 6), (100, 24, 9), (100, 32, 13), (65, 32, 13), (100, 48, 21), (33, 16, 6), (300, 32, 10), (1000, 32, 10),
    (1000, 48, 17), (1000, 64, 25), (1000, 128, 55), (20, 11, 4), (81, 12, 4), (16, 5, 2), (2, 7, 7), (3, 52, 34),
    (500, 301, 140), (16, 4, 1), (9, 4, 1), (5, 3, 1), (3, 2, 1), (2, 1, 1), (2048, 32, 9),
])  # fmt: skip
def test_least_distance_of_searched_centres(classes, bits, least):
    for seed in (0, 1) if classes <= 100 else (0,):
        centres = class_centres(classes, bits, seed)
        assert centres.shape == (classes, bits) and centres.dtype == np.int8 and set(np.unique(centres)) == {-1, 1}
        assert min(distances(centres)) >= least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_all_codes_can_be_centres(kind, bits):
    """As many classes as there are codes, and one above a power of two: every centre is another."""
    for classes in {1, 2**bits, 2 ** (bits - 1) + 1}:
        assert len(np.unique(class_centres(classes, bits, 1, kind), axis=0)) == classes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "bits"), [(10, 12), (21, 32), (100, 32), (80, 51)])
def test_a_function_of_the_seed(kind, classes, bits):
    first, again, other = (class_centres(classes, bits, seed, kind) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3  # the order of the classes is drawn as well


@pytest.mark.parametrize(("classes", "bits"), [(20, 12), (21, 16), (40, 24), (65, 32), (80, 16), (100, 32), (100, 48),
                                               (100, 64), (128, 32), (300, 24)])  # fmt: skip
def test_bits_are_balanced(classes, bits):
    """No bit is nearly constant: its mean is well within what fair coins would have somewhere among so many bits."""
    for seed in range(3):
        means = np.abs(class_centres(classes, bits, seed).astype(float).mean(axis=0))
        assert means.max() <= max(1.8 / np.sqrt(classes), 0.02)
    fair = [np.abs(class_centres(classes, bits, seed, "random").astype(float).mean(axis=0)).max() for seed in range(3)]
    assert means.max() <= np.mean(fair)


def test_bits_of_a_whole_code_are_exactly_balanced():
    assert (class_centres(128, 33, 0).sum(axis=0, dtype=int) == 0).all()


def test_random_bits_are_fair_and_independent():
    centres = class_centres(2000, 40, 0, "random").astype(float)
    assert abs(centres.mean()) < 0.02
    products = centres.T @ centres / 2000
    assert np.abs(products - np.eye(40)).max() < 0.12


@pytest.mark.parametrize(("classes", "bits"), [(10, 16), (30, 24), (12, 7)])
def test_draws_with_a_least_distance(classes, bits):
    """The same words as one draw after the other with a falling bound, counted word by word."""
    from dseh_tf.methods.deep import centres as module

    class Words:
        """Gives the words of a generator one by one, and in blocks."""

        def __init__(self) -> None:
            self.rng = np.random.default_rng(9)

        def choice(self, values, shape):
            return self.rng.choice(values, shape)

    failures = 50
    found = module._least_distance_draws(classes, bits, Words(), failures=failures)
    rng, words = np.random.default_rng(9), []
    kept, bound, failed = [], 0.61, 0
    while len(kept) < classes:
        if not words:
            words = list(rng.choice(np.array([-1, 1], np.float32), (4096, bits)))
        word = words.pop(0)
        if all((word != other).sum() >= bound * bits - 1e-9 and (word != other).any() for other in kept):
            kept.append(word)
            continue
        failed += 1
        if failed == failures:
            failed, bound = 0, bound - 0.01
    assert bound < 0.58
    np.testing.assert_array_equal(found, kept)


@pytest.mark.parametrize(("classes", "bits", "least"), [(100, 32, 10), (100, 64, 23), (20, 12, 4)])
def test_draws_are_apart(classes, bits, least):
    fair = min(distances(class_centres(classes, bits, 0, "random")))
    assert min(distances(class_centres(classes, bits, 0, "dpn"))) >= max(least, fair + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_classes_take_a_moment(kind):
    started = time.process_time()
    class_centres(1000, 64, 0, kind)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((17, 4, 0), "bits: found 4, expected at least 5 for 17 classes"),
        ((3, 1, 0, "random"), "bits: found 1, expected at least 2 for 3 classes"),
        ((10, 16, 0, "nope"), "centres: found 'nope', expected one of hadamard_or_search, random, dpn"),
        ((0, 16, 0), "classes: found 0, expected a positive number"),
    ],
)
def test_bad_arguments(arguments, line):
    with pytest.raises(InputError) as error:
        class_centres(*arguments)
    assert str(error.value) == line
