"""What identifies an encoder: codes are comparable only if these fields agree. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.export import description
from dseh_tf.runs import read_config

FLOAT32 = "float32"  # the encoder's name if nothing was rounded; `about` leaves it out
SAME = ("bits", "method", "dataset", "backbone", "seed", "identity")  # of a model and of codes that it is compared with
_KEPT = ("dataset", "method", "bits", "seed", "identity", "images")


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of config.json that identify the run's encoder, with the name of its backbone."""
    kept = {name: config[name] for name in _KEPT if name in config}
    backbone = {**config.get("features", {}), **config.get("trunk", {})}.get("backbone")
    return kept if backbone is None else {**kept, "backbone": backbone}


def about_model(folder: Path | str) -> dict[str, Any]:
    """`about` of a run folder or of an export; of an export also `encoder`, unless that is "float32".

    Raises:
        InputError: The folder is neither, or its `config.json` or `model.json` is damaged.
    """
    folder = Path(folder)
    if description.is_export(folder):
        return description.read(folder)["about"]
    return about(read_config(folder))


def check_same(model: Path | str, expected: Mapping[str, Any], where: str, allow_mixed: bool = False) -> str | None:
    """Checks that the codes of a model are comparable with stored codes.

    Args:
        model: An export or a run folder. It is not loaded.
        expected: `about` of the encoder that made the stored codes.
        where: Where the codes are stored, for the message.
        allow_mixed: Whether the two may be encoders of the same run in different precision, such as float32 and
            litert_int8.

    Returns:
        A line on the cost in MAP if the precisions differ; otherwise None.

    Raises:
        InputError: Another run; or a different precision without `allow_mixed`.
    """
    found = about_model(model)
    for field in SAME:
        if field in found and field in expected and found[field] != expected[field]:
            raise InputError(f"{model}: {field}: found {found[field]}, expected {expected[field]} as in {where}")
    own, other = found.get("encoder", FLOAT32), expected.get("encoder", FLOAT32)
    if own == other:
        return None
    if not allow_mixed:
        raise InputError(
            f"{model}: encoder: found {own}, expected {other} as in {where} (--allow_mixed searches with another encoder)"
        )
    line = f"{model} encodes by {own}, {where} holds codes by {other}"
    numbers = description.read(model)["check"].get("map") if own != FLOAT32 else None
    if not isinstance(numbers, dict):
        return line
    told = {name: numbers.get(name) for name in ("alone", "float32_database", "float32")}
    if not all(isinstance(value, float) for value in told.values()):
        return line
    return (
        f"{line}; MAP at its export: {told['alone']:.4f} alone, {told['float32_database']:.4f} with a database of float32 "
        f"codes, {told['float32']:.4f} float32 alone"
    )
