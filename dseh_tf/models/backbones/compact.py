"""`compact`, a small network that is trained from scratch."""

from __future__ import annotations

import keras

from dseh_tf.errors import InputError
from dseh_tf.models.backbones.backbone import Backbone
from dseh_tf.seeding import layer_seed


def compact(image_size: int, seed: int = 0) -> Backbone:
    """Six 3x3 convolutions for small images, trained from scratch; [b, size, size, 3] to [b, 128].

    Each with batch statistics over all replicas; the first, third and fifth are followed by a 2x2 maximum, the last
    maps are averaged. Weights start as He proposed.
    """
    if image_size < 8:
        raise InputError(
            f"image_size: found {image_size}, expected at least 8 for compact, which halves it three times"
        )
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for index, filters in enumerate((16, 32, 32, 64, 64, 128), start=1):
        init = keras.initializers.HeNormal(layer_seed(seed, f"compact/conv{index}"))
        x = keras.layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=init, name=f"conv{index}"
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name=f"norm{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
        if index % 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return Backbone("compact", keras.Model(inputs, x, name="compact"), image_size, pretrained=False, trained=True)
