"""What only the engine `duckdb` has: a file that is used in place, readers beside each other, files of other programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval.search import new_index, open_index

duckdb = pytest.importorskip("duckdb")
ROOT = Path(__file__).parents[3]
CODES = np.ones((3, 70), np.int8)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "index.duckdb"
    index = new_index("duckdb", bits=70, path=path)
    index.add(CODES, ["a", "b", "c"], [["x"], [], ["x", "y"]])
    index.close()
    return path


def other_process(path: Path, read_only: bool) -> str:
    code = (
        "from dseh_tf.retrieval.search import open_index\n"
        f"try:\n    print(len(open_index({str(path)!r}, read_only={read_only})))\n"
        "except ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", f"import sys\nsys.path[:] = {[str(ROOT), *sys.path]!r}\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_changes_are_in_the_file_without_saving(path):
    index = open_index(path)
    index.remove(["b"])
    index.close()
    index = open_index(path)
    assert index.search(CODES[:1], 9)[0].tolist() == [["a", "c"]] and index.label_names() == ["x", "y"]
    index.close()


def test_one_process_writes_or_several_read(path):
    index = open_index(path)
    assert "index.duckdb: cannot be used" in other_process(path, read_only=True)
    index.close()
    index = open_index(path, read_only=True)
    assert other_process(path, read_only=True) == "3\n"
    with pytest.raises(InputError, match=r"index.duckdb: cannot be used .*read-only"):
        index.add(CODES[:1], ["d"])
    index.close()


def test_a_new_index_takes_no_other_file_s_place(path, tmp_path):
    with pytest.raises(InputError, match=r"index.duckdb: found a file, expected none there"):
        new_index("duckdb", bits=8, path=path)
    (tmp_path / "new.wal").write_text("")
    with pytest.raises(InputError, match=r"new.wal: found a file, expected none there"):
        new_index("duckdb", bits=8, path=tmp_path / "new")
    index = open_index(path)
    with pytest.raises(InputError, match=r"new.wal: found a file, expected none there"):
        index.save(tmp_path / "new")
    index.close()
    with pytest.raises(InputError, match="none/x: cannot be used"):
        new_index("duckdb", bits=8, path=tmp_path / "none" / "x")


@pytest.mark.parametrize(
    ("statements", "line"),
    [
        (["drop table meta"], "found no table meta of names and values, expected an index"),
        (["delete from meta where name = 'bits'"], "meta: found no bits, expected one"),
        (["update meta set value = '2' where name = 'format'"], "format: found '2', expected 1"),
        (["update meta set value = '128' where name = 'bits'", "alter table codes drop w1"], "table codes: found the col"),
        (["update meta set value = '9999' where name = 'bits'"], "bits: found 9999, expected 8 to 1024"),
        (["update meta set value = 'x' where name = 'bits'"], "bits: found 'x', expected a whole number"),
        (["update meta set value = '[' where name = 'about'"], "about: found invalid JSON"),
        (["alter table items rename id to name"], "table items: found the columns"),
        (["drop table items", "create view items as select 1::bigint place, 'a' id, 0::bigint code"], "table items: found"),
        (["delete from codes"], "items: found 'a' without a code"),
    ],
)  # fmt: skip
def test_another_database_is_one_line(path, statements, line):
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    with pytest.raises(InputError, match=f"index.duckdb: {line}") as caught:
        open_index(path)
    assert "\n" not in str(caught.value)


def test_the_file_reads_no_other_file(path):
    index = open_index(path)
    for statement in (
        "select * from read_text('/etc/hostname')",
        "install httpfs",
        "set enable_external_access = true",
    ):
        with pytest.raises(InputError, match="cannot be used"):
            index._rows(statement)
    index.close()


def test_tables_as_documented(path):
    """Word w of a code has the bits 64 w to 64 w + 63, the lowest first."""
    index, code = open_index(path), -np.ones((1, 70), np.int8)
    code[0, [0, 63, 65]] = 1
    index.add(code, ["d"], ["z"])
    index.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("select w0, w1, place from items join codes using (code) where id = 'd'").fetchall()
        assert found == [(2**63 + 1, 2, 3)]
        assert connection.execute("select place, label from labels order by all").fetchall() == [
            (0, "x"), (2, "x"), (2, "y"), (3, "z"),
        ]  # fmt: skip
