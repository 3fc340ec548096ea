"""Code health, as stored in a run folder and as printed. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dseh_tf.retrieval.collapse import findings, warning
from dseh_tf.retrieval.health import CodeHealth

SECTIONS = ("labnet", "train", "train_text", "database", "database_text")


def record(health: Mapping[str, CodeHealth], advice: str = "") -> dict[str, Any]:
    """`code_health` of result.json: the numbers by section, and "warning", one line, if something is wrong.

    Sections: "labnet" of the codes of the distinct training label vectors, "train" of the codes of the training images,
    "database"; of cross-modal methods "train_text" and "database_text" too. A run has those that its method has.
    """
    found = [(name, findings(each, label_codes=name == "labnet")) for name, each in health.items()]
    line = warning(found, advice)
    return {name: each.record() for name, each in health.items()} | ({"warning": line} if line else {})


def lines(stored: Mapping[str, Any]) -> list[str]:
    """The sections of a record, a line each, and its warning last."""
    shown = [f"  health   {name}: {_line(stored[name])}" for name in SECTIONS if name in stored]
    return shown + ([f"  {stored['warning']}"] if "warning" in stored else [])


def _line(numbers: Mapping[str, Any]) -> str:
    parts = [f"{numbers['distinct_codes']:,} distinct codes for {numbers['label_vectors']:,} label vectors"]
    if "least_distance" in numbers:
        parts.append(
            f"distances: minimum {numbers['least_distance']}, nearest {numbers['nearest_distance']:.1f}, "
            f"mean {numbers['mean_distance']:.1f}"
        )
    parts.append(f"{numbers['constant_bits']} constant and {numbers['nearly_constant_bits']} nearly constant bits")
    parts.append(f"mean |bit| {numbers['mean_balance']:.2f}, worst {numbers['worst_balance']:.2f}")
    if "mean_correlation" in numbers:
        parts.append(f"mAC {numbers['mean_correlation']:.2f}")
    if "dead_units" in numbers:
        parts.append(f"{numbers['dead_units']} of {numbers['units']} units dead")
    return "; ".join(parts)
