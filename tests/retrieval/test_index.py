import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import HammingIndex, pack
from dseh_tf.retrieval import index as module
from tests.retrieval import naive


@pytest.mark.parametrize("bits", [3, 16, 64, 100])
@pytest.mark.parametrize("k", [1, 10, 299, 300, 1000])
def test_search_is_a_stable_sort_cut_at_k(bits, k):
    query, database, _, _ = naive.random_case(np.random.default_rng(bits), 6, 300, bits, 1)
    ids = np.array([f"image/{i}" for i in range(300)])
    index = HammingIndex(bits)
    index.add(database[:100], ids[:100])
    index.add(pack(database[100:]), ids[100:])
    assert len(index) == 300
    found, distances = index.search(query, k)
    far = naive.distances(query, database)
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, ids[order])
    np.testing.assert_array_equal(distances, np.take_along_axis(far, order, axis=1))


def test_more_rows_than_a_block():
    query, database, _, _ = naive.random_case(np.random.default_rng(0), 70, 5000, 24, 1)
    index = HammingIndex(24)
    index.add(database, np.arange(5000))
    found, distances = index.search(query, 100)
    far = (24 - query.astype(int) @ database.T.astype(int)) // 2
    np.testing.assert_array_equal(found, np.argsort(far, axis=1, kind="stable")[:, :100])
    assert distances.dtype == np.int64


def codes_of_kind(rng, kind, n, bits):
    """±1 codes [n, bits] that make a search keep few or many candidates; "falling": distances to all ones fall."""
    if kind == "ties":
        return np.repeat(rng.choice(np.array([-1, 1], np.int8), (3, bits)), -(-n // 3), axis=0)[:n]
    codes = rng.choice(np.array([-1, 1], np.int8), (n, bits))
    return codes[np.argsort(codes.sum(axis=1), kind="stable")] if kind == "falling" else codes


@settings(deadline=None, max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "40")))
@given(
    kind=st.sampled_from(["random", "ties", "falling"]),
    bits=st.one_of(st.integers(1, 20), st.integers(60, 70), st.integers(120, 200)),
    sizes=st.lists(st.one_of(st.integers(0, 10), st.integers(250, 1200)), min_size=1, max_size=3).filter(sum),
    queries=st.sampled_from([0, 1, 3, 70]),
    k=st.one_of(st.integers(1, 40), st.integers(1, 4000)),
    packed=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
@example("falling", 64, [1200, 700], 3, 5, True, 1, 0)  # many candidates, most of which are dropped again
@example("ties", 1, [1200], 1, 600, True, 1, 0)  # k within a tie
def test_search_equals_a_stable_argsort(kind, bits, sizes, queries, k, packed, threads, seed):
    rng = np.random.default_rng(seed)
    database, query = codes_of_kind(rng, kind, sum(sizes), bits), codes_of_kind(rng, "random", queries, bits)
    query[:1] = 1
    searched = HammingIndex(bits)
    for part in np.split(np.arange(len(database)), np.cumsum(sizes)[:-1]):
        searched.add(pack(database[part]) if packed else database[part], part)
    found, distances = searched.search(pack(query) if packed else query, k, threads)
    far = (bits - query.astype(int) @ database.T.astype(int)) // 2
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(far, order, axis=1))


def test_bits_set_in_every_word_count():
    """Codes of 130 bits that differ in the last word only."""
    database = np.ones((4, 130), np.int8)
    database[0, 128:] = database[1, 129] = database[2, 64] = -1
    searched = HammingIndex(130)
    searched.add(database, np.arange(4))
    found, distances = searched.search(np.ones((1, 130), np.int8), 4)
    assert found.tolist() == [[3, 1, 2, 0]] and distances.tolist() == [[0, 1, 1, 2]]


@pytest.mark.parametrize("bits", [20, 64, 128])
def test_the_layout_is_kept(monkeypatch, bits):
    """The second search reads the very array that the first one read; with one `add`, that of the `add`."""
    read = []
    nearest = module._nearest
    monkeypatch.setattr(
        module, "_nearest", lambda codes, database, *rest: read.append(database) or nearest(codes, database, *rest)
    )
    query, database, _, _ = naive.random_case(np.random.default_rng(0), 2, 600, bits, 1)
    searched = HammingIndex(bits)
    searched.add(database[:300], np.arange(300))
    added = searched._parts[0][0]
    for _ in range(2):
        searched.search(query, 5)
    assert read[0] is read[1] is added
    searched.add(database[300:], np.arange(300, 600))
    for _ in range(2):
        searched.search(query, 5)
    assert read[2] is read[3] is not added
    assert [codes.nbytes for codes, _ in searched._parts] == [600 * 8 * -(-bits // 64)]


@pytest.mark.parametrize("bits", [16, 64, 128])
@pytest.mark.parametrize("packed", [False, True])
def test_a_later_change_of_the_callers_arrays_has_no_effect(bits, packed):
    query, database, _, _ = naive.random_case(np.random.default_rng(0), 3, 50, bits, 1)
    given_codes, ids = pack(database) if packed else database.copy(), np.arange(50)
    searched = HammingIndex(bits)
    searched.add(given_codes, ids)
    given_codes[:], ids[:] = 1, 7
    found, _ = searched.search(query, 50)
    np.testing.assert_array_equal(found, np.argsort(naive.distances(query, database), axis=1, kind="stable"))


def test_read_only_codes_and_codes_out_of_line():
    """numpy.load's memory maps are read-only; a slice of a buffer may begin anywhere."""
    query, database, _, _ = naive.random_case(np.random.default_rng(0), 3, 50, 64, 1)
    expected = np.argsort(naive.distances(query, database), axis=1, kind="stable")
    frozen = pack(database)
    frozen.flags.writeable = False
    shifted = np.zeros(401, np.uint8)[1:].reshape(50, 8)
    shifted[:] = pack(database)
    for codes in (frozen, shifted, np.asfortranarray(pack(database))):
        searched = HammingIndex(64)
        searched.add(codes, np.arange(50))
        np.testing.assert_array_equal(searched.search(query, 50)[0], expected)


@pytest.mark.parametrize("bits", [7, 64, 100, 128])
def test_a_saved_index_holds_the_codes_as_they_were_given(tmp_path, bits):
    _, database, _, _ = naive.random_case(np.random.default_rng(0), 1, 30, bits, 1)
    searched = HammingIndex(bits)
    searched.add(database[:10], np.arange(10))
    searched.add(database[10:], np.arange(10, 30))
    searched.save(tmp_path / "index.npz")
    with np.load(tmp_path / "index.npz") as file:
        assert file["codes"].dtype == np.uint8
        np.testing.assert_array_equal(file["codes"], pack(database))


def test_save_and_load(tmp_path):
    query, database, _, _ = naive.random_case(np.random.default_rng(0), 2, 30, 20, 1)
    index = HammingIndex(20)
    index.add(database, [f"ä{i}" for i in range(30)])
    index.save(tmp_path / "index.npz")
    loaded = HammingIndex.load(tmp_path / "index.npz")
    assert loaded.bits == 20
    for a, b in zip(index.search(query, 5), loaded.search(query, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    data = (tmp_path / "index.npz").read_bytes()
    (tmp_path / "index.npz").write_bytes(data[:-30])
    with pytest.raises(InputError, match="damaged or truncated"):
        HammingIndex.load(tmp_path / "index.npz")
    np.savez(tmp_path / "index.npz", bits=20, codes=np.zeros((3, 2), np.uint8), ids=np.arange(3))
    with pytest.raises(InputError, match=r"index.npz: codes: found 2 bytes per code, expected 3 for 20 bits"):
        HammingIndex.load(tmp_path / "index.npz")


def test_large_ids_stay_as_they_are():
    """Signed and unsigned ids in one array would be floats, which have 53 bits."""
    large = 2**60 + np.arange(3)
    index = HammingIndex(8)
    index.add(np.ones((3, 8), np.int8), large)
    index.add(-np.ones((3, 8), np.int8), large.astype(np.int32))
    with pytest.raises(InputError, match="ids: found uint64, expected int64 as before"):
        index.add(np.ones((3, 8), np.int8), large.astype(np.uint64))
    found, _ = index.search(np.ones((1, 8), np.int8), 3)
    assert found.dtype == np.int64 and found.tolist() == [large.tolist()]


def test_bad_input(tmp_path):
    index = HammingIndex(8)
    codes = np.ones((3, 8), np.int8)
    for ask, words in [
        (lambda: HammingIndex(0), "bits: found 0"),
        (lambda: HammingIndex(8.0), "bits: found 8.0, expected a whole number"),
        (lambda: index.search(codes, 1), "index: found no code"),
        (lambda: index.save(tmp_path / "x.npz"), "index: found no code"),
        (lambda: index.add(codes[:, :7], [1, 2, 3]), "codes: found codes of 7 bits, expected 8"),
        (lambda: index.add(codes, [1, 2]), r"ids: found int64 \[2\], expected strings or integers \[3\]"),
        (lambda: index.add(codes, [0.5, 1, 2]), "ids: found float64"),
    ]:
        with pytest.raises(InputError, match=words):
            ask()
    index.add(codes, ["a", "b", "c"])
    with pytest.raises(InputError, match="ids: found int64, expected <U1"):
        index.add(codes, [1, 2, 3])
    for k, words in [
        (0, "k: found 0, expected a positive"),
        (1.5, "k: found 1.5, expected a whole"),
        ("3", "k: found '3'"),
    ]:
        with pytest.raises(InputError, match=words):
            index.search(codes, k)
