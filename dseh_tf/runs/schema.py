"""The fields of `config.json` and `result.json` of a run folder, which are checked when the files are read.

Absent fields are not checked, because folders of earlier versions have fewer. Fields that are present must have the
right type, so that programs and figures that print them do not fail.

Formats of `config.json`, by its field `format`:

1. Folders written before the field existed. They have no `identity`.
2. `identity` is required: a digest of all fields that must be equal for a run to be resumed (`resolved`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.files import json_text, read_json

FORMAT = 2
KEYS = ("dataset", "method", "bits", "seed")
# The programs and the machine: recorded, and free to change when a run is resumed.
PROGRAMS = ("python", "versions", "git_commit", "machine")
# How or where a run is executed, not what it computes. `folder` was the path of an image folder in older versions.
FREE = (
    "format",
    "identity",
    "settings_origin",
    "strategy",
    "replicas",
    "lists_dir",
    "data_dir",
    "images",
    "folder",
    *PROGRAMS,
)
# Added to format 1 later: a run that does not record one of these cannot differ in it.
ADDED = ("trunk_files", "folder_files")
HEALTH_SECTIONS = ("labnet", "train", "train_text", "database", "database_text")

_HEALTH_NUMBERS = (
    "distinct_codes", "label_vectors", "constant_bits", "nearly_constant_bits", "mean_balance", "worst_balance",
)  # fmt: skip
# A field on the left is printed or drawn together with those on the right.
_TOGETHER = {
    "map_labels": ("map_labels_database", "distinct_label_codes", "distinct_label_vectors"),
    "map_unseen": ("n_database_unseen", "n_database"),
    "least_distance": ("nearest_distance", "mean_distance"),
    "dead_units": ("units",),
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_KINDS: dict[Callable[[Any], bool], str] = {
    _is_text: "a text",
    _is_whole: "a whole number",
    _is_count: "a whole number of at least 0",
    _is_number: "a number",
    _is_flag: "true or false",
    _is_object: "a JSON object",
    _is_texts: "a list of texts",
}

_CONFIG = {
    **dict.fromkeys(("dataset", "method", "preset", "phases", "method_class", "identity"), _is_text),
    **dict.fromkeys(("bits", "seed", "format"), _is_whole),
    "whole_database": _is_flag,
    **dict.fromkeys(
        ("settings", "settings_origin", "data", "images", "trunk", "features", "trunk_files", "versions", "machine"),
        _is_object,
    ),
}
_PLACES = ("data_dir", "lists_dir", "folder", "lists", "texts", "folder_files", "preset_dataset")  # text or null
_RESULT = {
    **dict.fromkeys(("dataset", "method", "preset", "map_labels_database"), _is_text),
    **dict.fromkeys(("bits", "seed"), _is_whole),
    **dict.fromkeys(
        ("n_train", "n_query", "n_database", "n_database_unseen", "queries_without_relevant", "distinct_label_codes",
         "distinct_label_vectors"),
        _is_count,
    ),
    **dict.fromkeys(("map", "map_stable_order", "map_labels", "map_unseen", "map_encoded_database"), _is_number),
    **dict.fromkeys(("map_at", "precision_at", "code_health", "directions"), _is_object),
    "class_names": _is_texts,
}  # fmt: skip


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration that must be equal for a run to be resumed: all but `FREE`."""
    return {name: value for name, value in config.items() if name not in FREE}


def identity(config: Mapping[str, Any]) -> str:
    """The digest of `resolved(config)`: 16 hexadecimal digits.

    It is computed from the values as JSON stores them, so that a configuration has the same identity before it is
    written and after it is read. The order of fields does not matter.
    """
    plain = json.loads(json_text(resolved(config), indent=None))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamped(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `config.json` of a configuration: `format` and `identity` first."""
    return {"format": FORMAT, "identity": identity(config), **config}


def read_config(folder: Path | str, needed: Iterable[str] = ()) -> dict[str, Any]:
    """The content of `config.json`, of any format up to `FORMAT`.

    Args:
        folder: The run folder.
        needed: Fields that the caller cannot do without.

    Raises:
        InputError: The file is missing or damaged, its format is newer than `FORMAT`, a field of `needed` is absent, a
            field is of a different kind, or the fields are not those that `identity` was made of.
    """
    path = Path(folder) / "config.json"
    config = read_json(path)
    _check_format(path, config.get("format", 1))
    _check(path, config, _CONFIG, needed)
    for name in _PLACES:
        if not isinstance(config.get(name), str | None):
            raise _error(path, name, config[name], "a text")
    texts = {"images": ("kind", "root"), "trunk": ("weights", "train_from"), "features": ("fingerprint", "backbone")}
    for section, names in texts.items():
        for name in names:
            if not isinstance(config.get(section, {}).get(name), str | None):
                raise _error(path, f"{section}.{name}", config[section][name], "a text")
    trunk = config.get("trunk", {})
    _check(
        path,
        trunk,
        {"backbone": _is_text, "image_size": _is_whole, "train": _is_flag, "mirror": _is_flag},
        within="trunk.",
    )
    scaling = trunk.get("scaling")
    if scaling is not None and not (isinstance(scaling, list) and len(scaling) == 2 and all(map(_is_number, scaling))):
        raise _error(path, "trunk.scaling", scaling, "two numbers")
    for name, value in (("bits", config.get("bits", 1)), ("trunk.image_size", trunk.get("image_size", 1))):
        if value < 1:
            raise _error(path, name, value, "a positive number")
    _check_identity(path, config)
    return config


def read_result(folder: Path | str, needed: Iterable[str] = ()) -> dict[str, Any]:
    """The content of `result.json`. Raises InputError if a field of `needed` is absent, or one is of a different kind."""
    path = Path(folder) / "result.json"
    result = read_json(path)
    _check(path, result, _RESULT, needed)
    for name, value in result.items():
        if name.endswith("_seconds") and not _is_number(value):
            raise _error(path, name, value, "a number")
    for name in ("map_at", "precision_at"):
        _check(path, result.get(name, {}), dict.fromkeys(result.get(name, {}), _is_number), within=f"{name}.")
    rankings = {f"directions.{name}": numbers for name, numbers in result.get("directions", {}).items()}
    if "random_order" in result:
        rankings["random_order"] = result["random_order"]
    for within, numbers in rankings.items():
        if not isinstance(numbers, dict) or not isinstance(numbers.get("map_at", {}), dict):
            raise _error(path, within, numbers, "a JSON object")
        _check(path, numbers, dict.fromkeys(("map", "map_stable_order"), _is_number), ("map",), f"{within}.")
        map_at = numbers.get("map_at", {})
        _check(path, map_at, dict.fromkeys(map_at, _is_number), within=f"{within}.map_at.")
    _check_together(path, result)
    _check_health(path, result.get("code_health", {}))
    return result


def read_map(folder: Path | str) -> float | None:
    """The MAP in `result.json`, and nothing else of it; None if it has none. Raises InputError if it is not a number."""
    path = Path(folder) / "result.json"
    result = read_json(path)
    _check(path, result, {"map": _is_number})
    return result.get("map")


def _check_format(path: Path, number: Any) -> None:
    if type(number) is not int or number < 1:
        raise _error(path, "format", number, "a positive whole number")
    if number > FORMAT:
        raise _error(path, "format", number, f"at most {FORMAT}; the folder was written by a newer version of dseh_tf")


def _check_identity(path: Path, config: Mapping[str, Any]) -> None:
    if "identity" not in config:
        if config.get("format", 1) > 1:
            raise _error(path, "identity", None, "a text")
        return
    try:
        expected = identity(config)
    except RecursionError:
        raise InputError(f"{path}: found values that are nested too deeply, expected a run's configuration") from None
    if config["identity"] != expected:
        raise _error(
            path, "identity", config["identity"], f"{expected!r}, the digest of the fields; the file was changed"
        )


def _check_health(path: Path, health: Mapping[str, Any]) -> None:
    if not isinstance(health.get("warning", ""), str):
        raise _error(path, "code_health.warning", health["warning"], "a text")
    for section in HEALTH_SECTIONS:
        numbers, within = health.get(section), f"code_health.{section}"
        if section not in health:
            continue
        if not isinstance(numbers, dict):
            raise _error(path, within, numbers, "a JSON object")
        kinds = {name: _is_number for name, value in numbers.items() if not isinstance(value, bool)}
        _check(path, numbers, kinds, _HEALTH_NUMBERS, f"{within}.")
        _check_together(path, numbers, f"{within}.")


def _check(
    path: Path,
    values: Mapping[str, Any],
    kinds: Mapping[str, Callable[[Any], bool]],
    needed: Iterable[str] = (),
    within: str = "",
) -> None:
    for name in needed:
        if name not in values:
            raise _error(path, within + name, None, _KINDS[kinds.get(name, _is_number)])
    for name, is_kind in kinds.items():
        if name in values and not is_kind(values[name]):
            raise _error(path, within + name, values[name], _KINDS[is_kind])


def _check_together(path: Path, values: Mapping[str, Any], within: str = "") -> None:
    for name, others in _TOGETHER.items():
        for other in others:
            if name in values and other not in values:
                raise _error(path, within + other, None, f"a value beside {name}")


def _error(path: Path, field: str, found: Any, expected: str) -> InputError:
    told = repr(found)
    return InputError(f"{path}: {field}: found {told[:80]}{'...' if len(told) > 80 else ''}, expected {expected}")
