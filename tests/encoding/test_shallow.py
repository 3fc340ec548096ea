"""Saved encoders of the shallow methods: formulas by naive loops, files that are damaged on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dseh_tf.encoding import saved, shallow, trees
from dseh_tf.errors import InputError

RNG = np.random.default_rng(0)
ROWS = shallow.Rows(True, RNG.normal(size=5))
NODES = {  # two trees for bit 0, none for bit 1: x0 <= 3 ? 1 : (x1 <= 8.5 ? 2 : 4), and a single leaf of 16
    "first_tree": np.array([0, 2, 2]),
    "roots": np.array([0, 5]),
    "feature": np.array([0, 0, 1, 0, 0, 0]),
    "threshold": np.array([3, 0, 8.5, 0, 0, 0]),
    "left": np.array([1, -1, 3, -1, -1, -1]),
    "right": np.array([2, -1, 4, -1, -1, -1]),
    "value": np.array([0, 1.0, 0, 2.0, 4.0, 16.0]),
}
ENCODERS = {
    "projection": shallow.Projection(rows=ROWS, weights=RNG.normal(size=(5, 3))),
    "sinusoids": shallow.Sinusoids(
        rows=ROWS,
        directions=RNG.normal(size=(5, 2)),
        lowest=RNG.normal(size=2),
        direction=np.array([0, 1, 0]),
        frequency=np.array([1.0, 2.0, 3.0]),
    ),
    "centred_kernel": shallow.CentredKernel(
        rows=ROWS,
        anchors=RNG.normal(size=(4, 5)).astype(np.float32),
        divisor=-1.5,
        centre=RNG.random(4),
        weights=RNG.normal(size=(4, 3)),
    ),
    "biased_kernel": shallow.BiasedKernel(
        rows=ROWS, anchors=RNG.normal(size=(4, 5)).astype(np.float32), divisor=-1.5, weights=RNG.normal(size=(5, 3))
    ),
    "trees": trees.Trees(
        rows=ROWS,
        directions=RNG.normal(size=(5, 2)),
        lowest=np.array([-1.0, -2.0]),
        step=np.array([0.1, 0.2]),
        baseline=np.array([0.5, -1.0]),
        **NODES,
    ),
}


def by_hand(encoder: shallow.ShallowEncoder, row: np.ndarray) -> list[float]:
    """The definition of each class, a number at a time."""
    unit = [v / math.sqrt(sum(float(u) ** 2 for u in row)) for v in map(float, row)]
    centred = [u - m for u, m in zip(unit, encoder.rows.mean, strict=True)]

    def dot(column) -> float:
        return sum(a * b for a, b in zip(centred, column, strict=True))

    match encoder:
        case shallow.Projection():
            return [dot(column) for column in encoder.weights.T]
        case shallow.Sinusoids():
            lines = [dot(encoder.directions[:, p]) - encoder.lowest[p] for p in range(2)]
            return [math.cos(f * lines[p]) for p, f in zip(encoder.direction, encoder.frequency, strict=True)]
        case shallow.CentredKernel() | shallow.BiasedKernel():
            near = [math.exp(math.dist(unit, anchor) ** 2 / encoder.divisor) for anchor in encoder.anchors.tolist()]
            near = (
                [*near, 1.0] if isinstance(encoder, shallow.BiasedKernel) else list(np.subtract(near, encoder.centre))
            )
            return [sum(a * b for a, b in zip(near, column, strict=True)) for column in encoder.weights.T]
        case trees.Trees():
            level = [
                min(max(math.floor((dot(encoder.directions[:, p]) - encoder.lowest[p]) / encoder.step[p]), 0), 254)
                for p in range(2)
            ]
            return [0.5 + (1 if level[0] <= 3 else 2 if level[1] <= 8.5 else 4) + 16, -1.0]
    raise AssertionError(encoder)


@pytest.mark.parametrize("kind", saved.KINDS)
def test_the_formula(kind):
    x = RNG.normal(size=(40, 5)).astype(np.float32)
    expected = [by_hand(ENCODERS[kind], row) for row in x]
    np.testing.assert_allclose(ENCODERS[kind].project(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", saved.KINDS)
def test_what_is_loaded_gives_the_same_numbers(kind, tmp_path):
    encoder = ENCODERS[kind]
    encoder.save(tmp_path / "encoder.npz")
    loaded = saved.load(tmp_path / "encoder.npz")
    x = RNG.normal(size=(40, 5)).astype(np.float32)
    assert type(loaded) is type(encoder) and loaded.bits == encoder.bits and loaded.image_shape is None
    np.testing.assert_array_equal(loaded.project(x), encoder.project(x))


def test_the_size_of_raw_images_is_kept(tmp_path):
    weights = RNG.normal(size=(2 * 3 * 3, 4))
    encoder = shallow.Projection(rows=shallow.Rows(False, np.zeros(18)), image_shape=(2, 3), weights=weights)
    encoder.save(tmp_path / "e.npz")
    assert saved.load(tmp_path / "e.npz").image_shape == (2, 3)
    changed(tmp_path / "e.npz", image_shape=np.array([3, 3]))
    with pytest.raises(InputError, match=r"e\.npz: image_shape: found 3 x 3, expected images of 18 numbers"):
        saved.load(tmp_path / "e.npz")


def changed(path, **arrays) -> None:
    with np.load(path) as held:
        np.savez(path, **{**held, **arrays})


@pytest.mark.parametrize(
    ("kind", "change", "line"),
    [
        ("projection", {"format": np.array(2)}, "format: found 2, expected 1"),
        ("projection", {"format": np.array("1")}, "format: found '1', expected 1"),
        ("projection", {"encoder": np.array("svm")}, "encoder: found 'svm', expected one of projection, sinusoids"),
        ("projection", {"mean": np.zeros(4)}, r"weights: found float64 \[5, 3\], expected float64 \[4, "),
        ("projection", {"normalise": np.array(1)}, r"normalise: found int64 \[\], expected bool \[\]"),
        ("projection", {"weights": np.full((5, 3), np.nan)}, "weights: found nan, expected finite numbers"),
        ("projection", {"weights": np.ones((5, 3), np.float32)}, r"weights: found float32 \[5, 3\], expected float64"),
        ("projection", {"weights": np.ones((5, 0))}, r"weights: found float64 \[5, 0\], expected at least one number"),
        ("sinusoids", {"direction": np.array([0, 2, 0])}, "direction: found numbers from 0 to 2, expected 0 to 1"),
        ("centred_kernel", {"divisor": np.array(0.0)}, "divisor: found 0.0, expected a number below 0"),
        (
            "biased_kernel",
            {"weights": np.ones((4, 3))},
            "weights: found 4 rows, expected 5, one an anchor and one more",
        ),
        (
            "trees",
            {"left": np.array([1, -1, 2, -1, -1, -1])},
            "left: found a node that is not among those after its parent",
        ),
        ("trees", {"right": np.array([2, -1, 6, -1, -1, -1])}, "right: found a node that is not among those after"),
        ("trees", {"roots": np.array([0, 6])}, "roots: found numbers from 0 to 6, expected 0 to 5"),
        ("trees", {"feature": np.array([0, 0, -1, 0, 0, 0])}, "feature: found numbers from -1 to 0, expected 0 to 1"),
        ("trees", {"first_tree": np.array([0, 3, 2])}, r"first_tree: found int64 \[3\], expected 3 rising numbers"),
    ],
)
def test_arrays_that_make_no_encoder(kind, change, line, tmp_path):
    path = tmp_path / "e.npz"
    ENCODERS[kind].save(path)
    changed(path, **change)
    with pytest.raises(InputError, match=rf"e\.npz: {line}") as caught:
        saved.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_encoder(tmp_path):
    with pytest.raises(InputError, match=r"gone\.npz: found no such file"):
        saved.load(tmp_path / "gone.npz")
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match=r"x\.npz: found no array 'format', expected format, encoder, normalise, mean"):
        saved.load(tmp_path / "x.npz")
