"""Memory-mapped arrays: whole or absent, with their room on the disk taken beforehand."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from dseh_tf.data.memory_maps import mapped, new_array
from dseh_tf.errors import refusal


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
