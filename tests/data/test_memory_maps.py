"""Memory-mapped arrays: whole or absent, with their room on the disk taken beforehand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.data.memory_maps import check_finite, mapped, new_array
from dseh_tf.errors import refusal
from dseh_tf.files import release


def test_the_room_is_taken_before_a_row_is_written(tmp_path):
    """A sparse file on a disk that fills up kills the process that writes to its map."""
    with new_array(tmp_path / "a.npy", (1000, 500), np.float32, "features") as array:
        (partial,) = tmp_path.iterdir()
        assert partial.stat().st_blocks * 512 >= array.nbytes
        array[:] = 3
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]
    np.testing.assert_array_equal(mapped(tmp_path / "a.npy"), np.full((1000, 500), 3, np.float32))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_is_told_with_the_file(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError) as error, new_array(tmp_path / "a.npy", (10, 5), np.float32, "features"):
        pass
    assert refusal(error.value) == f"{tmp_path / 'a.npy'}: {os.strerror(number)}" and not list(tmp_path.iterdir())


def test_a_file_system_that_cannot_reserve(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    with new_array(tmp_path / "a.npy", (2, 3), np.uint8, "pixels") as array:
        array[:] = 1
    assert mapped(tmp_path / "a.npy").sum() == 6


SMAPS = Path("/proc/self/smaps")


def resident(file) -> int:
    """KiB of a file's map that are in this process's memory (Linux)."""
    found, inside = 0, False
    for line in SMAPS.read_text(encoding="utf-8").splitlines():
        if not line[0].isupper():
            inside = str(file) in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not SMAPS.exists(), reason="needs Linux")
def test_pages_of_a_map_are_given_back(tmp_path):
    rows = 1 << 18
    with new_array(tmp_path / "a.npy", (rows, 16), np.float32, "features") as array:
        array[:] = np.arange(rows)[:, None]
    del array  # another map of the file
    values = mapped(tmp_path / "a.npy")
    part = values[100:200_000]
    assert float(values.sum(dtype=np.float64)) == 16 * rows * (rows - 1) / 2
    assert resident(tmp_path / "a.npy") > 15 << 10
    release(part)
    assert resident(tmp_path / "a.npy") < 1 << 10 and part[7, 3] == 107
    check_finite(values, np.arange(rows), "a", block=512)
    assert resident(tmp_path / "a.npy") < 8 << 10
    release(np.ones(3))  # not a map
