"""A run folder belongs to one configuration, whatever programs and machine go on with it."""

from __future__ import annotations

import json

import pytest

from dseh_tf.errors import InputError
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
