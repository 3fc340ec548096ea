"""Folders of arrays that are written in shards: what is written, what a stopped program leaves, and damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.files import ShardWriter, open_shards

ROWS, SIZE = 10, 4
KINDS = {"codes": (np.dtype(np.uint8), (ROWS, 2)), "names": (np.dtype("<U3"), (ROWS,)), "on": (np.dtype(bool), (ROWS,))}


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = np.array([f"{seed}é{i}" for i in range(ROWS)])
    return {"codes": rng.integers(0, 256, (ROWS, 2), np.uint8), "names": names, "on": rng.random(ROWS) < 0.5}


def write(path: Path, content: dict[str, np.ndarray], mark: str = "a", stop: int | None = None) -> list[int]:
    """Writes the shards that are left, or stops before one; returns where they begin."""
    writer = ShardWriter(path, KINDS, SIZE, mark)
    begun = list(range(writer.done, ROWS, SIZE))
    for i, begin in enumerate(begun):
        if i == stop:
            return begun[:i]
        writer.write({name: array[begin : begin + SIZE] for name, array in content.items()})
    writer.finish({"whole": np.arange(3)}, {"bits": 12})
    return begun


def check(path: Path, content: dict[str, np.ndarray]) -> None:
    folder = open_shards(path)
    for name, array in content.items():
        np.testing.assert_array_equal(np.load(path / f"{name}.npy"), array)  # numpy reads them too
        np.testing.assert_array_equal(folder.array(name), array)
        np.testing.assert_array_equal(folder.rows(name, 3, 7), array[3:7])
        shards = [np.array(shard) for shard in folder.checked(name)]
        assert [len(shard) for shard in shards] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate(shards), array)
    np.testing.assert_array_equal(next(folder.checked("whole")), [0, 1, 2])
    assert folder.manifest["bits"] == 12


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "codes"
    assert write(path, arrays()) == [0, 4, 8]
    check(path, arrays())
    assert [entry.name for entry in tmp_path.iterdir()] == ["codes"]
    assert not (path / "progress.json").exists()


def test_a_folder_that_is_whole_is_kept(tmp_path):
    path = tmp_path / "codes"
    write(path, arrays())
    assert write(path, arrays(seed=1)) == []  # the mark says that these would be the same
    check(path, arrays())
    assert write(path, arrays(seed=1), mark="b") == [0, 4, 8]
    check(path, arrays(seed=1))


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_stopped_program_continues(tmp_path, stop):
    path, partial = tmp_path / "codes", tmp_path / ".partial-codes"
    write(path, arrays(), stop=stop)
    assert not path.exists()
    assert write(path, arrays()) == [0, 4, 8][stop:]
    check(path, arrays())
    assert not partial.exists()


@pytest.mark.parametrize("how", ["mark", "bytes", "progress", "gone"])
def test_what_is_left_of_another_or_damaged_is_written_again(tmp_path, how):
    path, partial = tmp_path / "codes", tmp_path / ".partial-codes"
    write(path, arrays(seed=1), mark="b" if how == "mark" else "a", stop=2)
    if how == "bytes":
        flip(partial / "codes.npy", row=5)
    elif how == "progress":
        (partial / "progress.json").write_text('{"format"')
    elif how == "gone":
        (partial / "names.npy").unlink()
    assert write(path, arrays(seed=1)) == ([4, 8] if how == "bytes" else [0, 4, 8])
    check(path, arrays(seed=1))


def test_a_shard_of_another_size(tmp_path):
    writer = ShardWriter(tmp_path / "codes", KINDS, SIZE, "a")
    with pytest.raises(InputError, match=r"codes: found \[3, 2\], expected \[4, 2\] in this shard"):
        writer.write({name: array[:3] for name, array in arrays().items()})


def flip(file: Path, row: int) -> None:
    held = bytearray(file.read_bytes())
    held[len(held) - 2 * ROWS + 2 * row] ^= 1
    file.write_bytes(held)


def edit(change):
    def damage(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text())
        change(manifest)
        (path / "manifest.json").write_text(json.dumps(manifest))

    return damage


DAMAGE = {
    "flipped": (lambda p: flip(p / "codes.npy", 5), "codes.npy: rows 4 to 7: found other bytes than manifest.json has"),
    "cut": (lambda p: (p / "codes.npy").write_bytes((p / "codes.npy").read_bytes()[:-1]), "codes.npy: found 19 bytes, expected 20"),
    "missing": (lambda p: (p / "names.npy").unlink(), "names.npy: found no such file"),
    "folder": (lambda p: ((p / "on.npy").unlink(), (p / "on.npy").mkdir()), "on.npy: found a folder, expected a .npy array"),
    "type": (lambda p: np.save(p / "on.npy", np.zeros(ROWS, np.int8)), r"on.npy: found int8 \[10\], expected \|b1 \[10\]"),
    "objects": (lambda p: np.save(p / "on.npy", np.array([None] * ROWS)), "on.npy: found a truncated or damaged file"),
    "order": (lambda p: np.save(p / "codes.npy", np.asfortranarray(arrays()["codes"])), "codes.npy: found uint8"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json: found no such file"),
    "no json": (lambda p: (p / "manifest.json").write_text("{"), "manifest.json: found invalid JSON"),
    "newer": (edit(lambda m: m.update(format=2)), "manifest.json: format: found 2, expected 1"),
    "rows": (edit(lambda m: m.update(shard_rows=0)), "manifest.json: shard_rows: found 0, expected a positive"),
    "no arrays": (edit(lambda m: m.update(arrays=[])), "manifest.json: arrays: found list, expected"),
    "names": (edit(lambda m: m.update(sharded=["x"])), r"manifest.json: sharded: found \['x'\], expected names"),
    "place": (edit(lambda m: m["arrays"].update({"../x": m["arrays"]["on"]})), "manifest.json: arrays.../x: found no type"),
    "digests": (edit(lambda m: m["arrays"]["on"]["sha256"].pop()), r"arrays.on.sha256: found \[.*, expected 3 digests"),
    "shape": (edit(lambda m: m["arrays"]["on"].update(shape=[-1])), "manifest.json: arrays.on: found no type and shape"),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_one_line(tmp_path, how):
    damage, words = DAMAGE[how]
    path = tmp_path / "codes"
    write(path, arrays())
    damage(path)
    with pytest.raises(InputError, match=words) as error:
        for name in (folder := open_shards(path)).headers:
            list(folder.checked(name))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_another_run_s_shard(tmp_path):
    for seed in (0, 1):
        write(tmp_path / str(seed), arrays(seed))
    shutil.copy(tmp_path / "1" / "names.npy", tmp_path / "0")
    with pytest.raises(InputError, match=r"names.npy: rows 0 to 3: found other bytes .* damaged or of another run"):
        list(open_shards(tmp_path / "0").checked("names"))


def test_values_that_python_cannot_hold(tmp_path):
    """Bytes with the right digest: a truth value of 2, as someone else's program may write."""
    writer = ShardWriter(tmp_path / "codes", {"on": KINDS["on"]}, ROWS, "a")
    writer.write({"on": np.full(ROWS, 2, np.uint8).view(bool)})
    writer.finish({}, {})
    with pytest.raises(InputError, match=r"on.npy: found a truncated or damaged file \(a truth value that is neither"):
        list(open_shards(tmp_path / "codes").checked("on"))
