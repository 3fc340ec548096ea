"""Any sequence of changes gives the answers of brute force; any damage to a file gives these answers or one line."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import new_index, open_index
from tests.damage import damaged, examples
from tests.retrieval.search.oracle import Oracle, assert_agrees, random_codes

LABELS = ([], ["dog"], ["sea"], ["sea", "dog"])
INSTALLED = [name for name in ("exact", "faiss", "duckdb") if name == "exact" or importlib.util.find_spec(name)]


def changed(data: st.DataObject, index, oracle: Oracle, rng: np.random.Generator, bits: int, number: int) -> None:
    """Adds or removes some items, in the index and in the oracle."""
    if oracle.items and data.draw(st.booleans()):
        gone = [name for _, name, _ in oracle.items if rng.random() < 0.5]
        index.remove(gone)
        oracle.remove(gone)
        return
    size = data.draw(st.integers(0, 12))
    codes = random_codes(rng, size, bits, data.draw(st.integers(1, 5)))
    ids, labels = [f"{number}/{i}" for i in range(size)], [LABELS[i] for i in rng.integers(0, 4, size)]
    index.add(pack(codes) if data.draw(st.booleans()) else codes, ids, labels)
    oracle.add(codes, ids, labels)


@examples(12)
@given(st.data())
def test_answers_are_those_of_brute_force(tmp_path_factory, data):
    engine = data.draw(st.sampled_from(INSTALLED))
    bits = data.draw(st.one_of(st.integers(8, 70), st.sampled_from([127, 128, 129, 1024])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    index, oracle = new_index(engine, bits=bits), Oracle()
    for number in range(data.draw(st.integers(1, 3))):
        changed(data, index, oracle, rng, bits, number)
        if data.draw(st.integers(0, 2)) == 0:
            path = tmp_path_factory.mktemp("index") / "index"
            index.save(path)
            index.close()
            index = open_index(path)
    assert_agrees(index, oracle, random_codes(rng, 2, bits, 2))
    index.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, tuple[bytes, list]]:
    """By engine: the file of an index, and all its items by distance from the first code."""
    held = {}
    for engine in INSTALLED:
        path = tmp_path_factory.mktemp("whole") / "index"
        rng = np.random.default_rng(0)
        index = new_index(engine, bits=60, about={"method": "x"})
        index.add(random_codes(rng, 40, 60, 30), [f"i{i}" for i in range(40)], [LABELS[i % 4] for i in range(40)])
        index.save(path)
        held[engine] = path.read_bytes(), answers(index)
        index.close()
    return held


def answers(index) -> list:
    found = index.range(np.ones((1, 60), np.int8), 60) + index.range(-np.ones((1, 60), np.int8), 60, label="sea")
    return [array.tolist() for pair in found for array in pair]


@examples(120)
@given(st.data())
def test_damaged_files(tmp_path_factory, whole, data):
    contents, expected = whole[data.draw(st.sampled_from(INSTALLED))]
    path = tmp_path_factory.mktemp("damaged") / "index"
    path.write_bytes(damaged(data, contents, contents[::-1]))
    try:
        index = open_index(path)
        found = answers(index)
        index.close()
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert found == expected
