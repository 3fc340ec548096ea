"""Networks of `keras.applications` as backbones, each with the input scaling that it was trained with."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import keras
import tensorflow as tf

from dseh_tf.errors import InputError
from dseh_tf.models.backbones.backbone import Backbone, InferenceMode
from dseh_tf.models.backbones.keras_file import check_numbers
from dseh_tf.retrieval.codes import naming

# name: (module of its preprocess_input, class), both in keras.applications
APPLICATIONS: dict[str, tuple[str, str]] = {
    "convnext_tiny": ("convnext", "ConvNeXtTiny"),
    "convnext_small": ("convnext", "ConvNeXtSmall"),
    "convnext_base": ("convnext", "ConvNeXtBase"),
    "densenet121": ("densenet", "DenseNet121"),
    "efficientnet_v2_b0": ("efficientnet_v2", "EfficientNetV2B0"),
    "efficientnet_v2_b3": ("efficientnet_v2", "EfficientNetV2B3"),
    "efficientnet_v2_s": ("efficientnet_v2", "EfficientNetV2S"),
    "efficientnet_v2_m": ("efficientnet_v2", "EfficientNetV2M"),
    "mobilenet_v2": ("mobilenet_v2", "MobileNetV2"),
    "mobilenet_v3_large": ("mobilenet_v3", "MobileNetV3Large"),
    "resnet50": ("resnet", "ResNet50"),
    "resnet101": ("resnet", "ResNet101"),
    "resnet152": ("resnet", "ResNet152"),
    "resnet50_v2": ("resnet_v2", "ResNet50V2"),
    "vgg16": ("vgg16", "VGG16"),
    "vgg19": ("vgg19", "VGG19"),
}


def application(name: str, image_size: int, train: bool = False, seed: int = 0, weights: str | None = None) -> Backbone:
    """The network `name` of `APPLICATIONS` without its classifier, its last maps averaged.

    RGB 0..255 of [b, image_size, image_size, 3] to [b, dim]; its own `preprocess_input` is included. weights:
    "imagenet" (the default: Keras downloads them, once), the path of a weights file of this network, or "random" (from
    `seed`). It always runs in inference mode, fine-tuned or not (see `InferenceMode`). Raises InputError for weights
    that cannot be downloaded or read, and for images smaller than the network takes.
    """
    weights = weights or "imagenet"
    network = _network(name, image_size, seed, weights)
    if weights not in ("imagenet", "random"):
        _load_weights(network, name, Path(weights))
    network.trainable = train
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = Preprocessing(name, name="preprocessing", dtype="float32")(inputs)
    x = InferenceMode(network, name="network")(x)
    return Backbone(name, keras.Model(inputs, x, name="trunk"), image_size, pretrained=True, trained=train)


def _network(name: str, image_size: int, seed: int, weights: str) -> keras.Model:
    """The network with ImageNet's weights, or with initial ones that `seed` alone decides."""
    module, constructor = APPLICATIONS[name]
    # EfficientNetV2 looks its blocks up by the model's name.
    named = {} if module == "efficientnet_v2" else {"name": name}
    download = weights == "imagenet"
    # Initializers without a seed, as Keras's networks have them, draw theirs from Python's generator.
    before = random.getstate()
    random.seed(seed)
    try:
        return getattr(keras.applications, constructor)(
            include_top=False,
            weights="imagenet" if download else None,
            input_shape=(image_size, image_size, 3),
            pooling="avg",
            **named,
        )
    except Exception as error:  # Keras reports a failed download as a plain Exception
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        if "Input size must be" in reason:
            raise InputError(f"image_size: found {image_size}, too small for {name}: {reason}") from error
        if not download:
            raise
        raise InputError(
            f"backbone_weights: {name}: found no ImageNet weights ({reason}), expected a download by Keras to succeed, "
            "or the path of a weights file, or random"
        ) from error
    finally:
        random.setstate(before)


def _load_weights(network: keras.Model, name: str, path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"backbone_weights: {path}: found no such file, expected imagenet, random or weights of {name}"
        )
    try:
        network.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras each have their own for a file that does not fit
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"backbone_weights: {path}: found no weights of {name} without its classifier ({reason}), "
            "expected a .weights.h5 or .h5 file as Keras saves it"
        ) from error
    with naming(f"backbone_weights: {path}"):
        check_numbers(network)


def _module(name: str) -> ModuleType:
    return getattr(keras.applications, APPLICATIONS[name][0])


@keras.saving.register_keras_serializable("dseh_tf")
class Preprocessing(keras.layers.Layer):
    """`preprocess_input` of the network called `network`, for RGB 0..255 of [b, h, w, 3]."""

    def __init__(self, network: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return _module(self.network).preprocess_input(x)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "network": self.network}
