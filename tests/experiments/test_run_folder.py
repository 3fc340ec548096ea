"""A run folder belongs to one configuration, whatever programs and machine go on with it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from dseh_tf.errors import InputError
from dseh_tf.runs import read_map
from experiments import run_folder


def _begun(folder, **changed):
    config = {"bits": 32, "settings": {"eta": 1.0}, **run_folder.environment(), "lists_dir": "here", **changed}
    run_folder.open_workdir(folder, config)
    (folder / "checkpoints").mkdir(exist_ok=True)
    return config


@pytest.mark.parametrize(
    "now",
    [{"git_commit": "0" * 40}, {"machine": {"system": "another"}}, {"python": "3.99.0"}, {"versions": {"numpy": "9"}}],
)
def test_other_programs_go_on_and_are_told(tmp_path, caplog, now):
    config = _begun(tmp_path)
    assert run_folder.open_workdir(tmp_path, {**config, **now}) is False
    assert next(iter(now)) in caplog.text
    caplog.clear()
    run_folder.open_workdir(tmp_path, {**config, "lists_dir": "elsewhere"})
    assert not caplog.text


def test_another_setting_does_not(tmp_path):
    config = _begun(tmp_path)
    with pytest.raises(InputError, match=r"config\.json: settings: found eta=1\.0, expected eta=2\.0"):
        run_folder.open_workdir(tmp_path, {**config, "settings": {"eta": 2.0}})
    assert json.loads((tmp_path / "config.json").read_text())["settings"] == {"eta": 1.0}


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_folder.environment()["git_commit"] == ""


def test_one_process_at_a_time(tmp_path):
    folder = tmp_path / "runs" / "x"
    told = pytest.raises(InputError, match=r"x: another process is at a run here; choose another --workdir")
    with run_folder.held(folder), told, run_folder.held(folder):
        pass
    with run_folder.held(folder):
        assert not list(folder.iterdir())
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (file, file / "x"):
        told = pytest.raises(InputError, match=r"workdir: .* found a file in its place, expected a folder")
        with told, run_folder.held(wrong):
            pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_folder.fcntl, "flock", refuse)
    with run_folder.held(tmp_path):
        pass
    assert "cannot be locked (Operation not supported)" in caplog.text


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr(Path, "mkdir", refuse)
    line = r"workdir: .*x: cannot be made \(No such file or directory\)"
    with pytest.raises(InputError, match=line), run_folder.held(tmp_path / "x"):
        pass


@pytest.mark.parametrize("text", ["", "[]", '{"map": "high"}', '{"n_train": "many"}'])
def test_a_finished_run_whose_result_is_damaged(tmp_path, text):
    config = _begun(tmp_path)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json: .*found .*, expected"):
        run_folder.open_workdir(tmp_path, config)
    (tmp_path / "result.json").write_text('{"map": 0.5}')
    assert run_folder.open_workdir(tmp_path, config) is True


def test_what_a_killed_writer_left_is_no_run(tmp_path):
    (tmp_path / ".partial-1-config.json").write_text("{")
    assert run_folder.open_workdir(tmp_path, {"bits": 32}) is False


def test_the_score_of_a_run(tmp_path):
    for text, told in (('{"map": "high"}', "map: found 'high', expected a number"), ("[]", "found list")):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(InputError, match=told):
            read_map(tmp_path)
    (tmp_path / "result.json").write_text('{"map": 0.5, "seed": "0"}')
    assert read_map(tmp_path) == 0.5
