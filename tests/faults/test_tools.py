"""What the soak relies on: a kill comes at its moment, and a difference between two runs is seen."""

from __future__ import annotations

import json
import signal
import time
from functools import partial

import numpy as np
import pytest

from tests.faults import forked, small_runs


def writer(folder, pause=0.0):
    """Writes three files, under other names first."""

    def act() -> None:
        for i in range(3):
            (folder / f"{i}.part").write_text("x" * 20_000)
            time.sleep(pause)
            (folder / f"{i}.part").rename(folder / str(i))

    return act


def names(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != "log")


def test_changes_are_counted_in_order(tmp_path):
    ended = forked.watched(writer(tmp_path), tmp_path, tmp_path / "log")
    assert ended.status == 0 and names(tmp_path) == ["0", "1", "2"]
    assert [path.rpartition("/")[2] for _, path in ended.changes] == [f"{i}.part" for i in (0, 0, 1, 1, 2, 2)]
    assert [at for at, _ in ended.changes] == sorted(at for at, _ in ended.changes)


@pytest.mark.parametrize(("event", "left"), [(1, []), (2, ["0.part"]), (5, ["0", "1"]), (6, ["0", "1", "2.part"])])
def test_a_kill_comes_before_the_change(tmp_path, event, left):
    ended = forked.watched(writer(tmp_path), tmp_path, tmp_path / "log", forked.Moment(event, 0.0))
    assert ended.status == -signal.SIGKILL and names(tmp_path) == left


def test_a_kill_comes_after_a_time(tmp_path):
    ended = forked.watched(writer(tmp_path, 10.0), tmp_path, tmp_path / "log", forked.Moment(1, 0.05))
    assert ended.status == -signal.SIGKILL and names(tmp_path) == ["0.part"] and 0.04 < ended.seconds < 5
    ended = forked.watched(partial(time.sleep, 10.0), tmp_path, tmp_path / "log", forked.Moment(0, 0.05))
    assert ended.status == -signal.SIGKILL and 0.04 < ended.seconds < 5


def test_a_limit_and_permissions_refuse(tmp_path):
    limited = forked.watched(writer(tmp_path), tmp_path, tmp_path / "log", prepare=partial(forked.limit_files, 10_000))
    assert limited.status == 1 and "File too large" in limited.output
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    closed = forked.watched(writer(folder), folder, tmp_path / "log", prepare=forked.obey_permissions)
    assert closed.status == 1 and "PermissionError" in closed.output and not names(folder)


def test_differences_are_seen(tmp_path):
    def run(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        given = {
            "codes": np.arange(4, dtype=np.uint8),
            "map": 0.5,
            "train_seconds": 3.0,
            "rounds": [{"map": 0.5}],
            **changes,
        }
        np.savez(folder / "codes.npz", query_codes=given.pop("codes"))
        (folder / "result.json").write_text(json.dumps(given))
        return folder

    whole = run("whole")
    assert small_runs.differences(run("same", train_seconds=4.0, rounds=[{"map": 0.5, "seconds": 2.0}]), whole) == []
    assert small_runs.differences(run("map", map=0.5000000001), whole) == ["result.json: map"]
    assert small_runs.differences(run("round", rounds=[{"map": 0.4}]), whole) == ["result.json: rounds"]
    for name, codes in (
        ("bit", np.array([0, 1, 2, 7], np.uint8)),
        ("type", np.arange(4, dtype=np.int8)),
        ("nan", np.full(4, np.nan)),
    ):
        assert small_runs.differences(run(name, codes=codes), whole) == ["codes.npz: query_codes"]
    (whole / "losses.npz").write_bytes((whole / "codes.npz").read_bytes())
    assert small_runs.differences(tmp_path / "same", whole) == ["files: ['losses.npz']"]
