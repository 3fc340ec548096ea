"""Random streams: their numbers are pinned, because splits and published runs depend on them."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest

import dseh_tf
from dseh_tf import seeding

ROOT = Path(dseh_tf.__file__).parent


def test_stream_seed_is_a_digest_of_seed_and_names():
    digest = hashlib.sha256(b"3/imgnet/2/flip").hexdigest()
    little = int("".join(digest[i : i + 2] for i in range(14, -2, -2)), 16)
    assert seeding.stream_seed(3, "imgnet", 2, "flip") == little // 2
    assert seeding.stream_seed(0, "imgnet", 0, "rows") == 6576164787862309788


def test_stream_seed_depends_on_each_part():
    seeds = {seeding.stream_seed(*names) for names in ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, 1, "a"))}
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("name", "index", "key"),
    [
        ("split", 0, 0xD12A3), ("validation", 0, 0x7A11D), ("imagenet_100 classes", 0, 0x11A6E7), ("shallow", 101, 101),
        ("canvas", 9, 9), ("scans", 7, (1 << 40) + 7), ("banks", 1, 7920), ("centres", 2, 0xCE29), ("centre ties", 0, 0x71E5),
        ("label codes", 0, 0x1ABE1), ("cnnh codes", 0, 0xC0DE5),
    ],
)  # fmt: skip
def test_streams_from_before_keep_their_keys(name, index, key):
    expected = np.random.Generator(np.random.Philox(key=[5, key])).integers(0, 2**62, 4)
    np.testing.assert_array_equal(seeding.generator(5, name, index).integers(0, 2**62, 4), expected)
    assert seeding.stateless_seed(5, name, index) == (5, key)


def test_philox_draws_what_it_always_drew():
    assert seeding.generator(0, "split").permutation(10).tolist() == [2, 4, 6, 9, 3, 7, 8, 5, 1, 0]


def test_a_new_name_is_a_new_stream():
    draws = [seeding.generator(*stream).random() for stream in ((0, "new"), (1, "new"), (0, "other"), (0, "new", 1))]
    assert len(set(draws)) == 4 and draws[0] == seeding.generator(0, "new").random()


def test_layer_seeds():
    assert [seeding.layer_seed(4, name) for name in ("fc1", "feature", "code", "label")] == [41, 43, 45, 47]
    assert [seeding.layer_seed(4, name) for name in ("fc8", "slices", "hash", "adapt", "greedyhash")] == [
        141, 141, 143, 145, 147,
    ]  # fmt: skip
    assert [seeding.layer_seed(4, f"compact/conv{index}") for index in (1, 6)] == [4001, 4006]
    new = {seeding.layer_seed(seed, name) for seed in (0, 1) for name in ("a layer", "another")}
    assert len(new) == 4 and all(0 <= seed < 2**31 for seed in new)
    assert seeding.bank_seed(4, 2) == 2_000_010


def test_default_generator_is_numpys():
    assert seeding.default_generator(3).random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=str)
def test_only_seeding_makes_generators(path):
    if path == ROOT / "seeding.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.startswith("np.random."), f"{path}:{node.lineno}: {called}, expected dseh_tf.seeding"
