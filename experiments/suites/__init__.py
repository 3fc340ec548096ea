"""The suites: one short file a table, each with a `SUITE` that lists its runs. No TensorFlow here.

A suite's docstring gives its source, the scores to expect and the exact command.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dseh_tf.data.catalog import DATASETS
from dseh_tf.errors import InputError

ABLATION_PREFIX = "dseh_"


@dataclass(frozen=True)
class SuiteRun:
    """One run: what it computes, and the flags of experiments.run that say so (workdir aside).

    trial: its number where it only tries settings (experiments.tune).
    """

    dataset: str
    method: str
    bits: int
    seed: int
    extra: tuple[str, ...] = ()
    trial: int | None = None

    @property
    def name(self) -> str:
        """Its folder's name under --runs."""
        name = re.sub("[:/]", "_", f"{self.dataset}-{self.method}-{self.bits}-{self.seed}")
        return name if self.trial is None else f"{name}-trial{self.trial}"

    @property
    def arguments(self) -> tuple[str, ...]:
        return (
            f"--dataset={self.dataset}", f"--method={self.method}", f"--bits={self.bits}", f"--seed={self.seed}",
            *self.extra,
        )  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """What a table needs where the command line does not say otherwise.

    methods: in the table's order. flags: what runs are given besides, by method, or by <data set>:<method>. every_method:
    the registry's other methods follow, DSEH's ablations aside.
    """

    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    bits: tuple[int, ...]
    seeds: tuple[int, ...]
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    every_method: bool = False

    def chosen_methods(self, registered: Sequence[str], asked: Sequence[str] = ()) -> tuple[str, ...]:
        """The methods to run, in the table's order: those asked for, or all of the suite's that are registered.

        Raises InputError on one that is not registered.
        """
        for name in asked:
            if name not in registered:
                known = ", ".join(registered)
                raise InputError(f"--methods: found {name!r}, expected one of {known}, or package.module:Class")
        others = [m for m in registered if self.every_method and not m.startswith(ABLATION_PREFIX)]
        wanted = asked or (*self.methods, *others)
        return tuple(dict.fromkeys(m for m in (*self.methods, *wanted) if m in wanted and m in registered))

    def runs(
        self,
        methods: Sequence[str],
        datasets: Sequence[str] = (),
        bits: Sequence[int] = (),
        seeds: Sequence[int] = (),
    ) -> list[SuiteRun]:
        """Every combination, data set by data set. Raises InputError on an unknown data set."""
        for name in datasets:
            if name not in DATASETS and not name.startswith("tfds:"):
                raise InputError(f"--datasets: found {name!r}, expected one of {', '.join(DATASETS)}, tfds:NAME")
        return [
            SuiteRun(
                dataset, method, length, seed, (*self.flags.get(method, ()), *self.flags.get(f"{dataset}:{method}", ()))
            )
            for dataset in datasets or self.datasets
            for method in methods
            for length in bits or self.bits
            for seed in seeds or self.seeds
        ]


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Suite:
    """The suite of that name. Raises InputError, with the list, where there is none."""
    if name not in names():
        raise InputError(f"--suite: found {name!r}, expected one of {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").SUITE
