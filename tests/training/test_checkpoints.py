"""Checkpoints: whole or passed over."""

from __future__ import annotations

import json
import os
import resource
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.errors import InputError, refusal
from tests.damage import damaged, examples


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


@pytest.mark.parametrize(
    "victim", ["state.data-00000-of-00001", "state.index", "progress.json", "traces.npz", "manifest.json"]
)
def test_one_cut_short_falls_back_and_says_so(store, victim, caplog):
    checkpoints, tracked, value = store
    path = checkpoints.folder / "00000003" / victim
    path.write_bytes(path.read_bytes()[:-3])
    with caplog.at_level("WARNING", logger="absl"):
        progress, _ = checkpoints.restore(tracked)
    assert progress == {"number": 2} and value.numpy().tolist() == [2] * 4
    assert "00000003 is truncated" in caplog.text and "falling back" in caplog.text


def signed(folder, **contents):
    """Writes files into a checkpoint and a manifest that agrees with them."""
    for name, text in contents.items():
        (folder / name.replace("_", ".")).write_bytes(text.encode())
    files = {
        f.name: [f.stat().st_size, zlib.crc32(f.read_bytes())] for f in folder.iterdir() if f.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(files))


ODD_MANIFESTS = [
    "{}", "[]", "3", "null", '"text"', '{"state.index": 3}', '{"progress.json": [1, 2, 3]}', '{"traces.npz": ["1", 2]}',
    '{"../../../elsewhere": [0, 0]}', "[" * 100_000, '{"state.index": [NaN, 1]}', "\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD_MANIFESTS, ids=range(len(ODD_MANIFESTS)))
def test_an_odd_manifest_falls_back_and_says_so(store, text, caplog):
    checkpoints, tracked, value = store
    (checkpoints.folder / "00000003" / "manifest.json").write_text(text)
    with caplog.at_level("WARNING", logger="absl"):
        assert checkpoints.restore(tracked)[0] == {"number": 2}
    assert value.numpy().tolist() == [2] * 4
    (line,) = [record.getMessage() for record in caplog.records]
    assert "00000003" in line and "manifest.json" in line and "falling back" in line and "\n" not in line


@pytest.mark.parametrize("entry", [[3], {"size": 3}, ["3", 4], [True, False], None, "ab", [3, 4, 5]])
def test_a_manifest_with_one_odd_entry_falls_back(store, entry):
    checkpoints, tracked, _ = store
    path = checkpoints.folder / "00000003" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "traces.npz": entry}))
    assert checkpoints.restore(tracked)[0] == {"number": 2}


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ({"progress_json": "[]"}, "progress.json: found list, expected a JSON object"),
        ({"progress_json": "{"}, "progress.json: found invalid JSON"),
        ({"progress_json": '{"number": "three"}'}, "progress.json: number: a text"),
        ({"traces_npz": "text"}, "traces.npz: found a damaged or truncated file"),
        ({"state_index": "text"}, "00000003"),
    ],
)
def test_files_that_agree_with_the_manifest_and_hold_something_else(store, contents, told, caplog):
    checkpoints, tracked, value = store
    signed(checkpoints.folder / "00000003", **contents)

    def check(progress):
        return "" if isinstance(progress["number"], int) else "number: a text"

    with caplog.at_level("WARNING", logger="absl"):
        assert checkpoints.restore(tracked, check)[0] == {"number": 2}
    assert value.numpy().tolist() == [2] * 4 and told in caplog.text


def test_no_whole_checkpoint_is_said(store, caplog):
    checkpoints, tracked, _ = store
    for folder in checkpoints.folder.iterdir():
        (folder / "manifest.json").write_text("{}")
    with caplog.at_level("WARNING", logger="absl"):
        assert checkpoints.restore(tracked) is None
    assert "no checkpoint is intact; training starts over" in caplog.text


def test_half_read_variables_are_no_beginning(store):
    """TensorFlow fails at a damaged index after some variables may have been read: no run starts from those."""
    checkpoints, tracked, _ = store
    for folder in checkpoints.folder.iterdir():
        signed(folder, state_index="text")
    with pytest.raises(InputError, match=r"checkpoints: found no readable checkpoint"):
        checkpoints.restore(tracked)


def test_what_is_no_checkpoint_is_passed_over(store):
    checkpoints, tracked, _ = store
    for name in ("00000009", "\N{SUPERSCRIPT TWO}"):
        (checkpoints.folder / name).write_text("a file")
    (checkpoints.folder / "\N{SUPERSCRIPT THREE}").mkdir()
    checkpoints.save(4, tracked, {"number": 4}, {})
    assert checkpoints.restore(tracked)[0] == {"number": 4}


@contextmanager
def largest_file(size: int):
    """No file of this process grows beyond `size` bytes inside: the operating system refuses, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("large", ["variables", "traces"])
def test_a_disk_that_refuses_loses_no_earlier_checkpoint(tf, tmp_path, large):
    """Of TensorFlow's writer and of numpy's: one error that names the checkpoint, and nothing of it is left."""
    from dseh_tf.training.checkpoints import CheckpointStore

    size = 200_000 if large == "variables" else 4
    value = tf.Variable(np.zeros(size, np.float32))
    tracked, checkpoints = tf.train.Checkpoint(value=value), CheckpointStore(tmp_path)
    checkpoints.save(1, tracked, {"number": 1}, {})
    value.assign(np.ones(size, np.float32))
    traces = {"loss": np.random.default_rng(0).random(200_000)}
    with largest_file(100_000), pytest.raises(OSError) as told:
        checkpoints.save(2, tracked, {"number": 2}, traces)
    assert refusal(told.value) == f"{tmp_path / '00000002'}: File too large"
    assert [f.name for f in tmp_path.iterdir()] == ["00000001"]
    assert checkpoints.restore(tracked)[0] == {"number": 1} and not value.numpy().any()
    checkpoints.save(2, tracked, {"number": 2}, traces)
    assert checkpoints.restore(tracked)[0] == {"number": 2}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
def test_what_a_full_disk_says(tf, tmp_path):
    """The device that is always full, by the writers of checkpoints' other files."""
    from dseh_tf.training.checkpoints import CheckpointStore

    class Full(tf.train.Checkpoint):
        def write(self, path):
            with tf.io.TFRecordWriter("/dev/full") as writer:
                writer.write(b"x" * 100_000)

    with pytest.raises(OSError) as told:
        CheckpointStore(tmp_path).save(1, Full(), {}, {})
    assert refusal(told.value) == f"{tmp_path / '00000001'}: No space left on device" and not list(tmp_path.iterdir())


def test_changed_bytes_are_seen(store):
    checkpoints, tracked, _ = store
    path = checkpoints.folder / "00000003" / "state.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert checkpoints.restore(tracked)[0] == {"number": 2}


@examples(60)
@given(data=st.data())
def test_any_damage_to_the_newest_gives_it_or_the_one_before(store, data):
    """Never other values, and never a mixture of two."""
    checkpoints, tracked, value = store
    folder, before = checkpoints.folder / "00000003", checkpoints.folder / "00000002"
    held = {file.name: file.read_bytes() for file in folder.iterdir()}
    victim = data.draw(st.sampled_from(sorted(held)))
    try:
        (folder / victim).write_bytes(damaged(data, held[victim], (before / victim).read_bytes()))
        progress, traces = checkpoints.restore(tracked)
        assert progress["number"] in (2, 3) and len(traces["loss"]) == progress["number"]
        assert value.numpy().tolist() == [progress["number"]] * 4
    finally:
        (folder / victim).write_bytes(held[victim])


def test_other_variables_are_an_error(store, tf):
    checkpoints, _, _ = store
    with pytest.raises((InputError, ValueError)):
        checkpoints.restore(tf.train.Checkpoint(value=tf.Variable(np.zeros(5, np.float32))))


def test_nothing_to_restore(tf, tmp_path):
    from dseh_tf.training.checkpoints import CheckpointStore

    assert CheckpointStore(tmp_path / "none").restore(tf.train.Checkpoint()) is None
    assert CheckpointStore(None).restore(tf.train.Checkpoint()) is None
