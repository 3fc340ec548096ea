"""Exports trained encoders for other runtimes: SavedModel, ONNX and LiteRT. TensorFlow is imported when it is needed.

from dseh_tf.export import open_model
model = open_model("exports/x")  # or a run folder
codes = model.encode(["a.jpg", array])  # packed uint8 [2, ceil(bits / 8)]
"""

from typing import TYPE_CHECKING, Any

from dseh_tf.export.identity import about, about_model, check_same

if TYPE_CHECKING:
    from dseh_tf.export.exporting import export_run
    from dseh_tf.export.model import Model, open_model
    from dseh_tf.export.verification import verify

__all__ = ["Model", "about", "about_model", "check_same", "export_run", "open_model", "verify"]

_WHERE = {"Model": "model", "open_model": "model", "verify": "verification", "export_run": "exporting"}


def __getattr__(name: str) -> Any:
    """These names when they are first asked for, so that comparing an index with a model imports little."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dseh_tf.export.{_WHERE[name]}"), name)
