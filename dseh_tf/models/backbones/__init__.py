"""Backbones: `compact`, CNN-F, networks of `keras.applications`, and `.keras` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dseh_tf.models.backbones.backbone import Backbone, InferenceMode, freeze_before
    from dseh_tf.models.backbones.build import MAX_IMAGE_SIZE, build_backbone

__all__ = ["MAX_IMAGE_SIZE", "Backbone", "InferenceMode", "build_backbone", "freeze_before"]


def __getattr__(name: str) -> Any:
    """These names when they are first asked for: the child that reads a `.mat` file starts without TensorFlow."""
    if name in ("MAX_IMAGE_SIZE", "build_backbone"):
        from dseh_tf.models.backbones import build

        return getattr(build, name)
    if name in __all__:
        from dseh_tf.models.backbones import backbone

        return getattr(backbone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
