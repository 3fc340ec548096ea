"""Composes the canvases of multi_digits: a pure function of the part and the row, without TensorFlow."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from dseh_tf.seeding import generator

CANVAS = 48
CLASSES = 10
SIZES = {"query": 500, "database": 5000}
TRAIN = 2000  # the first rows of the database
QUERY_SHARE = 0.2  # of the scanned digits, class by class: they serve queries alone
SEED = 20180713

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SYNONYMS = ("nought", "single", "pair", "trio", "quartet", "quintet", "sextet", "septet", "octet", "nonet")
KINDS = {
    "even": (0, 2, 4, 6, 8),
    "odd": (1, 3, 5, 7, 9),
    "small": (0, 1, 2, 3, 4),
    "large": (5, 6, 7, 8, 9),
    "prime": (2, 3, 5, 7),
    "square": (0, 1, 4, 9),
    "round": (0, 6, 8, 9),
}
IDLE = ("handwritten", "ink", "scan", "colour", "paper", "sketch", "macro", "art", "school", "note", "blue", "red")
VOCABULARY = (*DIGIT_WORDS, *SYNONYMS, *KINDS, *IDLE)
# Linear interpolation from 6 values to the canvas: the clouds of the background.
_STRETCH = np.maximum(0, 1 - np.abs(np.linspace(0, 5, CANVAS)[:, None] - np.arange(6)))


@dataclass(frozen=True)
class Canvas:
    """image: uint8 [48, 48, 3]. labels: uint8 [10] multi-hot. tags: words. sources: rows of scikit-learn's digits."""

    id: str
    image: np.ndarray
    labels: np.ndarray
    tags: tuple[str, ...]
    sources: tuple[int, ...]

    @property
    def text(self) -> np.ndarray:
        """float32 [len(VOCABULARY)]: 1 for each tag."""
        return np.array([word in self.tags for word in VOCABULARY], np.float32)


def compose(part: str, row: int) -> Canvas:
    """The canvas of a row of `query` or `database`, the same on every call."""
    rng = generator(SEED, "canvas", 2 * row + (part == "query"))
    digits = rng.permutation(CLASSES)[: rng.integers(1, 4)]
    sources = tuple(int(rng.choice(_pool(part, int(digit)))) for digit in digits)
    labels = np.zeros(CLASSES, np.uint8)
    labels[digits] = 1
    tags = _tags(rng, digits)
    return Canvas(f"{part}/{row:04d}", _paint(rng, sources), labels, tags, sources)


@functools.cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """float [1797, 8, 8] ink 0..1 and their digits."""
    digits = load_digits()
    return digits.images / 16, digits.target


@functools.cache
def _pool(part: str, digit: int) -> np.ndarray:
    """The scans of a digit that may serve the part."""
    rows = np.flatnonzero(_scans()[1] == digit)
    rows = generator(SEED, "scans", digit).permutation(rows)
    held = round(QUERY_SHARE * len(rows))
    return rows[:held] if part == "query" else rows[held:]


def _paint(rng: np.random.Generator, sources: tuple[int, ...]) -> np.ndarray:
    ground = rng.uniform(0, 90, 3)
    clouds = (_STRETCH @ rng.normal(0, 10, (3, 6, 6)) @ _STRETCH.T).transpose(1, 2, 0)
    image = ground + clouds + rng.normal(0, 5, (CANVAS, CANVAS, 3))
    for source, centre in zip(sources, _centres(rng, len(sources)), strict=True):
        ink = _enlarge(_scans()[0][source], centre, rng.uniform(17, 22), np.radians(rng.uniform(-12, 12)))
        image += ink[..., None] * (_ink_colour(rng, ground) - image)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _centres(rng: np.random.Generator, count: int) -> np.ndarray:
    """float [count, 2] row and column of the digits' centres, far enough apart that digits hardly overlap."""
    while True:
        centres = rng.uniform(10, CANVAS - 10, (count, 2))
        if all(math.dist(a, b) >= 17 for a, b in itertools.combinations(centres, 2)):
            return centres


def _enlarge(scan: np.ndarray, centre: np.ndarray, size: float, angle: float) -> np.ndarray:
    """float [48, 48] ink 0..1: the scan `size` pixels high, turned about its middle, at `centre`; cubic splines."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 8 / size
    ink = ndimage.affine_transform(scan, turn, 3.5 - turn @ centre, (CANVAS, CANVAS), order=3, mode="constant")
    return np.clip(1.15 * ink, 0, 1)


def _ink_colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """A light colour, its luminance well above the dark background's: legible, and learned from 2,000 images."""
    weights = np.array([0.299, 0.587, 0.114])
    while True:
        colour = rng.uniform(60, 255, 3)
        if weights @ (colour - ground) >= 90:
            return colour


def _tags(rng: np.random.Generator, digits: np.ndarray) -> tuple[str, ...]:
    """True tags with gaps, a few that say nothing, now and then a wrong one."""
    tags = []
    for digit in digits:
        tags += [DIGIT_WORDS[digit]] * (rng.random() < 0.75)
        tags += [SYNONYMS[digit]] * (rng.random() < 0.5)
        tags += [kind for kind, members in KINDS.items() if digit in members and rng.random() < 0.3]
    tags += list(rng.choice(IDLE, rng.integers(0, 4), replace=False))
    if rng.random() < 0.1:
        tags.append(str(rng.choice(VOCABULARY)))
    return tuple(word for word in VOCABULARY if word in tags)
