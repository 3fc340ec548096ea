"""What only the engine `pgvector` has: a server that goes away, several processes at once, tables of other shapes."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import new_index, open_index, replacing_index
from tests.retrieval.search.oracle import Oracle, assert_agrees, engine_parameters, random_codes

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.parametrize("engine", engine_parameters("pgvector"))
CODES = np.ones((3, 70), np.int8)


@pytest.fixture
def path(engine, place) -> str:
    path = place(engine, "x")
    index = new_index(engine, bits=70, path=path)
    index.add(CODES, ["a", "b", "c"], [["x"], [], ["x", "y"]])
    index.close()
    return path


@pytest.fixture
def run(postgres, path):
    """Executes statements beside the index, in its schema."""
    server, _, name = path.rpartition("&index=")
    connection = psycopg.connect(server, autocommit=True)
    connection.execute("select set_config('search_path', quote_ident(%s) || ', public', false)", [unquote(name)])
    yield connection.execute
    connection.close()


def test_a_server_that_goes_away_in_a_search_and_comes_back(path, postgres, run):
    index, code = open_index(path), CODES[:1]
    run("begin")
    run("lock table codes")  # the search waits here
    caught = []

    def search() -> None:
        try:
            index.search(code, 1)
        except Exception as error:
            caught.append(error)

    searching = threading.Thread(target=search)
    searching.start()
    while searching.is_alive() and not run("select from pg_locks where not granted").fetchall():
        time.sleep(0.01)
    postgres.stop(signal.SIGQUIT)
    searching.join(30)
    (error,) = caught
    assert isinstance(error, InputError) and "\n" not in str(error) and "pass" not in str(error)
    assert "cannot be used (the connection was lost: " in str(error)
    with pytest.raises(InputError, match=r"cannot be used \(the connection was lost: .*No such file"):
        index.search(code, 1)
    postgres.start()
    assert index.search(code, 9)[0].tolist() == [["a", "b", "c"]]
    postgres.stop()
    postgres.start()  # nothing was asked for while it was away
    assert len(index) == 3
    index.close()


def test_a_server_that_crashes_in_the_middle_of_an_add(path, postgres, rng):
    index, codes = open_index(path), random_codes(rng, 4000, 70, 50)
    ids = [f"new{i}" for i in range(4000)]
    stop = threading.Timer(0.02, postgres.stop, [signal.SIGQUIT])
    stop.start()
    added = 0
    with pytest.raises(InputError, match="cannot be used") as caught:
        for _ in range(200):
            index.add(codes, ids)
            added = len(index) - 3
            index.remove(ids)
    stop.join()
    postgres.start()
    assert "\n" not in str(caught.value) and added in (0, 4000)
    held = open_index(path)
    assert len(held) == len(index) and len(index) in (3, 4003)
    assert [len(found) for found, _ in held.range(CODES[:1], 70)] == [len(index)]
    held.close()
    index.close()


def test_several_writers_at_once(path, rng):
    """All items of all writers are there in one order; of two equal ids one is refused."""
    codes = random_codes(rng, 240, 70, 5)
    refused, start = [], threading.Barrier(4)

    def write(number: int) -> None:
        index = open_index(path)
        start.wait()
        for batch in range(6):
            part = slice(60 * number + 10 * batch, 60 * number + 10 * batch + 10)
            index.add(codes[part], [f"i{i}" for i in range(part.start, part.stop)])
        try:
            index.add(codes[:2], [f"own{number}", "same"])
        except InputError as error:
            refused.append(str(error))
        index.close()

    writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert refused == ["ids: found 'same', which is in the index already, expected new ids"] * 3
    index, oracle = open_index(path), Oracle()
    ids = index.range(codes[:1], 70)[0][0].tolist()
    own = [name for name in ids if name.startswith("own")]
    assert len(own) == 1 and sorted(ids) == sorted(["a", "b", "c", "same", *own, *(f"i{i}" for i in range(240))])
    with_codes = dict(zip([f"i{i}" for i in range(240)], codes, strict=True))
    with_codes |= dict.fromkeys("abc", CODES[0]) | {own[0]: codes[0], "same": codes[1]}
    with index._reading() as run:
        order = run.execute(index._names.statement("select place, id from {items} order by place")).fetchall()
    assert [number for number, _ in order] == list(range(245))
    for _, name in order:
        oracle.add(with_codes[name][None], [name], [["sea"] if name in ("a", "c") else []])
    for item in ("a", "c"):
        index.remove([item])
        oracle.remove([item])
    assert_agrees(index, oracle, codes[:2])
    index.close()


def test_partitioned_tables_and_texts_that_copy_must_escape(path, run, rng):
    """Partitioned as docs/search.md says."""
    page = (Path(__file__).parents[3] / "docs" / "search.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sql\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    run("delete from labels")
    run(block.replace("photographs.", "").replace("64", "70"))
    index, oracle = open_index(path), Oracle()
    codes = random_codes(rng, 60, 70, 9)
    ids = ["\\N", "\\.", "a\tb", "a\nb", "a\\nb", "", "'; drop table items; --", "%s", "{items}", "\r", '"', "é\u2028"]
    ids += [f"i{i}" for i in range(48)]
    labels = [["sea", "\\N"], ["a\tb", "sea", ""], []] * 20
    index.add(codes[:40], ids[:40], labels[:40])
    index.remove(ids[5:20])
    index.add(pack(codes[40:]), ids[40:], labels[40:])
    oracle.add(codes, ids, labels)
    oracle.remove(ids[5:20])
    assert_agrees(index, oracle, codes[:2])
    assert index.labels_of(ids[:2]) == labels[:2] and index.label_names() == ["", "\\N", "a\tb", "sea"]
    assert index.build_hnsw() == 1 and len(index.search(codes[:1], 100)[0][0]) == 45
    with pytest.raises(InputError, match=r"found the character '.ud800', expected valid text"):
        index.search(codes[:1], 1, "\ud800")
    assert len(index) == 45
    index.close()


def test_tables_as_documented(path, run):
    code = -np.ones((1, 70), np.int8)
    code[0, [0, 8, 69]] = 1
    index = open_index(path)
    index.add(code, ["d"], [["z", "y"]])
    index.close()
    found = run("select place, codes.code::text from items join codes on number = items.code where id = 'd'").fetchone()
    assert found == (3, "100000001" + 60 * "0" + "1")
    assert run("select place, position, label from labels order by 1, 2").fetchall()[-2:] == [(3, 0, "z"), (3, 1, "y")]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("drop table meta", "found no table meta of names and values, expected an index"),
        ("delete from meta where name = 'bits'", "meta: found no bits, expected one"),
        ("update meta set value = '2' where name = 'format'", "format: found '2', expected 1"),
        ("update meta set value = '64' where name = 'bits'", r"table codes: found the columns .*bit\(70\).*, expected"),
        ("update meta set value = '9999' where name = 'bits'", "bits: found 9999, expected 8 to 1024"),
        ("update meta set value = '[' where name = 'about'", "about: found invalid JSON"),
        ("drop table labels", "found no table labels, expected one"),
        ("alter table items rename id to name", "table items: found the columns"),
        ("drop table labels; create view labels as select 1::bigint place, 1::bigint position, 'a' label",
         "table labels: found the columns {}, expected"),
    ],
)  # fmt: skip
def test_another_database_is_one_line(path, run, statement, line):
    run(statement)
    with pytest.raises(InputError, match=rf"^postgresql://postgres@/postgres\?index=.*: {line}") as caught:
        open_index(path)
    assert "\n" not in str(caught.value)


def test_databases_without_pgvector_and_users_without_rights(path, postgres, run):
    run("create database other")
    run("create role somebody login")
    own = postgres.address("x").replace("/postgres?", "/other?")
    theirs = own.replace("postgres:pass%20word@", "somebody@")
    missing = (
        "extension vector: found none in this database, expected pgvector 0.8 or later: CREATE EXTENSION vector, as"
    )
    for ask in (lambda: open_index(own), lambda: new_index("pgvector", bits=8, path=theirs)):
        with pytest.raises(InputError, match=rf"x: {missing}"):
            ask()
    elsewhere = own.partition("&index")[0]
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute("create schema extensions; create extension vector schema extensions")
        connection.execute("grant usage on schema extensions to somebody")
        index = new_index("pgvector", bits=8, path=own)  # pgvector may be in a schema that is not on the search path
        index.add(CODES[:, :8], ["a", "b", "c"])
        assert index.build_hnsw() == 1 and index.search(CODES[:1, :8], 2)[0].tolist() == [["a", "b"]]
        index.close()
        with pytest.raises(InputError, match=r"permission denied for database other"):
            new_index("pgvector", bits=8, path=theirs.replace("index=x", "index=y"))
        connection.execute("grant usage on schema x to somebody; grant select on all tables in schema x to somebody")
        index = open_index(theirs)  # the right to read is enough for a search
        assert index.search(CODES[:1, :8], 2)[0].tolist() == [["a", "b"]]
        with pytest.raises(InputError, match="permission denied for table items"):
            index.remove(["a"])
        connection.execute("grant insert, delete on all tables in schema x to somebody")
        index.remove(["a"])
        index.add(CODES[:1, :8], ["d"])
        index.close()
        connection.execute("create schema z authorization somebody")
        index = new_index("pgvector", bits=8, path=theirs.replace("index=x", "index=z"))
        index.add(CODES[:, :8], ["a", "b", "c"])
        index.close()
        connection.execute("update pg_extension set extversion = '0.7.4' where extname = 'vector'")
        with pytest.raises(InputError, match=r"extension vector: found version 0.7.4, expected pgvector 0.8 or"):
            open_index(own)


def test_addresses_that_do_not_work_do_not_show_the_password(engine, postgres):
    for address, line in (
        (
            "postgresql://me:s3cret@127.0.0.1:1/d?index=x",
            r"postgresql://me@127.0.0.1:1/d\?index=x: .*Connection refused",
        ),
        ("postgresql://me:s3/cret@127.0.0.1:1/d?index=x", "found an address that cannot be read"),
        ("postgresql://me:s3@cret@127.0.0.1:1/d?index=x", "found an address that cannot be read"),
        ("postgresql://me:s3?cret@127.0.0.1:1/d?index=x", "found an address that cannot be read"),
        ("postgresql://me:s3%zzcret@127.0.0.1:1/d", "invalid percent-encoded token"),
        ("postgresql://me@127.0.0.1:1/d?password=s3cret&index=", "found the index '', expected a name"),
        ("postgresql://127.0.0.1:1/d?password=s3cret&nonsense=1", r'invalid URI query parameter: "nonsense"'),
        (f"postgresql://h/d?password=s3cret&index={'é' * 40}", "found the index .*, expected a name of 1 to 63 bytes"),
        (postgres.address("pg_x"), 'unacceptable schema name "pg_x"'),
        ("s3cret.duckdb", "found 's3cret.duckdb', expected postgresql://user@host:port/database.index=name"),
    ):
        with pytest.raises(InputError, match=line) as caught:
            new_index(engine, bits=8, path=address)
        text = str(caught.value)
        assert "\n" not in text and ("s3" not in text or address.startswith("s3")) and "pass%20word" not in text


def test_an_index_is_replaced_as_a_whole(path, run):
    index, code = open_index(path), CODES[:1, :12]
    with pytest.raises(InputError, match=r"found the tables codes, items, labels, meta, expected no index"):
        new_index("pgvector", bits=12, path=path)
    with pytest.raises(ZeroDivisionError), replacing_index(path, bits=12) as other:
        other.add(code, ["n"])
        raise ZeroDivisionError
    assert index.search(CODES[:1], 9)[0].tolist() == [["a", "b", "c"]]
    with replacing_index(path, bits=12, about={"method": "y"}) as other:
        other.add(code, ["n"], ["z"])
        other.add(code, ["m"])
        assert index.search(CODES[:1], 9)[0].tolist() == [["a", "b", "c"]] and len(other) == 2
    for ask in (lambda: index.search(CODES[:1], 9), lambda: index.add(CODES[:1], ["d"]), lambda: len(index)):
        with pytest.raises(InputError, match="found a different index than the one that was opened: open it again"):
            ask()
    index.close()
    index = open_index(path, read_only=True)
    assert (index.bits, index.about, index.search(code, 9)[0].tolist()) == (12, {"method": "y"}, [["n", "m"]])
    with pytest.raises(InputError, match=r"cannot be used \(cannot execute .* in a read-only transaction\)"):
        index.remove(["n"])
    index.close()
    run("drop table meta")
    with pytest.raises(InputError, match="found the tables codes, items, labels, expected those of an index"), \
         replacing_index(path, bits=12):  # fmt: skip
        pass
