"""The folder `codes/`: what it holds, and every number of it against those of the same rows in one piece."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import (
    CodesWriter,
    HammingIndex,
    code_health,
    code_health_shards,
    codes_path,
    evaluate,
    evaluate_shards,
    evaluate_unseen,
    evaluate_unseen_shards,
    groups,
    has_codes,
    load_codes,
    nearest_rows,
    pack,
    rows_at,
    save_codes,
)

N, BITS = 23, 12


def content(seed: int = 0, n: int = N, bits: int = BITS) -> dict[str, np.ndarray]:
    """Few distinct codes and label vectors, so that there are ties and groups."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([-1, 1], np.int8), (6, bits))[rng.integers(0, 6, n + 4)]
    labels = (rng.random((5, 9)) < 0.3).astype(np.uint8)[rng.integers(0, 5, n + 4)]
    return {
        "query_codes": pack(codes[:4]),
        "database_codes": pack(codes[4:]),
        "query_labels": labels[:4],
        "database_labels": labels[4:],
        "query_ids": np.array(["q0", "q1", "q2", "q3"]),
        "database_ids": np.array([f"d/{i}é" for i in range(n)]),
        "database_trained": rng.random(n) < 0.4,
        "query_codes_text": pack(-codes[:4]),
        "database_codes_text": pack(codes[:n]),
    }


def write(path: Path, content: dict[str, np.ndarray], shard_rows: int, bits: int = BITS) -> None:
    parts: dict[str, dict[str, np.ndarray]] = {"query": {}, "database": {}}
    for name, array in content.items():
        part, _, what = name.partition("_")
        parts[part][what] = array
    ids = parts["database"].pop("ids")
    writer = CodesWriter(path, bits, parts["query"], ids, shard_rows)
    for rows in writer.left():
        writer.write(rows, **{name: array[rows] for name, array in parts["database"].items()})
    writer.finish()


@pytest.mark.parametrize("size", [1, 7, N, 100])
def test_the_arrays_are_those_that_were_written(tmp_path, size):
    write(tmp_path / "codes", content(), size)
    read = load_codes(tmp_path / "codes", BITS)
    for name, array in content().items():
        found = getattr(read, name)
        assert isinstance(found, np.ndarray) and found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert read.bits == BITS and codes_path(tmp_path) == tmp_path / "codes" and has_codes(tmp_path)
    pieces = list(read.pieces("database_codes", "database_ids"))
    assert [len(ids) for _, ids in pieces] == [min(size, N - begin) for begin in range(0, N, size)]
    np.testing.assert_array_equal(np.concatenate([ids for _, ids in pieces]), content()["database_ids"])
    assert [len(ids) for _, ids in read.pieces("database_codes", "database_ids", rows=10)] == [10, 10, 3]


@pytest.mark.parametrize("size", [1, 7, 22])
@pytest.mark.parametrize("mapped", [True, False])
def test_every_number_is_the_same_to_the_bit(tmp_path, size, mapped):
    given = content(seed=size)
    if mapped:
        write(tmp_path / "codes", given, size)
        codes, rows = load_codes(tmp_path / "codes"), None
    else:
        save_codes(tmp_path / "codes.npz", **given, bits=BITS)
        codes, rows = load_codes(tmp_path / "codes.npz"), size
    asked, whole = (given["query_codes"], given["query_labels"]), (given["database_codes"], given["database_labels"])
    expected = evaluate(asked[0], whole[0], asked[1], whole[1], BITS)
    report = evaluate_shards(*asked, codes.pieces("database_codes", "database_labels", rows=rows), BITS)
    trained = codes.pieces("database_codes", "database_labels", "database_trained", rows=rows)
    every, unseen = evaluate_unseen_shards(*asked, trained, BITS)
    known = evaluate_unseen(asked[0], whole[0], asked[1], whole[1], given["database_trained"], BITS)
    for found, right in ((report, expected), (every, expected), (unseen, known[1])):
        np.testing.assert_array_equal(found.counts.total, right.counts.total)
        np.testing.assert_array_equal(found.counts.relevant, right.counts.relevant)
        assert found.map == right.map
    assert report.map_stable_order == every.map_stable_order == expected.map_stable_order
    shards = codes.pieces("database_codes", "database_labels", rows=rows)
    assert code_health_shards(shards, BITS) == code_health(*whole, BITS)


@pytest.mark.parametrize("bits", [12, 150])
@pytest.mark.parametrize("ids", [False, True])
def test_code_health_in_many_parts_and_divisions(monkeypatch, bits, ids):
    given = content(seed=3, n=300, bits=bits)
    codes, labels = given["database_codes"], given["database_labels"]
    if ids:
        labels = np.random.default_rng(1).integers(0, 40, 300) * 7
    whole = code_health(codes, labels, bits)
    assert whole.distinct_codes == len(np.unique(codes, axis=0)) > 3
    monkeypatch.setattr(groups, "BLOCK_ROWS", 16)
    monkeypatch.setattr(groups, "PARTITION_BYTES", 256)
    shards = [(codes[begin : begin + 50], labels[begin : begin + 50]) for begin in range(0, 300, 50)]
    assert code_health_shards(shards, bits) == whole


@pytest.mark.parametrize("size", [1, 4, 60])
def test_nearest_rows_and_how_many_are_at_a_distance(rng, size):
    codes = rng.choice(np.array([-1, 1], np.int8), (60, 10))
    queries = rng.choice(np.array([-1, 1], np.int8), (5, 10))
    parts = [codes[begin : begin + size] for begin in range(0, 60, size)]
    rows, distances = nearest_rows(queries, parts, 7)
    for query, found, far in zip(queries, rows, distances, strict=True):
        differing = [int((query != code).sum()) for code in codes]
        expected = sorted(range(60), key=lambda row: (differing[row], row))[:7]
        assert found.tolist() == expected and far.tolist() == [differing[row] for row in expected]
    many = rows_at(pack(queries), map(pack, parts), distances[:, -1], 10)
    assert many.tolist() == [
        int(((q != codes).sum(axis=1) == d).sum()) for q, d in zip(queries, distances[:, -1], strict=True)
    ]
    assert nearest_rows(queries, parts, 1000)[0].shape == (5, 60)
    index = HammingIndex(10)
    index.add(codes, np.arange(60))
    np.testing.assert_array_equal(index.search(queries, 7)[0], rows)
    with pytest.raises(InputError, match="database_codes: found no row"):
        nearest_rows(queries, [], 3)


def test_shards_without_a_trained_row_or_all(rng):
    given = content()
    parts = [slice(0, 8), slice(8, 16), slice(16, N)]
    trained = np.repeat([True, False, True], [8, 8, N - 16])
    shards = [(given["database_codes"][p], given["database_labels"][p], trained[p]) for p in parts]
    asked = given["query_codes"], given["query_labels"]
    _, unseen = evaluate_unseen_shards(*asked, shards, BITS)
    only = evaluate(asked[0], shards[1][0], asked[1], shards[1][1], BITS)
    assert unseen.map == only.map and unseen.database_size == 8
    with pytest.raises(InputError, match="trained: found True in every row"):
        evaluate_unseen_shards(*asked, shards[:1], BITS)
    with pytest.raises(InputError, match=r"shards: found tuple, expected tuples \(codes, labels, trained\)"):
        evaluate_unseen_shards(*asked, [shards[0][:2]], BITS)


def test_an_id_that_occurs_twice_is_told_before_anything_is_encoded(tmp_path):
    given = content()
    given["database_ids"][20] = given["database_ids"][3]
    with pytest.raises(InputError, match="database_ids: found 'd/3é' 2 times, expected once"):
        write(tmp_path / "codes", given, 7)
    assert not list(tmp_path.iterdir())


def test_rows_that_do_not_fit(tmp_path):
    given = content()
    given["database_labels"] = given["database_labels"] * 7
    with pytest.raises(InputError, match="database_labels: found the value 7, expected 0 or 1"):
        write(tmp_path / "codes", given, 7)


def test_shards_of_another_encoder_are_not_kept(tmp_path):
    """A stopped program left its first shard. The next one has other query codes: it was trained again."""
    path, (first, second) = tmp_path / "codes", (content(0), content(1))
    second |= {name: first[name] for name in ("query_labels", "database_labels")}
    for given, left in ((first, 4), (first, 3), (second, 4)):
        query = {name.removeprefix("query_"): array for name, array in given.items() if name.startswith("query")}
        writer = CodesWriter(path, BITS, query, given["database_ids"], 7)
        shards = list(writer.left())
        assert len(shards) == left
        names = ("codes", "labels", "trained", "codes_text")
        writer.write(shards[0], **{name: given[f"database_{name}"][shards[0]] for name in names})
    write(path, second, 7)
    np.testing.assert_array_equal(load_codes(path).database_codes, second["database_codes"])


def edit(path: Path, **changes) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


DAMAGE = {
    "shard": (lambda p: flip(p / "database_codes.npy"), "database_codes.npy: rows 14 to 20: found other bytes than"),
    "missing": (lambda p: (p / "database_labels.npy").unlink(), "database_labels.npy: found no such file"),
    "another": (lambda p: shutil.copy(p.parent / "other" / "database_codes.npy", p), "rows 0 to 6: found other bytes than"),
    "queries": (lambda p: shutil.copy(p.parent / "other" / "query_codes.npy", p), "query_codes.npy: rows 0 to 3: found other"),
    "bits": (lambda p: edit(p, bits=20), "query_codes: found 2 bytes per code, expected 3 for 20 bits"),
    "no bits": (lambda p: edit(p, bits="12"), "manifest.json: bits: found '12', expected a whole number"),
    "sharded": (lambda p: edit(p, sharded=[]), "manifest.json: arrays.database_.*sha256: found"),
    "no ids": (lambda p: drop(p, "database_ids"), "manifest.json: arrays: found no database_ids, expected query_codes"),
}  # fmt: skip


def flip(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[-2 * (N - 15)] ^= 1
    file.write_bytes(held)


def drop(path: Path, name: str) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["arrays"][name]
    manifest["sharded"].remove(name)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_one_line(tmp_path, how):
    damage, words = DAMAGE[how]
    for name, seed in (("codes", 0), ("other", 5)):
        write(tmp_path / name, content(seed), 7)
    damage(tmp_path / "codes")
    with pytest.raises(InputError, match=words) as error:
        load_codes(tmp_path / "codes")
    assert str(error.value).startswith(str(tmp_path / "codes")) and "\n" not in str(error.value)


def test_codes_of_other_bits(tmp_path):
    write(tmp_path / "codes", content(), 7)
    with pytest.raises(InputError, match=r"manifest\.json: bits: found codes of 12 bits, expected 16"):
        load_codes(tmp_path / "codes", 16)
