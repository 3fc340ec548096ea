"""Code health against naive loops, the criteria of a collapse, and the time that a large database takes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import code_health, pack
from dseh_tf.retrieval import health as module
from dseh_tf.retrieval.collapse import findings, warning


def naive_majority(codes: np.ndarray, labels: np.ndarray) -> dict[tuple, tuple]:
    """By label vector: each bit by a vote of its rows; the first row decides a tie."""
    groups: dict[tuple, list] = {}
    for code, label in zip(codes.tolist(), labels.tolist(), strict=True):
        groups.setdefault(tuple(label), []).append(code)
    voted = {}
    for label, rows in groups.items():
        sums = [sum(column) for column in zip(*rows, strict=True)]
        voted[label] = tuple(first if s == 0 else (1 if s > 0 else -1) for s, first in zip(sums, rows[0], strict=True))
    return voted


def naive_health(codes: np.ndarray, labels: np.ndarray, features: np.ndarray) -> dict:
    n, bits = codes.shape
    voted = list(naive_majority(codes, labels).values())
    far = np.array([[sum(a != b for a, b in zip(x, y, strict=True)) for y in voted] for x in voted])
    others = far[~np.eye(len(voted), dtype=bool)].reshape(len(voted), -1)
    means = [sum(codes[:, k].tolist()) / n for k in range(bits)]
    alive = [k for k in range(bits) if abs(means[k]) < 1]
    off = [abs(np.corrcoef(codes[:, i], codes[:, j])[0, 1]) for i in alive for j in alive if i != j]
    shared = [max((codes[:, k] == value).mean() for value in (-1, 1)) for k in range(bits)]
    vectors = Counter(map(tuple, labels.tolist()))
    return {
        "rows": n,
        "bits": bits,
        "classes": sum(bool(labels[:, k].any()) for k in range(labels.shape[1])),
        "single_label": all(sum(row) == 1 for row in labels.tolist()),
        "label_vectors": len(voted),
        "distinct_codes": len({tuple(code) for code in codes.tolist()}),
        "distinct_vector_codes": len(set(voted)),
        "top_code_share": max(Counter(map(tuple, codes.tolist())).values()) / n,
        "top_label_share": max(max(labels.mean(axis=0)), max(vectors.values()) / n),
        "least_distance": others.min(),
        "nearest_distance": others.min(axis=1).mean(),
        "mean_distance": others.mean(),
        "compared_vectors": len(voted),
        "constant_bits": bits - len(alive),
        "nearly_constant_bits": sum(share >= 0.99 for share in shared),
        "mean_balance": np.mean(np.abs(means)),
        "worst_balance": np.max(np.abs(means)),
        "mean_correlation": np.mean(off),
        "correlated_rows": n,
        "units": features.shape[1],
        "dead_units": sum(all(value == 0 for value in column) for column in features.T.tolist()),
    }


def case(seed: int, n: int = 230, bits: int = 12, classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes with a constant and a nearly constant bit, labels with vectors of one, two and many rows, dead units."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([-1, 1], np.int8), (n, bits))
    codes[:, 2], codes[:, 5] = 1, -1
    codes[7, 5] = 1
    codes[n // 2 :] = codes[: n - n // 2]
    labels = (rng.random((n, classes)) < 0.35).astype(np.uint8)
    features = np.maximum(rng.standard_normal((n, 9)), 0)
    features[:, [1, 4]] = 0
    return codes, labels, features


@pytest.mark.parametrize(("seed", "bits"), [(0, 12), (1, 64), (2, 65)])
def test_numbers_equal_naive_loops(seed, bits):
    codes, labels, features = case(seed, bits=bits)
    expected = naive_health(codes, labels, features)
    assert 1 < expected["distinct_vector_codes"] < expected["distinct_codes"] and expected["dead_units"] == 2
    for found in (code_health(codes, labels, features=features), code_health(pack(codes), labels, bits, features)):
        assert set(found.record()) == set(expected)
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, abs=1e-12), name


def test_worked_example():
    found = code_health([[1, 1], [1, 1], [1, -1]], [[1, 0], [1, 0], [0, 1]])
    assert (found.distinct_codes, found.label_vectors, found.constant_bits) == (2, 2, 1)
    assert (found.least_distance, found.nearest_distance, found.mean_distance) == (1, 1, 1)
    assert found.mean_balance == pytest.approx((1 + 1 / 3) / 2) and found.single_label


def test_what_does_not_exist_is_absent():
    found = code_health(np.ones((3, 4), np.int8), np.ones((3, 2), np.uint8)).record()
    assert not {"least_distance", "nearest_distance", "mean_distance", "mean_correlation", "units", "dead_units"} & set(
        found
    )


def test_blocks_and_samples_cover_what_they_say(monkeypatch):
    """Blocks change nothing; a sample of label vectors is compared with all others, and the result says how many."""
    codes, labels, features = case(3)
    whole = code_health(codes, labels, features=features)
    monkeypatch.setattr(module, "_BLOCK_PAIRS", 40)
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    assert code_health(codes, labels, features=features) == whole
    monkeypatch.setattr(module, "COMPARED_VECTORS", 6)
    monkeypatch.setattr(module, "CORRELATED_ROWS", 50)
    found = code_health(codes, labels, features=features)
    assert (found.compared_vectors, found.correlated_rows) == (6, 50)
    voted = naive_majority(codes, labels)
    keys = sorted(voted)  # packed labels sort as the label vectors do
    asked = [keys[int(i)] for i in np.linspace(0, len(keys) - 1, 6)]
    nearest = [min(np.sum(np.array(voted[a]) != voted[b]) for b in keys if b != a) for a in asked]
    assert found.least_distance == min(nearest) and found.nearest_distance == pytest.approx(np.mean(nearest))
    rows = codes[np.linspace(0, len(codes) - 1, 50).astype(int)]
    corr = np.abs(np.corrcoef(rows[:, rows.std(axis=0) > 0].T))
    assert found.mean_correlation == pytest.approx(corr[~np.eye(len(corr), dtype=bool)].mean())
    assert found.mean_distance == whole.mean_distance and found.distinct_codes == whole.distinct_codes


def test_a_large_database_is_sampled():
    rng = np.random.default_rng(0)
    vectors = (rng.random((5000, 80)) < 0.05).astype(np.uint8)
    codes = rng.integers(0, 256, (500_000, 8), dtype=np.uint8)
    labels = vectors[rng.integers(len(vectors), size=len(codes))]
    found = code_health(codes, labels, 64)
    assert found.rows == 500_000 and found.compared_vectors == 4096 < found.label_vectors


@pytest.mark.parametrize(
    ("codes", "labels", "features", "words"),
    [
        (np.ones((0, 4), np.int8), np.ones((0, 2)), None, "codes: found no row"),
        (
            np.ones((3, 4), np.int8),
            np.ones((2, 2)),
            None,
            r"labels: found float64 \[2, 2\], expected multi-hot \[3, classes\]",
        ),
        (np.ones((3, 4), np.int8), np.ones(3), None, r"labels: found float64 \[3\]"),
        (
            np.ones((3, 4), np.int8),
            np.ones((3, 2)),
            np.ones((2, 5)),
            r"features: found float64 \[2, 5\], expected \[3, units\]",
        ),
    ],
)
def test_what_does_not_fit(codes, labels, features, words):
    with pytest.raises(InputError, match=words):
        code_health(codes, labels, features=features)


# What is a collapse, and what is not


def one_label(classes: int, rows: int = 1) -> np.ndarray:
    return np.repeat(np.eye(classes, dtype=np.uint8), rows, axis=0)


def names(codes: np.ndarray, labels: np.ndarray, features: np.ndarray | None = None, **options: bool) -> list[str]:
    return [finding.name for finding in findings(code_health(codes, labels, features=features), **options)]


def signs(rng: np.random.Generator, *shape: int, ones: float = 0.5) -> np.ndarray:
    return np.where(rng.random(shape) < ones, 1, -1).astype(np.int8)


@pytest.mark.parametrize(
    ("classes", "bits"), [(2, 32), (3, 32), (4, 64), (10, 8), (10, 64), (20, 12), (100, 12), (100, 32)]
)
def test_random_codes_of_classes_are_healthy(classes, bits):
    """Also with two classes, where half of the bits are constant, and where several of many classes share a code."""
    warned = [
        names(signs(np.random.default_rng(s), classes, bits), one_label(classes), label_codes=True) for s in range(100)
    ]
    assert sum(map(bool, warned)) <= 1  # of 100, each with a chance of about 1 in 1,000


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32])
def test_random_projections_of_anything_are_no_collapse(bits):
    """LSH of noise and of skewed features, which separate no class: majorities of the classes coincide."""
    rng = np.random.default_rng(bits)
    for x in (rng.standard_normal((600, 24)), rng.random((600, 24)) ** 4, np.abs(rng.standard_normal((600, 3)))):
        codes = np.where((x - x.mean(axis=0)) @ rng.standard_normal((x.shape[1], bits)) >= 0, 1, -1)
        for labels in (one_label(2, 300), one_label(20, 30), (rng.random((600, 30)) < 0.1).astype(np.uint8)):
            assert names(codes, labels) == []


def test_shared_codes_of_label_vectors_are_healthy(rng):
    """Of 1,500 label vectors those with the same first two classes share a code, as on Corel-5k."""
    labels = np.unique((rng.random((2000, 40)) < 0.08).astype(np.uint8), axis=0)
    first = [tuple(np.flatnonzero(row)[:2]) for row in labels]
    table = {key: signs(rng, 32) for key in sorted(set(first))}
    codes = np.stack([table[key] for key in first])
    assert len(table) < len(labels) / 2
    assert names(codes, labels, label_codes=True) == []


def test_unbalanced_classes_are_no_collapse(rng):
    """One class holds nine tenths of the rows, and so does its code."""
    labels = one_label(10)[np.minimum(rng.integers(0, 100, 3000), 99) // 10 * (rng.random(3000) < 0.1)]
    codes = signs(rng, 10, 32)[labels.argmax(axis=1)]
    assert code_health(codes, labels).top_code_share > 0.85
    assert names(codes, labels) == []


def test_each_sign_of_a_collapse(rng):
    few = signs(rng, 2, 32)[np.arange(100) % 2]
    assert names(few, one_label(100), label_codes=True)[0] == "few"
    assert names(np.ones((5, 8), np.int8), one_label(5), label_codes=True) == ["few", "constant"]
    assert names(np.ones((2, 1), np.int8), one_label(2), label_codes=True)[0] == "few"

    shared = signs(rng, 20, 24)
    shared[3] = shared[11]
    assert names(shared, one_label(20), label_codes=True) == ["shared"]
    assert names(shared, one_label(20)) == []  # of images

    several = one_label(20)
    several[4, 5] = 1
    assert names(shared, several, label_codes=True) == []  # several labels a row

    top = signs(rng, 1000, 24)
    top[:600] = top[0]
    assert names(top, one_label(10, 100)) == ["top"]
    assert names(top, np.repeat(one_label(3), [700, 150, 150], axis=0)) == []

    copies = signs(rng, 500, 1) * signs(rng, 1, 16) * signs(rng, 500, 16, ones=0.99)
    assert names(copies, one_label(10, 50)) == ["copies"]

    constant = signs(rng, 600, 16)
    constant[:, 3] = 1
    assert names(constant, one_label(20, 30)) == ["constant"]
    assert names(constant, one_label(20, 30), sampled=True) == []

    nearly = signs(rng, 2000, 16)
    nearly[:, :9] = signs(rng, 2000, 9, ones=0.002)
    assert names(nearly, one_label(20, 100)) == ["nearly_constant"]

    codes, features = signs(rng, 30, 24), np.zeros((30, 100))
    features[:, :9] = 1
    assert names(codes, one_label(30), features) == ["units"]
    assert names(codes[:9], one_label(9), features[:9]) == []  # nine units are enough for nine classes
    features[:, :11] = 1
    assert names(codes, one_label(30), features) == []


def test_the_warning_is_one_line(rng):
    found = findings(code_health(signs(rng, 2, 32)[np.arange(100) % 2], one_label(100)), label_codes=True)
    line = warning([("round 0, labnet, epoch 3", found[:1]), ("database", [])], "try another rate")
    text = "2 distinct codes for 100 label vectors (round 0, labnet, epoch 3); try another rate"
    assert line == f"warning: codes have collapsed: {text}"
    constant = signs(rng, 600, 16)
    constant[:, 3] = 1
    line = warning([("database", findings(code_health(constant, one_label(20, 30))))])
    assert line == "warning: bits are dead: 1 constant bit of 16 (database)"
    assert warning([("database", [])], "anything") is None
