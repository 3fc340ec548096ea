"""The V-step: exhaustive search, the objective bit by bit, the release's codes. No TensorFlow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dseh_tf.data.label_vectors import distinct_rows
from dseh_tf.errors import InputError
from dseh_tf.methods.asymmetric import database_codes
from dseh_tf.methods.asymmetric.database_codes import objective, solve_codes
from dseh_tf.methods.asymmetric.sample import Sample
from tests.oracles import oracle


def soft_similarity(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """S [m, n] pair by pair."""
    similar = np.array([[float(any(a & b)) for b in labels] for a in labels[rows]])
    ratio = similar.sum() / (1 - similar).sum()
    return np.where(similar > 0, 1.0, -ratio)


def naive_objective(codes, soft, outputs, rows, gamma: float, pull=None) -> float:
    """The objective as it is printed, and the linear term of `pull` [n, K]."""
    total, bits = 0.0, codes.shape[1]
    for i, u in enumerate(outputs):
        for j, v in enumerate(codes):
            total += (sum(float(a) * float(b) for a, b in zip(u, v, strict=True)) - bits * soft[i, j]) ** 2
        total += gamma * sum((float(a) - float(b)) ** 2 for a, b in zip(codes[rows[i]], u, strict=True))
    return total if pull is None else total - 2.0 * float((codes * pull).sum())


def case(rng, n: int, m: int, bits: int, classes: int = 3):
    labels = (rng.random((n, classes)) < 0.4).astype(np.uint8)
    rows = rng.choice(n, m, replace=False)
    outputs = np.tanh(rng.standard_normal((m, bits)))
    codes = np.where(rng.random((n, bits)) < 0.5, 1, -1).astype(np.int8)
    return labels, rows, outputs, codes


@pytest.mark.parametrize("with_pull", [False, True])
def test_each_column_is_the_best_of_all(rng, with_pull):
    """All 2^8 columns are tried for each bit, with the other bits as they are at that time."""
    labels, rows, outputs, codes = case(rng, 8, 5, 3)
    distinct = distinct_rows(labels)
    pull = 10 * rng.standard_normal((len(distinct.vectors), 3)) if with_pull else None
    of_rows = pull[distinct.index] if with_pull else None
    soft, seen = soft_similarity(labels, rows), []
    solve_codes(codes, Sample(distinct, rows), outputs, 20.0, pull, on_bit=lambda bit, now: seen.append(now))
    before = codes
    for bit, now in enumerate(seen):
        best = np.inf, None
        for column in product((-1, 1), repeat=8):
            tried = before.copy()
            tried[:, bit] = column
            best = min(best, (naive_objective(tried, soft, outputs, rows, 20.0, of_rows), column))
        np.testing.assert_array_equal(now[:, bit], best[1])
        np.testing.assert_array_equal(np.delete(now, bit, axis=1), np.delete(before, bit, axis=1))
        before = now
    assert not np.array_equal(before, codes)


def test_the_objective_falls_at_every_bit_and_is_the_printed_one(rng):
    labels, rows, outputs, codes = case(rng, 60, 20, 8)
    sample, soft, seen = Sample(distinct_rows(labels), rows), soft_similarity(labels, rows), [codes]
    for _ in range(2):
        seen.append(solve_codes(seen[-1], sample, outputs, 50.0, on_bit=lambda bit, now: seen.append(now)))
    values = [naive_objective(now, soft, outputs, rows, 50.0) for now in seen]
    for value, now in zip(values, seen, strict=True):
        assert objective(now, sample, outputs, 50.0) == pytest.approx(value / (20 * 60), rel=1e-12)
    assert (np.diff(values) <= 1e-9 * values[0]).all() and values[-1] < 0.9 * values[0]


def test_blocks_of_rows_give_the_same_codes(rng, monkeypatch):
    labels, rows, outputs, codes = case(rng, 100, 30, 6)
    sample = Sample(distinct_rows(labels), rows)
    whole = solve_codes(codes, sample, outputs, 50.0)
    monkeypatch.setattr(database_codes, "_BLOCK_ROWS", 7)
    monkeypatch.setattr("dseh_tf.data.label_vectors._BLOCK_CELLS", 3)
    monkeypatch.setattr("dseh_tf.methods.asymmetric.sample._BLOCK_ROWS", 7)
    np.testing.assert_array_equal(solve_codes(codes, Sample(sample.database, rows), outputs, 50.0), whole)
    assert objective(codes, Sample(sample.database, rows), outputs, 5.0) == pytest.approx(
        objective(codes, sample, outputs, 5.0), rel=1e-12
    )


@pytest.mark.parametrize("start", ["zero", "pm1"])
def test_codes_are_the_releases(start):
    given = oracle("adsh")
    sample = Sample(distinct_rows(given["L"].astype(np.uint8)), given["sel"])
    codes, gamma = given[f"V0_{start}"].astype(np.int8), float(given["gamma"])
    before, after = (float(given[f"objective_{when}_{start}"]) for when in ("before", "after"))
    assert objective(codes, sample, given["U"], gamma) == pytest.approx(before, rel=1e-6)
    for step in (1, 2):
        codes = solve_codes(codes, sample, given["U"], gamma)
        np.testing.assert_array_equal(codes, given[f"V{step}_{start}"])
        if step == 1:
            assert objective(codes, sample, given["U"], gamma) == pytest.approx(after, rel=1e-6)
    assert (codes != given[f"matlab_V1_{start}"]).mean() > 0.1  # sign(U) there, which is not the minimum


def test_a_column_of_zeros_becomes_positive():
    """The release leaves 0 there, which is no code."""
    given = oracle("adsh")
    sample = Sample(distinct_rows(given["L"].astype(np.uint8)), given["sel"])
    found = solve_codes(given["V0_pm1"].astype(np.int8), sample, given["U_zero_column"], float(given["gamma"]))
    assert (given["V1_zero_column"][:, 3] == 0).all() and (found[:, 3] == 1).all()
    np.testing.assert_array_equal(np.delete(found, 3, axis=1), np.delete(given["V1_zero_column"], 3, axis=1))


def test_all_pairs_similar(rng):
    labels = np.ones((6, 2), np.uint8)
    line = "sample: found a common label in every pair of the 3 sampled and the 6 database rows, expected"
    with pytest.raises(InputError, match=line):
        Sample(distinct_rows(labels), np.array([0, 2, 5]))
