"""Typed settings of suites: what they become as flags, and what is refused before any run starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dseh_tf.errors import InputError
from experiments import suite, suites
from experiments.suite_options import Options, types_of
from experiments.suites import Row, Suite, SuiteRun

ROOT = Path(__file__).parents[2]
TYPES = {
    "epochs": "int",
    "rate": "float",
    "head": "str",
    "wide": "bool",
    "layers": "tuple[int, ...]",
    "other": "object",
}
REGISTRY = {"csq": TYPES, "dseh": {"label_weight": "float"}}


def test_options_as_flags_and_text():
    given = Options(
        preset="paper", rounds=2, phases="labnet", settings={"rate": 1e-5, "head": "linear", "layers": (3, 4)}
    )
    assert given.flags() == (
        "--preset=paper", "--phases=labnet", "--rounds=2", "--set=rate=1e-05", "--set=head=linear", "--set=layers=(3, 4)",
    )  # fmt: skip
    assert given.text() == "rounds=2 rate=1e-05 head=linear layers=(3,4)"
    assert Options().flags() == () and Options().text() == ""
    assert Options(preset_dataset="imagenet").text() == "preset_dataset=imagenet"


def test_what_a_row_gives_comes_after_what_the_suite_gives():
    row = Row("csq", Options(rounds=3, settings={"rate": 2.0}), on={"cifar10": Options(settings={"epochs": 7})})
    whole = Suite(
        ("cifar10", "ms_coco"), (row, "dseh"), (16,), (0, 1), Options(rounds=1, settings={"rate": 1.0, "wide": True})
    )
    runs = whole.runs(whole.rows)
    assert [run.name for run in runs] == [
        f"{d}-{m}-16-{s}" for d in whole.datasets for m in ("csq", "dseh") for s in (0, 1)
    ]
    assert runs[0].options == Options(rounds=3, settings={"rate": 2.0, "wide": True, "epochs": 7})
    assert runs[4].options == Options(rounds=3, settings={"rate": 2.0, "wide": True})
    assert runs[2].options == whole.options
    assert runs[0].arguments[:4] == ("--dataset=cifar10", "--method=csq", "--bits=16", "--seed=0")
    assert len({*runs, *whole.runs(whole.rows)}) == 8  # runs are keys
    assert runs[0] != SuiteRun("cifar10", "csq", 16, 0)


def test_rows_of_one_method_have_folders_of_their_own():
    rows = (Row("csq"), Row("csq", Options(settings={"wide": True}), name="csq-wide", bits=(32,), seeds=(5,)))
    whole = Suite(("ms_coco",), rows, (16,), (0,))
    assert [run.name for run in whole.runs(whole.rows)] == ["ms_coco-csq-16-0", "ms_coco-csq-wide-32-5"]
    assert [row.label for row in whole.chosen_rows(REGISTRY, ["csq-wide"])] == ["csq-wide"]
    assert [row.label for row in whole.chosen_rows(REGISTRY, ["dseh", "csq"])] == ["csq", "dseh"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"methods": ("scq",)}, "methods: found 'scq', expected one of csq, dseh"),
        ({"methods": ("csq", Row("csq", Options(rounds=2)))}, "methods: found 'csq' twice, expected rows with different names"),
        ({"datasets": ("coco",)}, "datasets: found 'coco', expected one of multi_digits"),
        ({"bits": (0,)}, "bits: found 0, expected whole numbers from 1 up"),
        ({"seeds": (0.5,)}, "seeds: found 0.5, expected whole numbers from 0 up"),
        ({"methods": (Row("csq", bits=("16",)),)}, "csq: bits: found '16', expected whole numbers"),
        ({"methods": (Row("csq", on={"coco": Options()}),)}, "csq: on: found 'coco', expected one of multi_digits"),
        ({"options": Options(preset="modren")}, "csq: preset: found 'modren', expected one of release, paper, modern"),
        ({"options": Options(phases="images")}, "csq: phases: found 'images', expected one of all, labnet"),
        ({"options": Options(preset_dataset="coco")}, "csq: preset_dataset: found 'coco', expected one of nus_wide"),
        ({"options": Options(rounds="2")}, "csq: rounds: found '2', expected a whole number"),
        ({"options": Options(imgnet_epochs=True)}, "csq: imgnet_epochs: found True, expected a whole number"),
        ({"options": Options(features=3)}, "csq: features: found 3, expected a text"),
        ({"options": Options(settings={"epohs": 3})}, "csq: settings: found 'epohs', expected one of epochs, head, layers"),
        ({"options": Options(settings={"epochs": "24"})}, "csq: settings.epochs: found '24', expected a whole number"),
        ({"options": Options(settings={"epochs": 2.0})}, "csq: settings.epochs: found 2.0, expected a whole number"),
        ({"options": Options(settings={"rate": "1e-3"})}, "csq: settings.rate: found '1e-3', expected a number"),
        ({"options": Options(settings={"rate": True})}, "csq: settings.rate: found True, expected a number"),
        ({"options": Options(settings={"wide": 1})}, "csq: settings.wide: found 1, expected True or False"),
        ({"options": Options(settings={"head": 1})}, "csq: settings.head: found 1, expected a text"),
        ({"options": Options(settings={"layers": 3})}, "csq: settings.layers: found 3, expected a tuple of whole numbers"),
        ({"options": Options(settings={"layers": (3, 1.5)})}, "csq: settings.layers: found (3, 1.5), expected a tuple"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_one_line(changes, line):
    fields = {"datasets": ("ms_coco",), "methods": ("csq",), "bits": (16,), "seeds": (0,), **changes}
    with pytest.raises(InputError) as error:
        Suite(**fields).check("mine", REGISTRY)
    assert str(error.value).startswith(f"experiments/suites/mine.py: {line}") and "\n" not in str(error.value)


def test_a_right_suite_passes():
    settings = {"epochs": 3, "rate": 1, "head": "x", "wide": False, "layers": (), "other": object()}
    Suite(("tfds:x",), (Row("csq", Options(settings=settings)),), (16,), (0,)).check("mine", REGISTRY)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "from experiments.suite_options import Options\nSUITE = Options(epoch=3)",
            "unexpected keyword argument 'epoch'",
        ),
        (
            "from experiments.suite_options import Options\nSUITE = Options(settings=('epochs=3',))",
            "settings: found ('epochs=3',), expected values by name",
        ),
        ("SUITE = 3", "SUITE: found int, expected a Suite"),
        ("", "SUITE: found NoneType, expected a Suite"),
    ],
)
def test_a_file_that_is_no_suite(tmp_path, monkeypatch, source, line):
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.setattr(suites, "__path__", [str(tmp_path)])
    with pytest.raises(InputError) as error:
        suites.load("broken")
    sys.modules.pop("experiments.suites.broken", None)
    assert str(error.value).startswith("experiments/suites/broken.py: ") and line in str(error.value)


def test_suites_here_fit_the_registry(tf):
    """Every suite of the repository, with the real types; and that its settings are other than the defaults."""
    from dseh_tf.methods import METHODS

    registry = {name: types_of(method.Settings) for name, method in METHODS.items()}
    assert {kind for types in registry.values() for kind in types.values()} == {
        "int", "float", "str", "bool", "tuple[int, ...]",
    }  # fmt: skip
    for name in suites.names():
        suites.load(name).check(name, registry)
    with pytest.raises(InputError, match=r"quick\.py: lsh: settings: found 'epochs', expected one of normalise"):
        Suite(("multi_digits",), ("lsh",), (8,), (0,), Options(settings={"epochs": 3})).check("quick", registry)


def test_a_wrong_suite_starts_nothing(tmp_path):
    """Also where the wrong row is not asked for; by the program itself, with the real registry."""
    script = tmp_path / "with_a_suite.py"
    script.write_text(
        "from experiments import program, suite, suites\nfrom experiments.suite_options import Options\n"
        "wrong = suites.Row('sdh', Options(settings={'width': 'wide'}))\n"
        "suites.load = lambda name: suites.Suite(('multi_digits',), ('itq', wrong), (8,), (0,))\n"
        "suite.define_flags()\nprogram.run(suite.main)\n"
    )
    command = [sys.executable, str(script), "--suite=mine", "--methods=itq", f"--runs={tmp_path / 'runs'}"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert done.stderr == "error: experiments/suites/mine.py: sdh: settings.width: found 'wide', expected a number\n"


def test_chosen_settings_replace_those_of_a_row():
    run = SuiteRun("ms_coco", "csq", 16, 0, Options(rounds=2, settings={"rate": 1.0, "wide": True}))
    assert suite.without_settings(run, ["--set=rate=3.0"]).options == Options(rounds=2, settings={"wide": True})
    assert suite.without_settings(run, []) == run
