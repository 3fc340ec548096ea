"""The options of a suite's runs, as typed fields that are checked before any run starts. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

from dseh_tf.errors import InputError, brief

PRESETS = ("release", "paper", "modern")
PRESET_DATASETS = ("nus_wide", "imagenet", "ms_coco")
PHASES = ("all", "labnet")

_SKIPPED_IN_TEXT = ("preset", "phases", "lists_dir", "features", "validation", "whole_database", "settings")


@dataclass(frozen=True)
class Options:
    """Options of `experiments.run` other than data set, method, bits and seed. None stands for the default.

    Attributes:
        preset: DSEH's or SSAH's preset, one of `PRESETS`.
        preset_dataset: The row of published settings, one of `PRESET_DATASETS`.
        phases: "all", or "labnet" for the label side of DSEH alone.
        rounds: DSEH's rounds of alternation.
        labnet_epochs: LabNet's epochs in every round.
        imgnet_epochs: ImgNet's epochs in every round.
        lists_dir: Folder of image lists. The suites of this repository leave it to `--run_flag`.
        features: Folder that `experiments.extract_features` wrote; as `lists_dir`.
        validation: Fraction of the training rows that serve as queries.
        whole_database: Whether all database rows are training rows.
        settings: Values of the method's `Settings` by name, in their own types.
    """

    preset: str | None = None
    preset_dataset: str | None = None
    phases: str | None = None
    rounds: int | None = None
    labnet_epochs: int | None = None
    imgnet_epochs: int | None = None
    lists_dir: str | None = None
    features: str | None = None
    validation: float | None = None
    whole_database: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise InputError(f"settings: found {brief(self.settings)}, expected values by name")

    def flags(self) -> tuple[str, ...]:
        """The flags of `experiments.run` that say the same."""
        given = [f"--{name}={value}" for name, value in self._given().items()]
        return (*given, *setting_flags(setting_texts(self.settings)))

    def text(self) -> str:
        """What changes the numbers, as `name=value` separated by blanks; preset, phases and places are recorded
        elsewhere."""
        told = [f"{name}={value}" for name, value in self._given().items() if name not in _SKIPPED_IN_TEXT]
        return " ".join([*told, *(item.replace(" ", "") for item in setting_texts(self.settings))])

    def updated(self, other: Options) -> Options:
        """These options with those that `other` gives in their place."""
        return replace(self, **other._given(), settings={**self.settings, **other.settings})

    def check(self, where: str, types: Mapping[str, str]) -> None:
        """Checks every value.

        Args:
            where: The file and the row, for the message.
            types: The types of the method's settings by name (see `types_of`).

        Raises:
            InputError: On an unknown setting, or a value of a different type than its field's.
        """
        for name, expected in _FIELDS.items():
            value = getattr(self, name)
            if value is not None and not _is(value, *expected):
                shown = f"one of {', '.join(expected)}" if len(expected) > 1 else _KINDS[expected[0]]
                raise InputError(f"{where}: {name}: found {brief(value)}, expected {shown}")
        for name, value in self.settings.items():
            if name not in types:
                known = ", ".join(sorted(types)) or "none"
                raise InputError(f"{where}: settings: found {name!r}, expected one of {known}")
            if not _is(value, types[name]):
                raise InputError(f"{where}: settings.{name}: found {brief(value)}, expected {_KINDS[types[name]]}")

    def _given(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        return {name: value for name, value in values.items() if value is not None}


# The type of a field, or the values that it can have.
_FIELDS: dict[str, tuple[str, ...]] = {
    "preset": PRESETS,
    "preset_dataset": PRESET_DATASETS,
    "phases": PHASES,
    **dict.fromkeys(("rounds", "labnet_epochs", "imgnet_epochs"), ("int",)),
    **dict.fromkeys(("lists_dir", "features"), ("str",)),
    "validation": ("float",),
    "whole_database": ("bool",),
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "True or False",
    "tuple[int, ...]": "a tuple of whole numbers",
}


def _is(value: Any, *expected: str) -> bool:
    """Whether the value has the type of that name, or, of several names, is one of them. Other types are not checked."""
    if len(expected) > 1:
        return value in expected
    kind = expected[0]
    if kind == "int":
        return type(value) is int
    if kind == "float":
        return isinstance(value, Real) and not isinstance(value, bool)
    if kind in ("str", "bool"):
        return type(value).__name__ == kind
    if kind == "tuple[int, ...]":
        return isinstance(value, tuple) and all(type(item) is int for item in value)
    return True


def types_of(settings: type) -> dict[str, str]:
    """The types of a `Settings` dataclass by field, as text, in the form in which another process gets them."""
    return {
        each.name: each.type if isinstance(each.type, str) else getattr(each.type, "__name__", str(each.type))
        for each in fields(settings)
    }


def setting_texts(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `name=value`, in the form that `--set` reads."""
    return [f"{name}={value}" for name, value in settings.items()]


def setting_flags(texts: list[str]) -> list[str]:
    """`name=value` as flags of experiments.run."""
    return [f"--set={item}" for item in texts]
