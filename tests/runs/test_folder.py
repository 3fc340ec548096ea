"""A run folder belongs to one configuration, whatever programs and machine go on with it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from dseh_tf.errors import InputError
from dseh_tf.runs import environment, held, listing, locks, open_workdir, read_map
from dseh_tf.runs.environment import git_commit


def _begun(folder, **changed):
    config = {"bits": 32, "settings": {"eta": 1.0}, **environment(), "lists_dir": "here", **changed}
    open_workdir(folder, config)
    (folder / "checkpoints").mkdir(exist_ok=True)
    return config


@pytest.mark.parametrize(
    "now",
    [{"git_commit": "0" * 40}, {"machine": {"system": "another"}}, {"python": "3.99.0"}, {"versions": {"numpy": "9"}}],
)
def test_other_programs_go_on_and_are_told(tmp_path, caplog, now):
    config = _begun(tmp_path)
    assert open_workdir(tmp_path, {**config, **now}) is False
    assert next(iter(now)) in caplog.text
    caplog.clear()
    open_workdir(tmp_path, {**config, "lists_dir": "elsewhere"})
    assert not caplog.text


def test_a_folder_without_the_format_number_goes_on(tmp_path):
    """As written before: no number, no identity. Its file stays as it is."""
    config = _begun(tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    assert (stored.pop("format"), len(stored.pop("identity"))) == (2, 16)
    assert stored == config
    path.write_text(json.dumps(config))
    assert open_workdir(tmp_path, {**config, "trunk_files": {"backbone": "1"}, "lists_dir": "elsewhere"}) is False
    assert json.loads(path.read_text()) == config
    with pytest.raises(InputError, match=r"config\.json: deterministic: found None, expected True"):
        open_workdir(tmp_path, {**config, "deterministic": True})


def test_another_setting_does_not(tmp_path):
    config = _begun(tmp_path)
    with pytest.raises(InputError, match=r"config\.json: settings: found eta=1\.0, expected eta=2\.0"):
        open_workdir(tmp_path, {**config, "settings": {"eta": 2.0}})
    assert json.loads((tmp_path / "config.json").read_text())["settings"] == {"eta": 1.0}


@pytest.mark.parametrize("name", ["imgnet.keras", "encoder.npz"])
def test_a_saved_encoder_is_not_replaced(tmp_path, name):
    """A folder that `load_run(...).save` wrote has no codes and no result."""
    config = {"bits": 32, "settings": {"eta": 1.0}, **environment()}
    open_workdir(tmp_path, config)
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"config\.json: bits: found 32, expected 16; choose another --workdir"):
        open_workdir(tmp_path, {**config, "bits": 16})
    assert json.loads((tmp_path / "config.json").read_text())["bits"] == 32


def test_a_configuration_of_another_program_is_not_replaced(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": 768}')
    with pytest.raises(InputError, match=r"config\.json: found another program's file, expected an empty folder"):
        open_workdir(tmp_path, {"bits": 16, "settings": {}})
    assert path.read_text() == '{"hidden_size": 768}'
    path.write_text("{")
    with pytest.raises(InputError, match=r"config\.json: "):
        open_workdir(tmp_path, {"bits": 16, "settings": {}})
    path.write_text('{"method": "itq", "bits": 8, "settings": {}}')  # a run that failed before its first checkpoint
    assert open_workdir(tmp_path, {"bits": 16, "settings": {}}) is False
    assert json.loads(path.read_text())["bits"] == 16


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment()["git_commit"] == ""


def test_the_commit_is_that_of_this_checkout_alone(tmp_path):
    """An installed package may lie below the checkout of another project."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "site-packages").mkdir()
    assert git_commit(tmp_path) == head and len(head) == 40
    assert git_commit(tmp_path / "site-packages") == ""


def test_one_process_at_a_time(tmp_path):
    folder = tmp_path / "runs" / "x"
    told = pytest.raises(InputError, match=r"x: another process is working on a run here; choose a different --workdir")
    with held(folder), told, held(folder):
        pass
    with held(folder):
        assert not list(folder.iterdir())
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (file, file / "x"):
        told = pytest.raises(InputError, match=r"workdir: .* found a file in its place, expected a folder")
        with told, held(wrong):
            pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with held(tmp_path):
        pass
    assert "cannot be locked (Operation not supported)" in caplog.text


class Msvcrt:
    """Windows's locks, as the C library has them: on bytes of a file, refused with EACCES, ended when it is closed."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}  # open file by inode

    def locking(self, file: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        inode = os.fstat(file).st_ino
        owner = self.owners.get(inode)
        if owner is not None and owner != file and _is_open(owner, inode):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.owners[inode] = file


def _is_open(file: int, inode: int) -> bool:
    try:
        return os.fstat(file).st_ino == inode
    except OSError:
        return False


def test_one_process_at_a_time_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", Msvcrt(), raising=False)
    monkeypatch.setattr(locks, "LOCKS_FOLDERS", False)
    told = pytest.raises(InputError, match="another process is working on a run here")
    with held(tmp_path):
        assert open_workdir(tmp_path, {"bits": 32}) is False  # the lock's file does not count as another's
        assert listing(tmp_path) == "config.json"
        with told, held(tmp_path):
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    with held(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr(Path, "mkdir", refuse)
    line = r"workdir: .*x: cannot be made \(No such file or directory\)"
    with pytest.raises(InputError, match=line), held(tmp_path / "x"):
        pass


@pytest.mark.parametrize("text", ["", "[]", '{"map": "high"}', '{"n_train": "many"}'])
def test_a_finished_run_whose_result_is_damaged(tmp_path, text):
    config = _begun(tmp_path)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json: .*found .*, expected"):
        open_workdir(tmp_path, config)
    (tmp_path / "result.json").write_text('{"map": 0.5}')
    assert open_workdir(tmp_path, config) is True


def test_what_a_killed_writer_left_is_no_run(tmp_path):
    (tmp_path / ".partial-1-config.json").write_text("{")
    assert open_workdir(tmp_path, {"bits": 32}) is False


def test_what_a_killed_writer_left_is_removed_by_the_next_alone(tmp_path):
    left = tmp_path / ".partial-1-codes.npz"
    with held(tmp_path):
        left.write_text("half")
        with pytest.raises(InputError, match="another process"), held(tmp_path):
            pass
        assert left.exists()  # its writer is at work
    (tmp_path / "codes.npz").write_text("whole")
    with held(tmp_path):
        assert [file.name for file in tmp_path.iterdir()] == ["codes.npz"]


def test_the_score_of_a_run(tmp_path):
    for text, told in (('{"map": "high"}', "map: found 'high', expected a number"), ("[]", "found list")):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(InputError, match=told):
            read_map(tmp_path)
    (tmp_path / "result.json").write_text('{"map": 0.5, "seed": "0"}')
    assert read_map(tmp_path) == 0.5
