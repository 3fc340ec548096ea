"""The encoder of a run as a single TensorFlow graph: from uint8 images to packed codes and logits, including
preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.encoding import RunEncoder
from dseh_tf.encoding.network import NetworkEncoder
from dseh_tf.encoding.shallow import ShallowEncoder
from dseh_tf.export import shallow_graph
from dseh_tf.export.model import image_shape
from dseh_tf.export.resizing import resized


class EncoderGraph(tf.Module):
    """The graph and its weights.

    Args:
        run: The encoder of a run.
        dtype: What shallow methods compute in, float64 or float32.
        rows_first: How `resized` resizes; None if the graph accepts images of the run's size only.

    Attributes:
        encode: The function of images uint8 [n, h, w, 3].
        image_shape: (height, width) of the images that the run's encoder reads.
        resizes: Whether images of other sizes are accepted.
        weight_bytes: Bytes of all weights.
    """

    def __init__(self, run: RunEncoder, dtype: tf.DType = tf.float64, rows_first: bool | None = None) -> None:
        super().__init__(name="encoder")
        self.image_shape, self.resizes = image_shape(run), rows_first is not None
        backbone = run.backbone() if run.trunk.kind == "features" else None
        own, height, width = run.encoder, *self.image_shape
        models = [] if backbone is None else [backbone.model]
        network = _logits_alone(own.network) if isinstance(own, NetworkEncoder) else None
        if network is not None:
            models.append(network)
        weights = [weight for model in models for weight in model.weights]
        # Only the variables are tracked: with Keras' own objects the SavedModel would hold all their functions too.
        self.held = [weight.value for weight in weights]
        self.weight_bytes = sum(np.dtype(weight.dtype).itemsize * int(np.prod(weight.shape)) for weight in weights)
        if isinstance(own, ShallowEncoder):
            arrays = [own.rows.mean, *(np.asarray(getattr(own, name)) for name in own.ARRAYS)]
            self.weight_bytes += sum(array.size * (dtype.size if array.dtype.kind == "f" else 4) for array in arrays)

        def logits(images: tf.Tensor) -> tf.Tensor:
            x = tf.cast(images, tf.float32)
            if backbone is not None:
                x = backbone.model(x, training=False)
            if network is not None:
                return network(x, training=False)
            assert isinstance(own, ShallowEncoder)
            if backbone is None:
                x = tf.reshape(x, (-1, height * width * 3)) / 255
            return shallow_graph.project(own, x, dtype)

        size = (None, None) if rows_first is not None else self.image_shape

        @tf.function(input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8, "images")], autograph=False)
        def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
            if rows_first is not None:
                images = resized(images, self.image_shape, rows_first)
            values = logits(images)
            return {"code": packed(values, run.bits), "logits": tf.cast(values, tf.float32)}

        self.encode: Any = encode

    def save(self, folder: Path) -> None:
        """Writes a SavedModel whose signature is `encode`, the default of TensorFlow Serving too."""
        concrete = self.encode.get_concrete_function()
        tf.saved_model.save(self, str(folder), {"encode": concrete, "serving_default": concrete})


def _logits_alone(network: keras.Model) -> keras.Model:
    """The network from its input to its output "logits": layers of its other outputs are left out."""
    names = sorted(network(keras.KerasTensor(network.input_shape)))  # the order in which Keras flattens a dict
    return keras.Model(network.inputs, network.outputs[names.index("logits")])


def packed(logits: tf.Tensor, bits: int) -> tf.Tensor:
    """uint8 [n, ceil(bits / 8)]: bit k is bit k % 8 of byte k // 8, the same order as in `dseh_tf.retrieval.pack`.

    Sums are of int32: ONNX Runtime has no sum of uint8.
    """
    width = -(-bits // 8)
    ones = tf.pad(tf.cast(logits >= 0, tf.int32), [[0, 0], [0, 8 * width - bits]])
    powers = tf.constant([1, 2, 4, 8, 16, 32, 64, 128], tf.int32)
    return tf.cast(tf.reduce_sum(tf.reshape(ones, (-1, width, 8)) * powers, axis=2), tf.uint8)
