"""Encoding of images and features: saving and loading encoders, the encoder of a run, and folders of codes.

TensorFlow is imported when it is needed.
"""

from typing import TYPE_CHECKING, Any

from dseh_tf.encoding.run_encoder import RunEncoder, load_encoder, load_run

if TYPE_CHECKING:
    from dseh_tf.encoding.codes_folder import open_codes
    from dseh_tf.encoding.folders import encode_folder
    from dseh_tf.encoding.image_names import image_files

__all__ = ["RunEncoder", "encode_folder", "image_files", "load_encoder", "load_run", "open_codes"]

_WHERE = {"encode_folder": "folders", "image_files": "image_names", "open_codes": "codes_folder"}


def __getattr__(name: str) -> Any:
    """These names when they are first asked for: an encoder needs no Parquet."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dseh_tf.encoding.{_WHERE[name]}"), name)
