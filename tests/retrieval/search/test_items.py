"""The file of an index in memory, field by field, and the layout of distinct codes."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval.search import ExactIndex
from dseh_tf.retrieval.search.distinct import Postings


@pytest.mark.parametrize("width", [1, 8, 9, 24])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_postings_group_the_items_of_each_code(width, n):
    rng = np.random.default_rng(width)
    packed = rng.integers(0, 256, (12, width), np.uint8)[rng.integers(0, 12, n)]
    rows = np.flatnonzero(rng.random(2 * n + 3) < 2)[:n] * 3
    groups: dict[bytes, list[int]] = {}
    for code, row in zip(packed, rows, strict=True):
        groups.setdefault(code.tobytes(), []).append(int(row))
    postings = Postings.of(packed, rows)
    assert [code.tobytes() for code in postings.packed] == list(groups)  # in the order of their first items
    assert [postings.items[a:b].tolist() for a, b in zip(postings.starts, postings.starts[1:], strict=False)] == list(
        groups.values()
    )
    assert postings.codes.shape == (-(-width // 8), len(groups)) and len(postings) == n
    assert np.ascontiguousarray(postings.codes.T).view(np.uint8)[:, :width].tobytes() == postings.packed.tobytes()


def test_postings_do_not_follow_the_callers_array():
    packed = np.array([[7] * 8, [5] * 8], np.uint8)
    postings = Postings.of(packed)
    packed[:] = 0
    assert postings.codes[0].tolist() == [int.from_bytes([7] * 8, "little"), int.from_bytes([5] * 8, "little")]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"format": 2}, "format: found 2, expected 1"),
        ({"format": [1]}, r"format: found int64 \[1\], expected one whole number"),
        ({"bits": 12.0}, r"bits: found float64 \[\], expected one whole number"),
        ({"bits": 7}, "bits: found 7, expected 8 to 1024"),
        ({"bits": 24}, "codes: found 2 bytes per code, expected 3 for 24 bits"),
        ({"codes": np.ones((2, 12), np.int8)}, "codes: found int8, expected packed uint8"),
        ({"codes": np.full((2, 2), 255, np.uint8)}, "codes: found a padding bit that is set"),
        ({"ids": ["a", "a"]}, "ids: found 'a' twice"),
        ({"ids": [1, 2]}, "ids: found int64"),
        ({"label_names": ["x", "x"]}, "label_names: found 'x' twice"),
        ({"label_counts": [1]}, r"label_counts: found int64 \[1\], expected whole numbers \[2\]"),
        ({"label_counts": [3, 0]}, "label_counts: found 3, expected 0 to 2"),
        ({"label_counts": [2, 1]}, r"label_numbers: found int64 \[2\], expected whole numbers \[3\]"),
        ({"label_numbers": [0, 2]}, "label_numbers: found 2, expected 0 to 1"),
        ({"label_numbers": [0, -1]}, "label_numbers: found -1, expected 0 to 1"),
        ({"label_numbers": [[0, 1]], "label_counts": [0, 0]}, "label_numbers: found"),
        ({"about": "{"}, "about: found invalid JSON"),
        ({"about": "[1]"}, "about: found .*expected a JSON object"),
        ({"about": 3}, "about: found int64"),
        ({"codes": None}, "found no array 'codes'"),
        ({"ids": np.array(["a", None], object)}, "ids: found no plain array"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, change, line):
    index = ExactIndex(12, {"method": "x"})
    index.add(np.ones((2, 12), np.int8), ["a", "b"], [["x"], ["y"]])
    path = tmp_path / "index.npz"
    index.save(path)
    with np.load(path) as file:
        arrays = {**file, **change}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=f"index.npz: {line}") as caught:
        ExactIndex.open(path)
    assert "\n" not in str(caught.value)


def test_an_item_that_names_a_label_twice_is_found_once(tmp_path):
    index, path = ExactIndex(8), tmp_path / "index.npz"
    index.add(np.ones((1, 8), np.int8), ["a"], [["x", "y", "x"]])
    assert index.labels_of(["a"]) == [["x", "y"]]
    index.save(path)
    with np.load(path) as file:
        arrays = {**file, "label_numbers": np.array([0, 0])}
    np.savez(path, **arrays)
    assert ExactIndex.open(path).search(np.ones((1, 8), np.int8), 5, "x")[0].tolist() == [["a"]]
