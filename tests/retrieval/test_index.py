import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import HammingIndex, pack
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
    with pytest.raises(InputError, match="damaged or cut"):
        HammingIndex.load(tmp_path / "index.npz")
    np.savez(tmp_path / "index.npz", bits=20, codes=np.zeros((3, 2), np.uint8), ids=np.arange(3))
    with pytest.raises(InputError, match=r"index.npz: codes: found 2 bytes a code, expected 3 for 20 bits"):
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
    for k, words in [(0, "k: found 0, expected a positive"), (1.5, "k: found 1.5, expected a whole"), ("3", "k: found '3'")]:
        with pytest.raises(InputError, match=words):
            index.search(codes, k)
