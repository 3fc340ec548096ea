"""Chooses each method's settings on held-out training rows, with the same number of trials for every method.

    python -m experiments.tune --dataset=image_lists --methods=itq,dseh --runs=runs/tuning --run_flag=--lists_dir=LISTS
    python -m experiments.suite --chosen=runs/tuning/chosen.json ...

A fraction of the training rows is held out as queries (`--validation`) and removed from train and database; the test
queries are not read. The trials are listed in experiments/trials.py. Each is a run in a separate folder, which is kept.
For each method, `chosen.json` has the settings with the highest MAP (expected over tied orders), and all trials with
their MAP. Methods of images and texts run only if --methods names them; their trials are compared by the mean MAP of
image->text and text->image. The same command continues after a stop. Exit code 1 if a trial failed, 2 for bad input,
130 if stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.files import read_json, write_json
from dseh_tf.runs import read_map, read_result
from experiments import program, suite
from experiments.suite_options import Options, setting_texts
from experiments.suites import CROSS_MODAL, SuiteRun
from experiments.trials import SETTINGS, TRIALS, Trial

# Flags that say how or where a run is executed; another value of them is still the same run.
_FREE = (
    "data_dir",
    "images_root",
    "workdir",
    "strategy",
    "replicas",
    "worker_timeout",
    "worker_silence",
    "progress",
    "noprogress",
)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("dataset", "multi_digits", "Data set.", **own)
    flags.DEFINE_list(
        "methods", [], "Methods, or package.module:Class. Default: all image methods that have trials.", **own
    )
    flags.DEFINE_integer("bits", 32, "Code length.", lower_bound=1, **own)
    flags.DEFINE_integer("seed", 0, "Seed of the held-out rows and of every trial.", lower_bound=0, **own)
    flags.DEFINE_float("validation", 0.1, "Fraction of the training rows to hold out as queries.", **own)
    program.DEFINE_path("runs", None, "Folder of the run folders and of chosen.json. Default: runs/tuning.", **own)
    flags.DEFINE_integer("jobs", 1, "Number of trials to run at the same time.", lower_bound=1, **own)
    every = "A flag of experiments.run for all trials (--NAME=VALUE) or a method's (METHOD:--NAME=VALUE)."
    flags.DEFINE_multi_string("run_flag", [], every, **own)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    methods = given.methods or [name for name in SETTINGS if name not in CROSS_MODAL]
    for name in methods:
        if name not in SETTINGS and ":" not in name:
            raise InputError(
                f"--methods: found {name!r}, expected one of {', '.join(SETTINGS)}, or package.module:Class"
            )
    if not 0 < given.validation < 1:
        raise InputError(f"--validation: found {given.validation}, expected a fraction between 0 and 1")
    every = {**SETTINGS, **{name: trials or ({},) for name, trials in suite.outside_methods(methods).items()}}
    shared, by_method = suite.run_flags(given.run_flag, list(every))
    arguments = {}
    for name in dict.fromkeys(methods):
        _check_untried(name, every[name], (*shared, *by_method.get(name, ())))
        for number, settings in enumerate(every[name]):
            options = Options(validation=given.validation, settings=settings)
            run = SuiteRun(given.dataset, name, given.bits, given.seed, options, trial=number)
            arguments[run] = (*run.arguments, *shared, *by_method.get(name, ()))
    folder = Path(given.runs or "runs/tuning")
    header = {name: getattr(given, name) for name in ("dataset", "bits", "seed", "validation")}
    header["run_flags"] = sorted(meaning([f"--dataset={given.dataset}", *shared]))
    known = _known(folder / "chosen.json", header)
    failures = suite.execute(arguments, folder, given.jobs)
    found = choose(folder, [run for run in arguments if run not in failures], every)
    write_json(folder / "chosen.json", {**header, "trials": TRIALS, "methods": {**known, **found}})
    for name, choice in found.items():
        print(
            f"{name:10} MAP {choice['map']:.4f}  {' '.join(choice['settings']) or 'defaults'}  ({len(choice['trials'])} trials)"
        )
    print(f"chosen settings in {folder / 'chosen.json'}")
    if failures:
        sys.exit(suite.FAILED)


def meaning(command: Sequence[str]) -> set[str]:
    """The flags that say what is computed; of a path to lists only the folder's name, as the figures do.

    Where the images are is free, but of an image_folder they are the data.
    """
    free = [name for name in _FREE if name != "images_root" or "--dataset=image_folder" not in command]
    kept = set()
    for item in command:
        name, equals, value = item.removeprefix("--").partition("=")
        if item.startswith("--") and name not in free:
            kept.add(f"--{name}{equals}{Path(value).name if name == 'lists_dir' else value}")
    return kept


def _check_untried(method: str, trials: Sequence[Trial], given: Sequence[str]) -> None:
    """Raises InputError on a flag that would overrule the held-out share or what a trial of the method sets."""
    tried = {name for trial in trials for name in trial}
    for flag in given:
        name, _, value = flag.removeprefix("--").partition("=")
        setting = value.partition("=")[0] if name == "set" else name
        if name in ("validation", "phases") or setting in tried or f"imgnet_{setting}" in tried:
            raise InputError(f"--run_flag: found {flag!r}, which the trials of {method} set; expected another flag")


def _known(path: Path, header: Mapping[str, object]) -> dict[str, Mapping]:
    """The choices made before, which must be for the same data, code length, seed, held-out share and flags of all runs."""
    if not path.is_file():
        return {}
    before = read_json(path)
    for name, value in header.items():
        if before.get(name) != value:
            raise InputError(f"{path}: {name}: found {before.get(name)!r}, expected {value!r}; choose another --runs")
    if not isinstance(before.get("methods"), dict):
        raise InputError(
            f"{path}: methods: found {before.get('methods')!r}, expected choices by method; choose another --runs"
        )
    return before["methods"]


def choose(folder: Path, runs: list[SuiteRun], every: Mapping[str, Sequence[Trial]] = SETTINGS) -> dict[str, Mapping]:
    """Of every method its best finished trial and all of them: {"settings", "map", "trials"}; the first of equals."""
    trials: dict[str, list[dict]] = {}
    for run in runs:
        score = score_of(folder / run.name)
        if score is None:
            raise InputError(f"{folder / run.name / 'result.json'}: map: found none, expected a number")
        assert run.trial is not None
        settings = setting_texts(every[run.method][run.trial])
        trials.setdefault(run.method, []).append({"settings": settings, "map": score})
    return {name: {**max(tried, key=lambda trial: trial["map"]), "trials": tried} for name, tried in trials.items()}


def score_of(folder: Path) -> float | None:
    """The MAP that trials are compared by, of a run folder; None if images were not retrieved."""
    if "directions" not in read_json(folder / "result.json"):
        return read_map(folder)
    directions = read_result(folder)["directions"]
    return fmean(directions[direction]["map"] for direction in ("image->text", "text->image"))


if __name__ == "__main__":
    define_flags()
    program.run(main)
