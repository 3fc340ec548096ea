import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import Counts, hamming, load_codes, load_counts, pack, save_codes, save_counts, sign, unpack
from tests.damage import examples
from tests.retrieval import naive


@examples(40)
@given(st.integers(1, 200), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(bits, n, seed):
    codes = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (n, bits))
    packed = pack(codes)
    assert packed.dtype == np.uint8 and packed.shape == (n, (bits + 7) // 8)
    back = unpack(packed, bits)
    assert back.dtype == np.int8
    np.testing.assert_array_equal(back, codes)


def test_bit_k_is_bit_k_mod_8_of_byte_k_div_8():
    for k in range(19):
        codes = np.full((1, 19), -1, np.int8)
        codes[0, k] = 1
        expected = [0, 0, 0]
        expected[k // 8] = 1 << (k % 8)
        assert pack(codes).tolist() == [expected]


def test_sign_has_no_zero():
    codes = sign(np.array([-0.3, -0.0, 0.0, 2.0, -np.inf]))
    assert codes.dtype == np.int8 and codes.tolist() == [-1, 1, 1, 1, -1]
    with pytest.raises(InputError, match="nan"):
        sign(np.array([0.0, np.nan]))


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2), np.uint8), [True], ["a"], None, 1j, np.ma.array([1.0, 2], mask=[0, 1])]
)
def test_sign_of_what_has_none(values):
    with pytest.raises(InputError, match=r"codes: found .*expected"):
        sign(values)


@pytest.mark.parametrize("bits", [1, 12, 64, 65, 130])
def test_hamming(bits):
    query, database, _, _ = naive.random_case(np.random.default_rng(bits), 5, 9, bits, 2)
    expected = naive.distances(query, database)
    for forms in (
        (pack(query), pack(database)),
        (query, database),
        (query, pack(database)),
        (pack(query), database.astype(float)),
        (query.tolist(), database.tolist()),
    ):
        np.testing.assert_array_equal(hamming(*forms), expected)
        np.testing.assert_array_equal(hamming(*forms, bits), expected)


def test_no_number_is_cut_to_a_byte():
    """-1 as a byte is 255, 8 bits from 0; 0.5 is 0."""
    assert hamming(np.array([[-1, 1, 1]], np.int8), np.array([[1, 1, 1], [-1, -1, -1]], np.int8)).tolist() == [[1, 2]]
    byte = np.ones((1, 1), np.uint8)
    for call in (
        lambda: hamming([[0.5]], byte),
        lambda: hamming(byte, [[1.0, 1.5]]),
        lambda: hamming([[3]], byte),
        lambda: hamming(byte, byte[:, :0]),
        lambda: hamming(byte, np.ones((1, 2), np.uint8)),
        lambda: hamming(np.array([[64]], np.uint8), [[1, 1]]),
        lambda: unpack([[0.5]], 8),
        lambda: unpack([[-1]], 8),
        lambda: unpack([[256]], 8),
        lambda: unpack([[True]], 8),
        lambda: unpack(np.array([[0.5]]), 8),
        lambda: unpack(np.array([[-1]]), 8),
        lambda: pack(np.ones((1, 8), np.uint8)),
    ):
        with pytest.raises(InputError, match=r"codes: found .*expected"):
            call()
    assert unpack([[9, 1]], 9).tolist() == [[1, -1, -1, 1, -1, -1, -1, -1, 1]]


@pytest.mark.parametrize(
    ("codes", "bits", "words"),
    [
        (np.zeros((2, 3), np.int8), None, "codes: found the value 0, expected -1 or 1"),
        ([[1, -1], [1]], None, "codes: found lists that do not form an array, expected rows of equal length$"),
        ([[1], [1, 2]], 8, "codes: found lists that do not form an array, expected rows of equal length of uint8"),
        (np.array([[1.0, np.nan]]), None, "codes: found the value nan, expected -1 or 1"),
        (np.ones(3, np.int8), None, r"codes: found int8 \[3\], expected int8"),
        (np.ones((2, 3), np.uint8), 12, "codes: found 3 bytes per code, expected 2 for 12 bits"),
        (np.full((2, 2), 16, np.uint8), 12, "codes: found a padding bit that is set, expected zeros after bit 11"),
    ],
)
def test_bad_codes(codes, bits, words):
    with pytest.raises(InputError, match=words):
        pack(codes) if bits is None else unpack(codes, bits)


def content(**changes):
    query, database, query_labels, database_labels = naive.random_case(np.random.default_rng(0), 3, 5, 12, 4)
    return {
        "query_codes": pack(query),
        "database_codes": pack(database),
        "query_labels": query_labels,
        "database_labels": database_labels,
        "query_ids": np.array(["q/0", "q/1", "q/ü"]),
        "database_ids": np.array([f"d/{i}" for i in range(5)]),
        "bits": np.int64(12),
        **changes,
    }


def test_codes_file_round_trip(tmp_path):
    path = tmp_path / "codes.npz"
    save_codes(path, **content())
    assert [p.name for p in tmp_path.iterdir()] == ["codes.npz"]  # no temporary file is left
    read = load_codes(path, bits=12)
    for name, value in content().items():
        np.testing.assert_array_equal(getattr(read, name), value)
    save_codes(path, **content(query_codes=unpack(content()["query_codes"], 12)))  # ±1 codes are packed on the way
    np.testing.assert_array_equal(load_codes(path).query_codes, content()["query_codes"])


def test_which_rows_were_trained_on_is_optional(tmp_path):
    """Files written before it existed do not have it."""
    path, trained = tmp_path / "codes.npz", np.array([True, False, True, True, False])
    save_codes(path, **content())
    with np.load(path) as stored:
        assert "database_trained" not in stored.files
    assert load_codes(path).database_trained is None
    save_codes(path, **content(), database_trained=trained)
    np.testing.assert_array_equal(load_codes(path).database_trained, trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": np.int64(20)}, "query_codes: found 2 bytes per code, expected 3 for 20 bits"),
        ({"bits": np.int64(9)}, "_codes: found a padding bit that is set, expected zeros after bit 8"),
        ({"bits": np.array([12])}, r"bits: found int64 \[1\], expected one whole number"),
        ({"bits": np.float64(12)}, "bits: found float64"),
        ({"bits": np.int64(-3)}, "bits: found -3, expected a positive number"),
        ({"database_codes": np.zeros((5, 2), np.int8)}, "database_codes: found int8"),
        ({"database_codes": np.zeros((0, 2), np.uint8)}, "database_codes: found uint8"),
        (
            {"query_labels": np.zeros((2, 4), np.uint8)},
            r"query_labels: found uint8 \[2, 4\], expected uint8 \[3, classes\]",
        ),
        ({"query_labels": np.zeros((3, 5), np.uint8)}, "database_labels: found 4 classes, expected 5"),
        ({"database_labels": np.full((5, 4), 7, np.uint8)}, "database_labels: found the value 7, expected 0 or 1"),
        ({"query_ids": np.arange(3)}, "query_ids: found int64"),
        ({"query_ids": np.array(["a", "b", "a"])}, "query_ids: found 'a' 2 times, expected once"),
        ({"query_ids": np.array(["a", None, 3], object)}, "query_ids: found no plain array"),
        ({"database_ids": None}, "found no array 'database_ids'"),
        ({"database_trained": np.ones(4, bool)}, r"database_trained: found bool \[4\], expected bool \[5\]"),
        ({"database_trained": np.ones(5, int)}, r"database_trained: found int64 \[5\], expected bool \[5\]"),
        ({"database_trained": np.array([None] * 5)}, "database_trained: found no plain array"),
    ],
)
def test_codes_file_that_does_not_fit(tmp_path, changes, words):
    path = tmp_path / "codes.npz"
    np.savez(path, **{k: v for k, v in content(**changes).items() if v is not None})
    with pytest.raises(InputError, match=words) as caught:
        load_codes(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": None}, "bits: found None, expected a whole number"),
        ({"bits": 12.0}, "bits: found 12.0, expected a whole number"),
        ({"query_labels": [0, 1, 2]}, r"query_labels: found int64 \[3\], expected uint8 \[3, classes\]"),
        (
            {"query_labels": np.ma.array(np.eye(3, 4, dtype=np.uint8), mask=np.eye(3, 4))},
            "query_labels: found masked values",
        ),
        ({"query_ids": ["a", 2, "c"]}, "query_ids: found 2 among strings, expected strings only"),
        ({"database_trained": [0, 1, 0, 1, 1]}, "database_trained: found int64"),
    ],
)
def test_what_cannot_be_saved(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        save_codes(tmp_path / "codes.npz", **{**content(), **changes})
    assert not list(tmp_path.iterdir())


def test_number_of_bits_that_is_none(tmp_path):
    save_codes(tmp_path / "codes.npz", **content())
    with pytest.raises(InputError, match="bits: found '12', expected a whole number"):
        load_codes(tmp_path / "codes.npz", bits="12")


def test_codes_file_of_another_number_of_bits(tmp_path):
    save_codes(tmp_path / "codes.npz", **content())
    with pytest.raises(InputError, match="bits: found codes of 12 bits, expected 32"):
        load_codes(tmp_path / "codes.npz", bits=32)


def test_nothing_is_written_where_the_parts_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="query_ids"):
        save_codes(tmp_path / "codes.npz", **content(query_ids=np.array(["a"])))
    assert not list(tmp_path.iterdir())


def test_damaged_files(tmp_path):
    path = tmp_path / "codes.npz"
    with pytest.raises(InputError, match="found no such file"):
        load_codes(path)
    save_codes(path, **content())
    whole = path.read_bytes()
    damaged = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"bits 12\n", "array": io.BytesIO()}
    np.save(damaged["array"], np.ones(3))
    damaged["array"] = damaged["array"].getvalue()
    for data in damaged.values():
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged or truncated"):
            load_codes(path)
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        info = file.getinfo("database_labels.npy")
    flipped = bytearray(whole)
    flipped[info.header_offset + 60 + info.compress_size // 2] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(InputError, match=str(path)):
        load_codes(path)


def test_counts_file(tmp_path):
    path = tmp_path / "counts.npz"
    counts = Counts(np.array([[1, 1, 0], [0, 0, 1]]), np.array([[1, 2, 0], [0, 1, 2]]))
    save_counts(path, counts)
    read = load_counts(path)
    assert read.total.tolist() == counts.total.tolist() and read.relevant.tolist() == counts.relevant.tolist()
    total = counts.total
    for relevant, words in [
        (counts.relevant.astype(np.int32), "relevant: found int32"),
        (counts.relevant[:1], r"relevant: found \[1, 3\], expected \[2, 3\]"),
        (total + 1, "relevant: found a count below 0 or above the total"),
    ]:
        np.savez(path, relevant=relevant, total=total)
        with pytest.raises(InputError, match=words):
            load_counts(path)
    assert Counts([[1, 1, 0]], [[1, 2, 0]]).bits == 2
    with pytest.raises(InputError, match="relevant: found masked values"):
        Counts(np.ma.array([[1, 1]], mask=[[0, 1]]), [[1, 2]])
    np.savez(path, relevant=total * 0, total=total + np.array([[0], [1]]))
    with pytest.raises(InputError, match="total: found rows with different sums"):
        load_counts(path)
