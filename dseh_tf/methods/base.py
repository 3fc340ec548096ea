"""What a hashing method is: settings, `fit` on a data set, and a fitted encoder."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.encoding.inputs import check_features, input_matrix
from dseh_tf.errors import InputError, brief, positive, whole
from dseh_tf.retrieval.health import CodeHealth

if TYPE_CHECKING:
    from dseh_tf.devices.runtime import Runtime


MAX_BITS = 65_536  # 8 KB a code; published codes have up to some thousand bits
MAX_INTEGER = 2**31 - 1  # of widths, batches and epochs; TensorFlow fails on larger sizes with errors of many kinds


@dataclass(frozen=True)
class NoSettings:
    """For a method without settings."""


class Fitted(abc.ABC):
    """A fitted method: turns the rows of any split into codes.

    database_codes: int8 ±1 [n_database, K] of asymmetric methods, which learn them directly; None elsewhere.
    train_seconds: what training took where the method knows better than the clock around `fit`: over several sessions.
    results: what the method adds to result.json. arrays: what it adds to the run folder, by file and array name.
    health: how well codes use their bits: "labnet" of a network of labels, "train" of the training images. advice: what
    to try when they have collapsed. encoder_file: the name that `save` is given in a run folder; empty for a method whose
    encoder cannot be saved, so that its runs cannot be queried.
    """

    database_codes: np.ndarray | None = None
    train_seconds: float | None = None
    advice: str = ""
    encoder_file: ClassVar[str] = ""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.results: dict[str, Any] = {}
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        self.health: dict[str, CodeHealth] = {}

    @abc.abstractmethod
    def encode(self, split: Split, modality: str = "image") -> np.ndarray:
        """int8 ±1 [n, K] of a split; the methods here also take an array of features [n, d] or images [n, h, w, 3].

        `modality="text"` is for cross-modal methods only.
        """

    def save(self, path: Path) -> None:
        """Writes the encoder to one file. Raises InputError where the method's encoder cannot be saved."""
        raise InputError(
            f"{path}: found {type(self).__name__}, whose encoder cannot be saved, expected one with a `save`"
        )


class Method(abc.ABC):
    """A method with its settings, before fitting: `METHODS["itq"](bits=32, seed=0).fit(dataset)`.

    Settings: a frozen dataclass; its fields are the keyword arguments of the constructor. LEAST, POSITIVE: of its numbers,
    as `check_numbers` has them.
    """

    name: ClassVar[str]
    Settings: ClassVar[type] = NoSettings
    LEAST: ClassVar[Mapping[str, float]] = {}
    POSITIVE: ClassVar[Sequence[str]] = ()
    # What the constructor takes besides settings: `trunk`; `preset_dataset`; that, `preset` and `phases`.
    trains_network: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False
    has_presets: ClassVar[bool] = False

    def __init__(self, bits: int, seed: int = 0, **settings: Any) -> None:
        known = {f.name for f in fields(self.Settings)}
        for name in settings:
            if name not in known:
                raise InputError(
                    f"{self.name}: found setting {name!r}, expected one of {', '.join(sorted(known)) or 'none'}"
                )
        self.bits = positive(bits, "bits")
        if self.bits > MAX_BITS:
            raise InputError(f"bits: found {bits}, expected at most {MAX_BITS:,}")
        self.seed = whole(seed, "seed", 0, 2**63 - 1)
        self.settings = self.Settings(**settings)
        check_numbers(self.settings, self.LEAST, positive=self.POSITIVE)

    @abc.abstractmethod
    def fit(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> Fitted:
        """Learns from `dataset.train` alone; query and database are read only to report, never to choose."""


def check_numbers(
    settings: Any, least: Mapping[str, float], shares: Sequence[str] = (), positive: Sequence[str] = ()
) -> None:
    """Raises InputError where a setting is of another type than its own, or a number is not what it can be.

    settings: a dataclass; a tuple is checked item by item. least: smallest value by name, 0 for those that are not named:
    no setting here is negative. shares: below 1. positive: not 0.
    """
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        _check_type(name, value, field.type if isinstance(field.type, str) else getattr(field.type, "__name__", ""))
        items = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(item, Real) for item in items):
            continue
        bound = least.get(name, 0)
        if not all(bound <= item < math.inf for item in items):
            raise InputError(f"{name}: found {value}, expected at least {bound}")
        if any(isinstance(item, int) and item > MAX_INTEGER for item in items):
            raise InputError(f"{name}: found {value}, expected at most {MAX_INTEGER:,}")
        if name in shares and value >= 1:
            raise InputError(f"{name}: found {value}, expected a share of at least 0 and below 1")
        if name in positive and value == 0:
            raise InputError(f"{name}: found {value}, expected a positive number")


def _check_type(name: str, value: Any, kind: str) -> None:
    """Raises InputError where the value is not of a type that is named "int", "float", "bool", "str" or "tuple[int, ...]"."""
    if kind == "int":
        whole(value, name)
    elif kind == "tuple[int, ...]":
        if not isinstance(value, tuple):
            raise InputError(f"{name}: found {brief(value)}, expected a tuple of whole numbers")
        for item in value:
            whole(item, name)
    elif kind == "float" and (not isinstance(value, Real) or isinstance(value, bool)):
        raise InputError(f"{name}: found {brief(value)}, expected a number")
    elif kind == "bool" and not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name}: found {brief(value)}, expected True or False")
    elif kind == "str" and not isinstance(value, str):
        raise InputError(f"{name}: found {brief(value)}, expected a string")


def training_split(dataset: RetrievalDataset) -> Split:
    """The training rows. Raises InputError on anything but a data set."""
    if not isinstance(dataset, RetrievalDataset):
        found = type(dataset).__name__
        raise InputError(
            f"dataset: found {found}, expected a RetrievalDataset (RetrievalDataset.from_arrays makes one)"
        )
    return dataset.train


__all__ = ["Fitted", "Method", "NoSettings", "check_features", "check_numbers", "input_matrix", "training_split"]
