"""One battery for all engines, against brute force."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import new_index, open_index
from tests.retrieval.search.oracle import Oracle, assert_agrees, engine_parameters, random_codes

every_engine = pytest.mark.parametrize("engine", engine_parameters())
LABELS = ([], ["dog"], ["sea"], ["sea", "dog"])


@every_engine
@pytest.mark.parametrize("bits", [8, 60, 64, 130, 1024])
def test_answers_after_adds_removes_and_reopening(engine, bits, make, place):
    rng = np.random.default_rng(bits)
    index, oracle = make(engine, bits, {"method": "x"}), Oracle()
    queries = random_codes(rng, 2, bits, 2)
    assert_agrees(index, oracle, queries)  # nothing in it
    n = 0
    for round_ in range(2):
        for size in rng.integers(1, 25, 2):
            codes = random_codes(rng, size, bits, 6)
            ids = [f"ä/{n + i}, '{rng.integers(1000)}'" for i in range(size)]
            labels = [LABELS[i] for i in rng.integers(0, 4, size)]
            n += size
            index.add(pack(codes) if round_ else codes, ids, labels)
            oracle.add(codes, ids, labels)
        assert_agrees(index, oracle, np.concatenate([queries, codes[:1]]))
        gone = [oracle.items[i][1] for i in np.flatnonzero(rng.random(len(oracle.items)) < 0.4)] + [oracle.items[0][1]]
        gone = list(dict.fromkeys(gone))
        index.remove(gone)
        oracle.remove(gone)
        assert_agrees(index, oracle, queries)
        names = [name for _, name, _ in oracle.items][::-1]
        assert index.labels_of(names) == [labels for _, _, labels in oracle.items][::-1]
        held = [code for code, _, _ in oracle.items][::-1]
        np.testing.assert_array_equal(index.codes_of(names), pack(np.array(held, np.int8).reshape(-1, bits)))
        assert index.codes_of([]).shape == (0, -(-bits // 8))
        with pytest.raises(InputError, match="ids: found '@', expected ids of the index"):
            index.codes_of([*names, "@"])
        assert index.label_names() == sorted({name for _, _, labels in oracle.items for name in labels})
        index.save(place(engine, f"index{round_}"))
        index.close()
        index = open_index(place(engine, f"index{round_}"))
        assert (index.bits, index.about) == (bits, {"method": "x"})
        assert_agrees(index, oracle, queries)
    assert index.search(queries, 3, "no such label")[0].shape == (2, 0)
    assert [len(ids) for ids, _ in index.range(queries, bits, label="no such label")] == [0, 0]
    # An item that comes back is the last one.
    index.add(codes[:1], [gone[0]])
    oracle.add(codes[:1], [gone[0]], [[]])
    assert_agrees(index, oracle, codes[:1])
    names = [name for _, name, _ in oracle.items]
    index.remove(names)
    oracle.remove(names)
    assert_agrees(index, oracle, queries)
    index.save(place(engine, "empty"))
    assert len(open_index(place(engine, "empty"))) == 0
    index.close()


@every_engine
def test_many_queries_and_more_codes_than_a_block(engine, make):
    """More queries than a thread's share, more distinct codes than a block; all distances at once."""
    rng = np.random.default_rng(0)
    codes, queries = rng.choice(np.array([-1, 1], np.int8), (1500, 20)), random_codes(rng, 70, 20, 70)
    codes[700:800] = codes[:100]
    index = make(engine, 20)
    index.add(codes, [str(i) for i in range(1500)])
    ids, distances = index.search(queries, 40)
    far = (20 - queries.astype(int) @ codes.T.astype(int)) // 2
    order = np.argsort(far, axis=1, kind="stable")[:, :40]
    np.testing.assert_array_equal(ids, order.astype(str))
    np.testing.assert_array_equal(distances, np.take_along_axis(far, order, axis=1))
    index.close()


@every_engine
@pytest.mark.parametrize("repeats", [1, 3])
def test_codes_that_come_nearer_and_nearer(engine, repeats, make):
    """Every code is a candidate when it is met, and most are dropped again; repeated ones fill an answer at once."""
    rng = np.random.default_rng(repeats)
    codes = rng.choice(np.array([-1, 1], np.int8), (1800 // repeats, 30))
    codes = codes[np.argsort(codes.sum(axis=1), kind="stable")]
    codes = np.concatenate([codes] * repeats)
    query = np.ones((1, 30), np.int8)
    far = (codes != query).sum(axis=1)
    order = np.argsort(far, kind="stable")
    index = make(engine, 30)
    index.add(codes, [str(i) for i in range(len(codes))])
    for k in (1, 2, 5, 40, 700, len(codes)):
        ids, distances = index.search(query, k)
        assert ids[0].tolist() == order[:k].astype(str).tolist() and distances[0].tolist() == far[order[:k]].tolist()
    index.close()


@every_engine
def test_bad_input_changes_nothing(engine, make):
    index, codes = make(engine, 12), np.ones((3, 12), np.int8)
    index.add(codes[:2], ["a", "b"], ["dog", ["sea"]])
    for ask, line in [
        (lambda: index.add(codes[:, :8], ["c", "d", "e"]), "codes: found codes of 8 bits, expected 12"),
        (lambda: index.add(pack(codes)[:, :1], ["c", "d", "e"]), "codes: found 1 bytes per code, expected 2"),
        (lambda: index.add(codes, ["c", "d"]), r"ids: found <U1 \[2\], expected strings \[3\]"),
        (lambda: index.add(codes, [1, 2, 3]), r"ids: found int64 \[3\], expected strings \[3\]"),
        (lambda: index.add(codes, ["c", "d", "c"]), "ids: found 'c' twice, expected each id once"),
        (lambda: index.add(codes, ["c", "b", "a"]), "ids: found 'b', which is in the index already, expected new ids"),
        (lambda: index.add(codes, ["c", "d", "\ud800"]), r"ids: found the character '\\ud800', expected valid text"),
        (lambda: index.add(codes, ["c", "d", "e"], ["x"]), r"labels: found \['x'\], expected one or several strings"),
        (lambda: index.add(codes, ["c", "d", "e"], ["x", 3, "y"]), "labels: found 3, expected strings"),
        (lambda: index.add(codes, ["c", "d", "e"], "dog"), "labels: found 'dog', expected one or several strings"),
        (lambda: index.remove(["a", "z"]), "ids: found 'z', expected ids of the index"),
        (lambda: index.labels_of(["z"]), "ids: found 'z', expected ids of the index"),
        (lambda: index.search(codes[:, :8], 1), "codes: found codes of 8 bits, expected 12"),
        (lambda: index.search(codes, 0), "k: found 0, expected a positive number"),
        (lambda: index.search(codes, 1, label=3), "label: found 3, expected a string"),
        (lambda: index.range(codes, -1), "radius: found -1, expected at least 0"),
        (lambda: index.range(codes, 1.0), "radius: found 1.0, expected a whole number"),
        (lambda: new_index(engine, bits=7), "bits: found 7, expected 8 to 1024"),
        (lambda: new_index(engine, bits=1025), "bits: found 1025, expected 8 to 1024"),
        (lambda: new_index(engine, bits=8, about=3), "about: found 3, expected a JSON object"),
    ]:
        with pytest.raises(InputError, match=line):
            ask()
    assert index.search(codes[:1], 9)[0].tolist() == [["a", "b"]] and index.label_names() == ["dog", "sea"]
    index.add(codes[:0], [])
    index.remove([])
    assert len(index) == 2 and index.search(codes[:0], 3)[0].shape == (0, 2) and index.range(codes[:0], 3) == []
    index.close()


@pytest.mark.parametrize("engine", engine_parameters("exact", "faiss", "duckdb"))
def test_a_damaged_file_is_one_line(engine, tmp_path):
    index, path = new_index(engine, bits=64), tmp_path / "index"
    rng = np.random.default_rng(0)
    index.add(random_codes(rng, 3000, 64, 500), [f"i{i}" for i in range(3000)], [["dog"]] * 3000)
    index.save(path)
    index.close()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for place in range(40, len(whole), 997):
        damaged[place] ^= 255
    for contents in (whole[: len(whole) // 2], whole[:30], b"", b"hello" * 99, bytes(damaged)):
        path.write_bytes(contents)
        with pytest.raises(InputError, match="index: ") as caught:
            open_index(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        open_index(tmp_path / "none")
    with pytest.raises(InputError, match="found a folder"):
        open_index(tmp_path)


def test_engines_are_chosen_by_name_and_by_file(tmp_path):
    with pytest.raises(InputError, match="engine: found 'x', expected one of exact, faiss, duckdb"):
        new_index("x", bits=8)
    with pytest.raises(InputError, match="path: found one for the engine 'exact', expected none"):
        new_index("exact", bits=8, path=tmp_path / "x")
    index = new_index(bits=8)
    index.save(tmp_path / "x")
    assert type(open_index(tmp_path / "x")) is type(index)
    with pytest.raises(InputError, match="found no DuckDB file"):
        open_index(tmp_path / "x", "duckdb")
    pytest.importorskip("faiss")
    assert open_index(tmp_path / "x", "faiss").engine == "faiss"


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    for engine, package, extra in (
        ("faiss", "faiss", "search"), ("duckdb", "duckdb", "duckdb"), ("pgvector", "psycopg", "pgvector"),
    ):  # fmt: skip
        for module in (f"{engine}_engine", "postgres", "pgvector_tables"):
            monkeypatch.delitem(sys.modules, f"dseh_tf.retrieval.search.{module}", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"no package {package}, .*pip install 'dseh_tf\[{extra}\]'"):
            new_index(engine, bits=8)


@pytest.mark.slow
def test_engines_agree_on_codes_as_learned(make, place, request):
    """100,000 codes of 2,000 values, Zipf-distributed: the same ids and distances after adds, removes and a restart."""
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 256, (2000, 8), np.uint8)
    chance = 1 / np.arange(1, 2001)
    codes = pool[rng.choice(2000, 100_000, p=chance / chance.sum())]
    queries = np.concatenate([codes[:15], rng.integers(0, 256, (5, 8), np.uint8)])
    ids = np.array([f"images/{i:06}.jpg" for i in range(100_000)])
    labels = [["dog"] if i % 7 == 0 else [] for i in range(100_000)]
    answers = []
    for parameter in engine_parameters():
        if parameter.marks[0].args[0]:
            continue
        (engine,) = parameter.values
        index = make(engine, 64)
        index.add(codes[:60_000], ids[:60_000], labels[:60_000])
        index.remove(ids[:30_000:3])
        index.add(codes[60_000:], ids[60_000:], labels[60_000:])
        index.save(place(engine, engine))
        index.close()
        if engine == "pgvector":
            request.getfixturevalue("postgres").stop()
            request.getfixturevalue("postgres").start()
        index = open_index(place(engine, engine))
        assert len(index) == 90_000
        found = [index.search(queries, 100), index.search(queries, 100, "dog"), *index.range(queries[-8:], 18)]
        answers.append([array for pair in found for array in pair])
        index.close()
    kept = np.delete(np.arange(100_000), np.arange(0, 30_000, 3))
    far = np.bitwise_count(queries[:, None] ^ codes[kept]).sum(axis=2, dtype=np.int64)
    order = np.argsort(far, axis=1, kind="stable")[:, :100]
    np.testing.assert_array_equal(answers[0][0], ids[kept][order])
    for other in answers[1:]:
        for a, b in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
