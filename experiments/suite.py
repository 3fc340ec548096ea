"""Makes all runs of a suite, as needed for a table; each is a run of experiments.run in a separate folder.

    python -m experiments.suite --suite=quick --runs=runs/quick
    python -m experiments.suite --suite=table1 --datasets=image_lists --methods=itq,dseh --bits=16,32 --seeds=0,1,2 \\
        --runs=runs/mine --jobs=2 --run_flag=--lists_dir=LISTS --run_flag=dseh:--learning_rate=1e-4

`--chosen=runs/tuning/chosen.json` gives each method the settings that experiments.tune found for it on held-out
training rows. The suite's settings, and then data, features and backbones, are checked before the first run starts. The
same command continues after a stop: finished runs are skipped, others are resumed. The output of a run is in `<run
folder>.log`. The first run on a data set is made before the others, so that they find the data prepared and the
features extracted. Exit code 1 if a run failed, 2 for bad input, 130 if stopped.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.files import read_json
from experiments import hparams, program, run_data, suites
from experiments.suite_options import setting_flags
from experiments.suite_runner import Runner
from experiments.suite_table import Table
from experiments.suites import SuiteRun
from experiments.trials import Trial

STOPPED, FAILED = 130, 1
_OWN = ("dataset", "method", "bits", "seed", "workdir", "flagfile")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("suite", "quick", "Suite, by the name of its file in experiments/suites.", **own)
    flags.DEFINE_list("datasets", [], "Data sets. Default: the suite's.", **own)
    flags.DEFINE_list(
        "methods", [], "Rows of the suite, methods, or package.module:Class. Default: the suite's.", **own
    )
    flags.DEFINE_list("bits", [], "Code lengths. Default: the suite's.", **own)
    flags.DEFINE_list("seeds", [], "Seeds. Default: the suite's.", **own)
    program.DEFINE_path("runs", None, "Folder of the run folders. Default: runs/<suite>.", **own)
    flags.DEFINE_integer("jobs", 1, "Number of runs to make at the same time.", **own)
    program.DEFINE_path(
        "chosen", None, "chosen.json of experiments.tune, with the best settings of each method.", **own
    )
    every = "A flag of experiments.run for all runs (--NAME=VALUE) or a method's (METHOD:--NAME=VALUE)."
    flags.DEFINE_multi_string("run_flag", [], every, **own)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    suite = suites.load(given.suite)
    if given.jobs < 1:
        raise InputError(f"--jobs: found {given.jobs}, expected a positive number")
    bits, seeds = whole_numbers("bits", given.bits, 1), whole_numbers("seeds", given.seeds, 0)
    suite.runs((), given.datasets)  # an unknown data set is reported before the registry is asked
    registry = registered_methods()
    suite.check(given.suite, registry)
    registered = [*registry, *outside_methods(given.methods)]
    rows = suite.chosen_rows(registered, given.methods)
    shared, by_row = run_flags(given.run_flag, [*registered, *(row.name for row in suite.rows if row.name)])
    runs = suite.runs(rows, list(dict.fromkeys(given.datasets)), bits, seeds)
    chosen = chosen_flags(Path(given.chosen)) if given.chosen else {}
    if chosen:
        tuned_on = read_json(Path(given.chosen)).get("dataset")
        for dataset in dict.fromkeys(run.dataset for run in runs if run.dataset != tuned_on):
            print(f"{given.chosen}: its settings were chosen on {tuned_on}; they are also used for {dataset}")
    for row in rows if chosen else ():
        if row.method.startswith(suites.ABLATION_PREFIX) and ":" not in row.method:  # not tuned by itself
            chosen.setdefault(row.label, chosen.get("dseh", []))
        elif row.label not in chosen:
            print(f"{given.chosen}: has no settings of {row.label}, which keeps its own")
    arguments = {
        run: (
            *without_settings(run, chosen.get(run.label, ())).arguments,
            *chosen.get(run.label, ()),
            *read_by(run.dataset, shared),
            *by_row.get(run.label, ()),
        )
        for run in runs
    }
    _check_read(shared, {run.dataset for run in runs})
    folder = Path(given.runs or f"runs/{given.suite}")
    if execute(arguments, folder, given.jobs):
        sys.exit(FAILED)


def execute(arguments: Mapping[SuiteRun, Sequence[str]], folder: Path, jobs: int) -> dict[SuiteRun, str]:
    """Makes all the runs, with their table on standard output; prints and returns failed runs with their reasons.

    Ends the program with STOPPED if it is interrupted. Raises InputError if data, features, a backbone or a setting
    of a run that is not finished is not as it should be; other problems of this kind are printed before.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    to_do = [given for run, given in arguments.items() if not (folder / run.name / "result.json").exists()]
    *others, last = check_runs(to_do) or [""]
    for line in others:
        print(f"error: {line}", file=sys.stderr)
    if last:
        raise InputError(last)
    table = Table(list(arguments), sys.stdout)
    if jobs > 1:
        print(
            "The first run on each data set is made before the others: it prepares the data and extracts the features."
        )
    try:
        failures = Runner(arguments, folder, jobs, table, resolved).run()
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(STOPPED)
    table.close()
    hparams.write_experiment(folder)
    print(f"run folders in {folder}; their tables and figures: python -m figures.all --runs={folder} --out=OUT")
    for run, reason in failures.items():
        print(f"failed: {run.name}: {reason} (see {folder / run.name}.log)", file=sys.stderr)
    return failures


def chosen_flags(path: Path) -> dict[str, list[str]]:
    """What experiments.tune chose: flags of experiments.run by method."""
    methods = read_json(path).get("methods")
    if not isinstance(methods, dict):
        raise InputError(f"{path}: methods: found {type(methods).__name__}, expected an object (experiments.tune)")
    found = {}
    for name, choice in methods.items():
        settings = choice.get("settings") if isinstance(choice, dict) else None
        if not isinstance(settings, list) or not all(isinstance(item, str) and "=" in item for item in settings):
            raise InputError(f"{path}: methods.{name}.settings: found {settings!r}, expected a list of name=value")
        found[name] = setting_flags(settings)
    return found


def without_settings(run: SuiteRun, given: Sequence[str]) -> SuiteRun:
    """The run without its own values of the settings that the flags give: a setting has one value."""
    names = {flag.removeprefix("--set=").partition("=")[0] for flag in given}
    kept = {name: value for name, value in run.options.settings.items() if name not in names}
    return replace(run, options=replace(run.options, settings=kept))


def whole_numbers(flag: str, texts: Sequence[str], least: int) -> list[int]:
    """A list flag's numbers, each once. Raises InputError on anything but whole numbers of at least `least`."""
    for text in texts:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise InputError(f"--{flag}: found {text!r}, expected whole numbers from {least} up, separated by commas")
    return list(dict.fromkeys(map(int, texts)))


def run_flags(items: Sequence[str], registered: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """--run_flag's items: those of all runs, and those of a row's runs by its name (a method's, or a row's own)."""
    shared: list[str] = []
    by_method: dict[str, list[str]] = {}
    for item in items:
        method, dashes, flag = ("", "--", item[2:]) if item.startswith("--") else item.partition(":--")
        flag = f"--{_expanded(flag)}"
        if not dashes or len(flag) < 3:
            raise InputError(f"--run_flag: found {item!r}, expected --NAME=VALUE or METHOD:--NAME=VALUE")
        if method and method not in registered:
            raise InputError(f"--run_flag: found method {method!r}, expected one of {', '.join(registered)}")
        if flag[2:].partition("=")[0] in _OWN:
            raise InputError(f"--run_flag: found {flag!r}, which the suite sets itself; expected another flag")
        (by_method.setdefault(method, []) if method else shared).append(flag)
    return shared, by_method


def registered_methods() -> dict[str, dict[str, str]]:
    """The methods in `dseh_tf.methods.METHODS` with the types of their settings by name.

    Another process is asked: TensorFlow would take memory here while the runs are made.
    """
    code = (
        "import json; from dseh_tf.methods import METHODS; from experiments.suite_options import types_of; "
        "print(json.dumps({name: types_of(method.Settings) for name, method in METHODS.items()}))"
    )
    return json.loads(_asked(code).splitlines()[-1])


def outside_methods(names: Sequence[str]) -> dict[str, tuple[Trial, ...]]:
    """Of the names of the form package.module:Class, the `trials` of each class (see experiments/trials.py).

    Raises:
        InputError: One cannot be imported, is not a method, or has trials of another form.
    """
    outside = [name for name in names if ":" in name]
    if not outside:
        return {}
    code = (
        "import json, sys; from dseh_tf.methods import find; "
        "print(json.dumps({name: getattr(find(name), 'trials', []) for name in sys.argv[1:]}))"
    )
    found = json.loads(_asked(code, *outside).splitlines()[-1])
    for name, trials in found.items():
        for trial in trials:
            if not isinstance(trial, dict):
                raise InputError(f"{name}.trials: found {trial!r}, expected settings by name, as {{'margin': 2.5}}")
    # JSON has no tuples.
    lists_as_tuples = {
        name: [
            {key: tuple(value) if isinstance(value, list) else value for key, value in trial.items()}
            for trial in trials
        ]
        for name, trials in found.items()
    }
    return {name: tuple(trials) for name, trials in lists_as_tuples.items()}


def check_runs(runs: Sequence[Sequence[str]]) -> list[str]:
    """What is in the way of these runs, each given by its flags: a line a problem. TensorFlow is loaded elsewhere."""
    if not runs:
        return []
    return asked_of_preflight("main", runs)


def resolved(runs: Sequence[Sequence[str]]) -> list[dict[str, Any] | str]:
    """The configurations that experiments.run makes from these flags; a text with the reason if it would refuse
    them."""
    return asked_of_preflight("resolve", runs)


def asked_of_preflight(function: str, runs: Sequence[Sequence[str]]) -> list:
    """What a function of `experiments.preflight` prints of these runs, in a separate process."""
    asked = _asked(
        f"from experiments import preflight; preflight.{function}()", given=json.dumps(list(map(list, runs)))
    )
    return json.loads(asked.splitlines()[-1])


def _asked(code: str, *arguments: str, given: str = "") -> str:
    """What a separate process prints, which may load TensorFlow. Raises InputError with the last line of its failure."""
    command = [sys.executable, "-c", code, *arguments]
    asked = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if asked.returncode:
        line = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        raise InputError(line.removeprefix("dseh_tf.errors.InputError: "))
    return asked.stdout


def read_by(dataset: str, given: Sequence[str]) -> list[str]:
    """The flags of experiments.run without those that other data sets read."""
    return [flag for flag in given if dataset in run_data.READ_BY.get(_name(flag), (dataset,))]


def _check_read(given: Sequence[str], datasets: Collection[str]) -> None:
    for flag in given:
        readers = run_data.READ_BY.get(_name(flag), tuple(datasets))
        if not set(readers) & set(datasets):
            raise InputError(
                f"--run_flag: found {flag!r}, which none of {', '.join(datasets)} reads, expected {readers[0]}"
            )


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]


def _expanded(flag: str) -> str:
    """NAME=VALUE with a path of the form ~/x expanded: the suite reads the lists and image folders too."""
    name, _, value = flag.partition("=")
    return f"{name}={program.given_path(value, f'--run_flag: {name}')}" if value.startswith("~") else flag


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    define_flags()
    program.run(main)
