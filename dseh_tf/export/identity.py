"""What identifies an encoder: codes of two encoders are comparable only where these fields agree. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dseh_tf.export import description
from dseh_tf.runs import read_config

FLOAT32 = "float32"  # the encoder's name where nothing was rounded; `about` leaves it out
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
