"""Checkpoints: whole or passed over."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.errors import InputError


@pytest.fixture
def store(tf, tmp_path):
    from dseh_tf.training.checkpoints import CheckpointStore

    value = tf.Variable(np.zeros(4, np.float32))
    tracked = tf.train.Checkpoint(value=value)
    checkpoints = CheckpointStore(tmp_path / "checkpoints", keep=2)
    for number in (1, 2, 3):
        value.assign(np.full(4, number, np.float32))
        checkpoints.save(number, tracked, {"number": number}, {"loss": np.arange(number)})
    value.assign(np.zeros(4))
    return checkpoints, tracked, value


def test_the_newest_is_restored_and_old_ones_go(store):
    checkpoints, tracked, value = store
    progress, traces = checkpoints.restore(tracked)
    assert progress == {"number": 3} and len(traces["loss"]) == 3
    assert value.numpy().tolist() == [3] * 4
    assert sorted(f.name for f in checkpoints.folder.iterdir()) == ["00000002", "00000003"]


def test_a_number_that_is_there_is_not_overwritten(store):
    """Between two saves without a step there is no moment without a whole checkpoint."""
    checkpoints, tracked, value = store
    value.assign(np.full(4, 9, np.float32))
    checkpoints.save(3, tracked, {"number": 9}, {})
    assert sorted(f.name for f in checkpoints.folder.iterdir()) == ["00000003", "00000004"]
    assert checkpoints.restore(tracked)[0] == {"number": 9}


@pytest.mark.parametrize("victim", ["state.data-00000-of-00001", "progress.json", "manifest.json"])
def test_one_cut_short_falls_back_and_says_so(store, victim, caplog):
    checkpoints, tracked, value = store
    path = checkpoints.folder / "00000003" / victim
    path.write_bytes(path.read_bytes()[:-3])
    with caplog.at_level("WARNING", logger="absl"):
        progress, _ = checkpoints.restore(tracked)
    assert progress == {"number": 2} and value.numpy().tolist() == [2] * 4
    assert "00000003 is cut short" in caplog.text and "falling back" in caplog.text


def test_changed_bytes_are_seen(store):
    checkpoints, tracked, _ = store
    path = checkpoints.folder / "00000003" / "state.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert checkpoints.restore(tracked)[0] == {"number": 2}


def test_other_variables_are_an_error(store, tf):
    checkpoints, _, _ = store
    with pytest.raises((InputError, ValueError)):
        checkpoints.restore(tf.train.Checkpoint(value=tf.Variable(np.zeros(5, np.float32))))


def test_nothing_to_restore(tf, tmp_path):
    from dseh_tf.training.checkpoints import CheckpointStore

    assert CheckpointStore(tmp_path / "none").restore(tf.train.Checkpoint()) is None
    assert CheckpointStore(None).restore(tf.train.Checkpoint()) is None
