"""The networks below a method's own layers: `compact`, CNN-F, those of `keras.applications`, and `.keras` files."""

from dseh_tf.models.backbones.backbone import Backbone, InferenceMode, freeze_before
from dseh_tf.models.backbones.build import MAX_IMAGE_SIZE, build_backbone

__all__ = ["MAX_IMAGE_SIZE", "Backbone", "InferenceMode", "build_backbone", "freeze_before"]
