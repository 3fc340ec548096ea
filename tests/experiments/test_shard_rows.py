"""Runs whose database is encoded and evaluated in shards: the same numbers, after a stop too, and read by every tool."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from dseh_tf import load_run
from dseh_tf.data import Split
from dseh_tf.data.images import FileImages
from dseh_tf.encoding.shallow import ShallowEncoder
from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, load_counts
from dseh_tf.runs import read_run
from experiments import index, program, quantization_gap, query
from experiments.evaluation import print_report
from figures import code_correlation, report
from figures.runs import read_runs
from tests.experiments.test_evaluate import _evaluate
from tests.experiments.test_health import partly_trained  # noqa: F401

pytestmark = pytest.mark.usefixtures("tf")


def same_result(found: dict, expected: dict) -> None:
    """Every number but the times, to the bit."""
    assert {k: v for k, v in found.items() if not k.endswith("_seconds")} == {
        k: v for k, v in expected.items() if not k.endswith("_seconds")
    }


def same_folder(shards: Path, whole: Path) -> None:
    """Results, codes, counts and thumbnails of two run folders."""
    same_result(*(json.loads((folder / "result.json").read_text()) for folder in (shards, whole)))
    found, expected = load_codes(shards / "codes"), load_codes(whole / "codes.npz")
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), array, name)
    for name in ("total", "relevant"):
        arrays = (getattr(load_counts(folder / "counts.npz"), name) for folder in (shards, whole))
        np.testing.assert_array_equal(*arrays)
    with np.load(shards / "thumbnails.npz") as here, np.load(whole / "thumbnails.npz") as there:
        for name in there.files:
            np.testing.assert_array_equal(here[name], there[name], name)
    assert not (shards / "codes.npz").exists() and not (whole / "codes").exists()


@pytest.fixture
def command(lists, partly_trained):  # noqa: F811
    return (
        "--dataset=image_lists",
        f"--lists_dir={partly_trained}",
        f"--images_root={lists}",
        "--method=lsh",
        "--bits=12",
    )


def run_tool(tool, *arguments) -> None:
    values = flags.FlagValues()
    tool.define_flags(values)
    tool.main(program.parsed([tool.__name__, *map(str, arguments)], values), values)


def test_the_same_numbers_and_every_tool(run, command, lists, tmp_path, capsys):
    whole, shards = tmp_path / "runs" / "whole", tmp_path / "runs" / "shards"
    run(*command, f"--workdir={whole}")
    run(*command, f"--workdir={shards}", "--shard_rows=48")
    assert "codes/, config.json" in capsys.readouterr().out
    assert load_codes(shards / "codes").folder.shard_rows == 48
    same_folder(shards, whole)

    images = [lists / f"test{i}.png" for i in range(3)]
    said = {}
    for folder, rows in ((whole, None), (whole, 7), (shards, None), (shards, 50)):
        print_report(folder, rows)
        if rows is None:
            run_tool(query, f"--workdir={folder}", f"--add={lists / 'train0.png'}", "--top=12", *images)
            run_tool(index, f"--workdir={folder}", f"--out={folder}.index")
            run_tool(quantization_gap, f"--workdir={folder}")
        said[folder, rows] = capsys.readouterr().out.replace(str(folder), "").splitlines()
    seconds = [line for line in said[whole, 7] if "  time " in line]
    for folder, rows in said:
        expected = said[whole, None] if rows is None else said[whole, 7]
        for found, right in zip(said[folder, rows], expected, strict=True):
            assert found == right or (right in seconds and "  time " in found)
    with np.load(f"{whole}.index") as one, np.load(f"{shards}.index") as other:
        for name in set(one.files) - {"about"}:
            np.testing.assert_array_equal(one[name], other[name], name)

    stored = load_codes(whole / "codes.npz")
    some = stored.database_ids[[3, 150, 60]]
    later = Split(
        np.append(some, "new"), np.ones((4, 4), np.uint8), FileImages(tuple(lists / n for n in (*some, "test1.png")))
    )
    later.labels[:3] = stored.database_labels[[3, 150, 60]]
    found, expected = (load_run(folder).encode_database(later) for folder in (shards, whole))
    np.testing.assert_array_equal(found, expected)
    later.labels[1] = 1 - later.labels[1]
    with pytest.raises(InputError, match=rf"shards/codes: found other labels of {some[1]} than in the database"):
        load_run(shards).encode_database(later)

    for folder in (whole, shards):
        assert len(read_run(folder, ("codes", "thumbnails")).codes.database_ids) == 160
    matrices = [code_correlation.run_matrix(folder, 12) for folder in (whole, shards)]
    np.testing.assert_array_equal(*matrices)
    (page,) = report.draw(read_runs(shards), tmp_path / "out")
    assert page.read_text().count("distance ") > 12 * 9


def test_a_stop_between_two_shards(run, command, tmp_path, monkeypatch, result):
    """Rows of shards that were written are not encoded again; those of a database in one piece were not kept."""
    whole, shards = tmp_path / "whole", tmp_path / "shards"
    run(*command, f"--workdir={whole}")
    encode, encoded = ShallowEncoder.encode, []

    def stopping(self, split):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append(len(split))
        return encode(self, split)

    monkeypatch.setattr(ShallowEncoder, "encode", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(*command, f"--workdir={shards}", "--shard_rows=64")
    assert encoded == [12, 64, 64] and not (shards / "codes").exists()
    monkeypatch.setattr(ShallowEncoder, "encode", lambda self, split: encoded.append(len(split)) or encode(self, split))
    run(*command, f"--workdir={shards}", "--shard_rows=64")
    assert encoded[3:] == [12, 32]
    same_folder(shards, whole)

    # Once more from whole codes without a result, with other shards, and in one piece.
    for rows, expected in ((64, [12]), (100, [12, 100, 60]), (160, [12, 160])):
        encoded.clear()
        (shards / "result.json").unlink()
        run(*command, f"--workdir={shards}", f"--shard_rows={rows}")
        assert encoded == expected
        if rows < 160:
            same_folder(shards, whole)
    same_result(result(shards), result(whole))
    assert (shards / "codes.npz").is_file() and not (shards / "codes").exists()


DAMAGE = {
    "damaged": (lambda p, o: damage(p / "database_codes.npy"), "codes/database_codes.npy: rows 96 to 143: found other bytes"),
    "missing": (lambda p, o: (p / "database_ids.npy").unlink(), "codes/database_ids.npy: found no such file"),
    "another run's": (lambda p, o: shutil.copy(o / "database_codes.npy", p), "codes/database_codes.npy: rows 0 to 47: found"),
    "all of another": (lambda p, o: (shutil.rmtree(p), shutil.copytree(o, p)), "config.json; the files are from different runs"),
}  # fmt: skip


def damage(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[-2 * 50] ^= 1
    file.write_bytes(held)


@pytest.fixture(scope="module")
def two_runs(lists, tmp_path_factory):
    from experiments import run as module
    from tests.experiments.conftest import parsed

    root = tmp_path_factory.mktemp("two")
    for seed in (0, 1):
        with parsed("--noprogress", "--dataset=image_lists", f"--lists_dir={lists}", "--method=lsh", "--bits=12",
                    f"--seed={seed}", "--shard_rows=48", f"--workdir={root / str(seed)}"):  # fmt: skip
            module.main(["run"])
    return root


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_one_line(two_runs, tmp_path, how):
    act, words = DAMAGE[how]
    shutil.copytree(two_runs / "0", tmp_path / "run")
    act(tmp_path / "run" / "codes", two_runs / "1" / "codes")
    with pytest.raises(InputError, match=words) as error:
        print_report(tmp_path / "run")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError):
        read_run(tmp_path / "run", ("codes",))
    if how == "damaged":
        done = _evaluate(tmp_path / "run")
        assert done.returncode == 2
        assert [line for line in done.stderr.splitlines() if "error" in line] == [f"error: {error.value}"]
