"""The suites: one short file per table, each with a `SUITE` that lists its runs. Does not import TensorFlow.

A suite's docstring gives its source, the scores to expect, the time and the exact command.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dseh_tf.data.catalog import DATASETS
from dseh_tf.errors import InputError
from experiments.suite_options import Options

ABLATION_PREFIX = "dseh_"
CROSS_MODAL = ("djsrh", "ssah")  # methods that need texts


@dataclass(frozen=True)
class SuiteRun:
    """One run: everything that it computes, except for the places of the data.

    Attributes:
        options: Its other options.
        row: The name of its row in the suite; empty for the method's own.
        trial: Its number, if it only tries settings (`experiments.tune`).
    """

    dataset: str
    method: str
    bits: int
    seed: int
    options: Options = field(default_factory=Options, hash=False)
    row: str = ""
    trial: int | None = None

    @property
    def label(self) -> str:
        """The name of its row."""
        return self.row or self.method

    @property
    def name(self) -> str:
        """The name of its folder under --runs."""
        name = re.sub("[:/]", "_", f"{self.dataset}-{self.label}-{self.bits}-{self.seed}")
        return name if self.trial is None else f"{name}-trial{self.trial}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The flags of experiments.run, `--workdir` aside."""
        identity = {"dataset": self.dataset, "method": self.method, "bits": self.bits, "seed": self.seed}
        return (*(f"--{name}={value}" for name, value in identity.items()), *self.options.flags())


@dataclass(frozen=True)
class Row:
    """A row of a suite's table: a method with its options, at every code length and seed.

    Attributes:
        options: What its runs are given.
        name: In folder names and for `--methods`. Default: the method's. A suite may have a method in several rows.
        bits: Its code lengths. Default: the suite's.
        seeds: Its seeds. Default: the suite's.
        on: Additional options of its runs on a data set, by the data set's name.
    """

    method: str
    options: Options = field(default_factory=Options)
    name: str = ""
    bits: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    on: Mapping[str, Options] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """Its name, or the method's."""
        return self.name or self.method


@dataclass(frozen=True)
class Suite:
    """What a table needs if the command line does not say otherwise.

    Attributes:
        datasets: Names in `dseh_tf.data.catalog`.
        methods: The table's rows, in order; a name stands for that method with its defaults.
        bits: Code lengths.
        seeds: Seeds.
        options: What all runs are given.
        lists: The image lists that its table is about: their digest, as config.json records it, and the name that the table
            has for them. `experiments.collect` takes runs on these lists only.
        every_method: Whether the registry's other methods follow, DSEH's ablations and cross-modal methods aside.
    """

    datasets: tuple[str, ...]
    methods: tuple[str | Row, ...]
    bits: tuple[int, ...]
    seeds: tuple[int, ...]
    options: Options = field(default_factory=Options)
    lists: Mapping[str, str] = field(default_factory=dict, hash=False)
    every_method: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """`methods`, each as a `Row`."""
        return tuple(Row(item) if isinstance(item, str) else item for item in self.methods)

    def check(self, name: str, registry: Mapping[str, Mapping[str, str]]) -> None:
        """Checks the whole suite, whatever part of it is run.

        Args:
            name: The suite's name, for the message.
            registry: The types of settings by name, for each method.

        Raises:
            InputError: On an unknown data set or method, two rows of one name, or an option or setting that is unknown
                or of a different type.
        """
        where = f"experiments/suites/{name}.py"
        _check_datasets(f"{where}: datasets", self.datasets)
        for field_, numbers, least in (("bits", self.bits, 1), ("seeds", self.seeds, 0)):
            _check_numbers(f"{where}: {field_}", numbers, least)
        seen: set[str] = set()
        for row in self.rows:
            if row.method not in registry:
                known = ", ".join(registry)
                raise InputError(f"{where}: methods: found {row.method!r}, expected one of {known}")
            if row.label in seen:
                raise InputError(f"{where}: methods: found {row.label!r} twice, expected rows with different names")
            seen.add(row.label)
            _check_numbers(f"{where}: {row.label}: bits", row.bits, 1)
            _check_numbers(f"{where}: {row.label}: seeds", row.seeds, 0)
            _check_datasets(f"{where}: {row.label}: on", tuple(row.on))
            for dataset in (None, *row.on):
                self.options_of(row, dataset).check(f"{where}: {row.label}", registry[row.method])

    def options_of(self, row: Row, dataset: str | None = None) -> Options:
        """What a row's runs on the data set are given."""
        here = row.on.get(dataset, Options()) if dataset else Options()
        return self.options.updated(row.options).updated(here)

    def chosen_rows(self, registered: Sequence[str], asked: Sequence[str] = ()) -> tuple[Row, ...]:
        """The rows to run, in the table's order.

        Args:
            registered: The names of methods that exist.
            asked: Names of rows or methods; all rows if it is empty.

        Raises:
            InputError: On a name that is neither a row nor a registered method.
        """
        rows = {row.label: row for row in self.rows}
        for name in asked:
            if name not in rows and name not in registered:
                known = ", ".join(dict.fromkeys((*registered, *rows)))
                raise InputError(f"--methods: found {name!r}, expected one of {known}, or package.module:Class")
        named = {row.method for row in self.rows}
        others = [
            method
            for method in registered
            if self.every_method
            and method not in named
            and method not in CROSS_MODAL
            and not method.startswith(ABLATION_PREFIX)
        ]
        wanted = asked or (*rows, *others)
        return tuple(rows.get(name) or Row(name) for name in dict.fromkeys((*rows, *wanted)) if name in wanted)

    def runs(
        self,
        rows: Sequence[Row],
        datasets: Sequence[str] = (),
        bits: Sequence[int] = (),
        seeds: Sequence[int] = (),
    ) -> list[SuiteRun]:
        """Every combination, data set by data set. Raises InputError on an unknown data set."""
        _check_datasets("--datasets", datasets)
        return [
            SuiteRun(dataset, row.method, length, seed, self.options_of(row, dataset), row.name)
            for dataset in datasets or self.datasets
            for row in rows
            for length in bits or row.bits or self.bits
            for seed in seeds or row.seeds or self.seeds
        ]


def _check_datasets(where: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in DATASETS and not name.startswith("tfds:"):
            raise InputError(f"{where}: found {name!r}, expected one of {', '.join(DATASETS)}, tfds:NAME")


def _check_numbers(where: str, numbers: Sequence[int], least: int) -> None:
    for number in numbers:
        if type(number) is not int or number < least:
            raise InputError(f"{where}: found {number!r}, expected whole numbers from {least} up")


def names() -> list[str]:
    """The suites' names, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Suite:
    """The suite of that name. Raises InputError if there is none, or if its file is not one."""
    if name not in names():
        raise InputError(f"--suite: found {name!r}, expected one of {', '.join(names())}")
    where = f"experiments/suites/{name}.py"
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except TypeError as error:  # as in Options(no_such_field=3)
        raise InputError(f"{where}: {error}, expected the fields of Suite, Row and Options") from error
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise InputError(f"{where}: SUITE: found {type(suite).__name__}, expected a Suite")
    return suite
