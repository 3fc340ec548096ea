"""Tuning with a small script in place of experiments.run: the trials, the choice, and what a suite does with it."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from absl import flags

from dseh_tf.errors import InputError
from experiments import suite, suites, tune
from experiments.trials import SETTINGS, TRIALS


@pytest.fixture
def call(stub):
    def _call(*arguments: str) -> None:
        values = flags.FlagValues()
        tune.define_flags(values)
        values(["tune", *arguments])
        tune.main(["tune"], values)

    return _call


def test_the_best_trial_is_chosen_and_handed_to_the_suite(call, tmp_path, capsys):
    room = tmp_path / "tuning"
    call("--methods=lsh,itq_cca", "--bits=16", f"--runs={room}", "--validation=0.2")
    chosen = json.loads((room / "chosen.json").read_text())
    assert chosen["validation"] == 0.2 and chosen["bits"] == 16
    tried = [tuple(f"{name}={value}" for name, value in trial.items()) for trial in SETTINGS["itq_cca"]]
    worth = {settings: sum(len(f"--set={item}") for item in settings) for settings in tried}
    best = max(worth, key=worth.get)  # the script's MAP grows with the length of the settings
    choice = chosen["methods"]["itq_cca"]
    assert choice["settings"] == list(best)
    assert choice["map"] == pytest.approx(0.16 + worth[best] / 1e4)
    assert len(choice["trials"]) == TRIALS and len({tuple(t["settings"]) for t in choice["trials"]}) == TRIALS
    assert chosen["methods"]["lsh"]["settings"] == ["normalise=False"]
    log = (room / "multi_digits-itq_cca-16-0-trial3.log").read_text()
    assert "--validation=0.2" in log
    assert suite.chosen_flags(room / "chosen.json")["itq_cca"] == [f"--set={item}" for item in best]
    capsys.readouterr()
    call("--methods=sh", "--bits=16", f"--runs={room}", "--validation=0.2")
    assert set(json.loads((room / "chosen.json").read_text())["methods"]) == {"lsh", "itq_cca", "sh"}
    with pytest.raises(InputError, match=r"chosen\.json: bits: found 16, expected 32; choose another --runs"):
        call("--methods=sh", "--bits=32", f"--runs={room}", "--validation=0.2")
    with pytest.raises(InputError, match=r"chosen\.json: run_flags: found .*, expected .*--backbone=other"):
        call("--methods=sh", "--bits=16", f"--runs={room}", "--validation=0.2", "--run_flag=--backbone=other")


def test_trials_of_a_cross_modal_method_are_compared_between_modalities(tmp_path):
    """Not by image->image, which is `map` of such a run."""
    result = {"map": 0.9}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert tune.score_of(tmp_path) == 0.9
    scores = {"image->text": 0.5, "text->image": 0.3, "image->image": 0.9, "text->text": 1.0}
    result["directions"] = {direction: {"map": score} for direction, score in scores.items()}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert tune.score_of(tmp_path) == pytest.approx(0.4)


def test_a_class_from_elsewhere_is_tuned(call, monkeypatch, tmp_path, capsys):
    """Its own trials, or its defaults where it names none; what was chosen goes to a suite under the same name."""
    trials = {"a.b:Own": ({}, {"margin": 2.5}), "c:Bare": ()}
    monkeypatch.setattr(suite, "outside_methods", lambda names: {name: trials[name] for name in names if ":" in name})
    room = tmp_path / "tuning"
    call("--methods=a.b:Own,c:Bare,sh", "--bits=16", f"--runs={room}", "--run_flag=c:Bare:--batch=8")
    chosen = json.loads((room / "chosen.json").read_text())["methods"]
    assert chosen["a.b:Own"]["settings"] == ["margin=2.5"] and len(chosen["a.b:Own"]["trials"]) == 2
    assert chosen["c:Bare"]["settings"] == [] and len(chosen["c:Bare"]["trials"]) == 1
    assert "--batch=8" in (room / "multi_digits-c_Bare-16-0-trial0.log").read_text()
    assert suite.chosen_flags(room / "chosen.json")["a.b:Own"] == ["--set=margin=2.5"]
    with pytest.raises(InputError, match=r"found '--set=margin=1', which the trials of a\.b:Own set"):
        call("--methods=a.b:Own", f"--runs={room}", "--run_flag=a.b:Own:--set=margin=1")


def test_a_method_of_images_and_texts_is_chosen_by_both_directions(tmp_path):
    """Not by its MAP, which is that of images that search images."""
    runs = [suites.SuiteRun("multi_digits", "ssah", 16, 0, trial=number) for number in range(2)]
    directions = ((0.9, 0.5, 0.3), (0.1, 0.5, 0.6))
    for run, (of_images, there, back) in zip(runs, directions, strict=True):
        found = {"image->text": {"map": there}, "text->image": {"map": back}, "image->image": {"map": of_images}}
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / "result.json").write_text(json.dumps({"map": of_images, "directions": found}))
    choice = tune.choose(tmp_path, runs, {"ssah": ({}, {"dropout": 0.2})})["ssah"]
    assert choice["settings"] == ["dropout=0.2"]
    assert [trial["map"] for trial in choice["trials"]] == pytest.approx([0.4, 0.55])


def test_every_method_gets_the_same_number_of_trials_of_settings_it_has():
    from dseh_tf.methods import METHODS

    few = {"lsh", "sh"}  # these have one setting
    for name, trials in SETTINGS.items():
        assert len({repr(trial) for trial in trials}) == len(trials), name
        assert len(trials) == TRIALS or name in few, name
        known = {field.name for field in fields(METHODS[name].Settings)}
        assert {setting for trial in trials for setting in trial} <= known, name
        for trial in trials:
            METHODS[name](32, **trial)  # which checks the types


def test_trials_of_a_deep_method_are_different_runs():
    """On features, for which they are made: no trial repeats a default or another trial."""
    from dseh_tf.methods import METHODS
    from dseh_tf.methods.deep.base import DeepMethod
    from dseh_tf.methods.image_encoder import Trunk

    for name, trials in SETTINGS.items():
        if issubclass(METHODS[name], DeepMethod):
            resolved = {METHODS[name](32, trunk=Trunk("x.keras"), **settings).settings for settings in trials}
            assert len(resolved) == len(trials), name


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--methods=itq,foo", "--methods: found 'foo', expected one of lsh, sh"),
        ("--validation=1.5", "--validation: found 1.5, expected a fraction between 0 and 1"),
        ("--run_flag=--seed=1", "which the suite sets itself"),
        ("--run_flag=--validation=0", "found '--validation=0', which the trials of itq set"),
        ("--run_flag=itq:--set=iterations=3", "found '--set=iterations=3', which the trials of itq set"),
    ],
)
def test_bad_flags(call, tmp_path, argument, message):
    with pytest.raises(InputError, match=message):
        call("--methods=itq", f"--runs={tmp_path / 'r'}", argument)


@pytest.mark.parametrize("content", ['{"methods": []}', '{"methods": {"itq": {"settings": "iterations=3"}}}', "{}"])
def test_a_damaged_choice_is_named(tmp_path, content):
    path = tmp_path / "chosen.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"chosen\.json: methods.*expected"):
        suite.chosen_flags(path)
