"""Resolves the settings of a method once, before training, and records the source of every value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Generic, TypeVar

import numpy as np

from dseh_tf.errors import InputError, brief, whole

MAX_INTEGER = 2**31 - 1  # of widths, batches and epochs; TensorFlow fails on larger sizes with errors of many kinds
GIVEN = "given"

S = TypeVar("S")


@dataclass(frozen=True)
class Layer:
    """Changes of settings, and their source.

    Attributes:
        source: The source of the changes, as recorded in config.json, for example "trunk: features".
        changes: New values by name, or a function from the settings so far to them.
    """

    source: str
    changes: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """Resolved settings.

    Attributes:
        settings: A frozen dataclass.
        origin: The source of every value, by name of the setting.
    """

    settings: S
    origin: Mapping[str, str]


def resolve(start: S, source: str, layers: Iterable[Layer]) -> Resolved[S]:
    """The settings after all layers; later layers override earlier ones.

    Args:
        start: The settings to start from, a frozen dataclass.
        source: The source of `start`.
        layers: The layers, in order.
    """
    settings: Any = start
    origin = {field.name: source for field in fields(settings)}
    for layer in layers:
        changes = layer.changes(settings) if callable(layer.changes) else layer.changes
        settings = replace(settings, **changes)
        origin.update(dict.fromkeys(changes, layer.source))
    return Resolved(settings, origin)


def check_names(method: str, kind: type, given: Iterable[str]) -> None:
    """Raises InputError if a given name is not a setting of `kind`, a dataclass."""
    known = sorted(field.name for field in fields(kind))
    for name in given:
        if name not in known:
            raise InputError(f"{method}: found setting {name!r}, expected one of {', '.join(known) or 'none'}")


def check_choices(settings: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Raises InputError if a setting is not one of its choices."""
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"{name}: found {getattr(settings, name)!r}, expected one of {', '.join(allowed)}")


def check_numbers(
    settings: Any, least: Mapping[str, float], shares: Sequence[str] = (), positive: Sequence[str] = ()
) -> None:
    """Raises InputError if a setting has a different type than its field, or a number is out of its range.

    Args:
        settings: A dataclass. A tuple is checked item by item.
        least: Smallest value by name; 0 for settings that are not named (no setting is negative).
        shares: Settings that are below 1.
        positive: Settings that are not 0.
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
            raise InputError(f"{name}: found {value}, expected a fraction of at least 0 and below 1")
        if name in positive and value == 0:
            raise InputError(f"{name}: found {value}, expected a positive number")


def _check_type(name: str, value: Any, kind: str) -> None:
    """Raises InputError if the value is not of a type that is named "int", "float", "bool", "str" or "tuple[int, ...]"."""
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
