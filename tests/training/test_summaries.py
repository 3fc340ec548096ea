"""Summaries on a full disk."""

from __future__ import annotations

import collections
import errno
import os
import shutil

import numpy as np
import pytest

from dseh_tf.errors import refusal


def test_a_full_disk_is_told(tf, tmp_path, monkeypatch):
    """TensorFlow's writer drops large events on a full disk, and write, flush and close report nothing."""
    from dseh_tf.training.summaries import Summaries

    summaries = Summaries(tmp_path / "tb")
    summaries.histogram("x", np.arange(9.0), 0)
    summaries.flush()
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(OSError) as error:
        summaries.flush()
    assert refusal(error.value) == f"{tmp_path / 'tb'}: {os.strerror(errno.ENOSPC)}"
    Summaries(None).flush()
