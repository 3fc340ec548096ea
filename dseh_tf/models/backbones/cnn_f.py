"""CNN-F, the network of the paper (Chatfield et al., "Return of the Devil in the Details", BMVC 2014), up to relu7.

Its weights come from MatConvNet's `imagenet-vgg-f.mat`; geometry, pads and normalisation as in that file and in
lelan-li/DSEH:net_vggf.py:VggF.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dseh_tf.errors import InputError
from dseh_tf.models.backbones.backbone import Backbone
from dseh_tf.models.backbones.matconvnet import Conv, Layer, MaxPool, Network, Norm, Relu, read_network
from dseh_tf.models.layers import GlobalDropout, LocalResponseNormalization
from dseh_tf.seeding import default_generator

_ORDER: dict[str, type] = {
    "conv1": Conv, "relu1": Relu, "norm1": Norm, "pool1": MaxPool,
    "conv2": Conv, "relu2": Relu, "norm2": Norm, "pool2": MaxPool,
    "conv3": Conv, "relu3": Relu, "conv4": Conv, "relu4": Relu, "conv5": Conv, "relu5": Relu, "pool5": MaxPool,
    "fc6": Conv, "relu6": Relu, "fc7": Conv, "relu7": Relu,
}  # fmt: skip
_DROPOUT_SALTS = {"relu6": 6, "relu7": 7}


def cnn_f(
    weights: str | None, image_size: int = 224, train: bool = False, seed: int = 0, dropout: float = 0.5
) -> Backbone:
    """CNN-F: RGB 0..255 of [b, image_size, image_size, 3] to the 4,096 activations of relu7.

    weights: the path of `imagenet-vgg-f.mat`, whose shapes are taken as they are; or "random" (He's, from `seed`). The
    mean image is subtracted inside. dropout: dropout rate after relu6 and relu7 while training. Raises
    InputError without weights, for a file that does not fit, and for an image size that leaves fc6 another map than its
    filters cover.
    """
    if weights is None:
        raise InputError(
            "backbone_weights: found none for cnn_f, expected the path of imagenet-vgg-f.mat (model `imagenet-vgg-f` on "
            "the page of pretrained models of the MatConvNet project), or random"
        )
    network = random_network(seed) if weights == "random" else read_network(Path(weights))
    model = build(network, weights, image_size, dropout)
    model.trainable = train
    return Backbone("cnn_f", model, image_size, True, train, has_dropout=True, mean=network.mean)


def build(network: Network, source: str, image_size: int, dropout: float = 0.5) -> keras.Model:
    """The Keras model of `network`'s layers up to relu7, with its weights; source: the file's name, for errors."""
    layers = _chain(network, source)
    if network.mean.shape[:2] not in ((1, 1), (image_size, image_size)):
        height, width = network.mean.shape[:2]
        raise InputError(
            f"{source}: normalization.averageImage: found {height} x {width}, expected image_size, {image_size} x {image_size}"
        )
    x = inputs = keras.Input((image_size, image_size, 3), name="pixels")
    subtract = SubtractMean(network.mean.shape, name="mean", dtype="float32")
    x = subtract(x)
    subtract.mean.assign(network.mean)
    for layer in layers:
        match layer:
            case Conv():
                x = _connect(layer, x, source, image_size)
            case Relu():
                x = keras.layers.ReLU(name=layer.name)(x)
                if layer.name in _DROPOUT_SALTS:
                    salt = _DROPOUT_SALTS[layer.name]
                    x = GlobalDropout(dropout, salt=salt, name=f"dropout{salt}")(x)
            case Norm():
                radius = (layer.size - 1) // 2
                x = LocalResponseNormalization(radius, layer.kappa, layer.alpha, layer.beta, name=layer.name)(x)
            case MaxPool():
                # MatConvNet pads a maximum with -inf. Zeros do the same here: what is pooled has passed a ReLU, and
                # every window holds at least one real value, none of them below zero.
                _check_fits(layer.name, layer.size, layer.pad, x, source, image_size)
                x = keras.layers.MaxPooling2D(layer.size, layer.stride, name=layer.name)(_padded(layer, x))
    return keras.Model(inputs, x, name="cnn_f")


def _connect(layer: Conv, x: keras.KerasTensor, source: str, image_size: int) -> keras.KerasTensor:
    """A convolution, or for fc6 and fc7, whose filters cover the whole map, the same sums as one matrix product."""
    channels = layer.kernel.shape[2]
    if channels != x.shape[-1]:
        raise InputError(f"{source}: {layer.name}.filters: found {channels} input channels, expected {x.shape[-1]}")
    size = layer.kernel.shape[:2]
    if layer.name.startswith("fc"):
        maps = tuple(x.shape[1:3]) if len(x.shape) == 4 else (1, 1)
        if size != maps or any(layer.pad):
            raise InputError(
                f"{source}: {layer.name}.filters: found {size[0]} x {size[1]} on maps of {maps[0]} x {maps[1]} from "
                f"image_size {image_size}, expected filters that cover the map (image_size 224 for imagenet-vgg-f.mat)"
            )
        # On a CPU the gradient of a 6x6 convolution to 1x1 took 25 times as long as that of the matrix product.
        if len(x.shape) == 4:
            x = keras.layers.Flatten(name=f"{layer.name}_in")(x)
        dense = keras.layers.Dense(layer.kernel.shape[3], kernel_initializer="zeros", name=layer.name)
        x = dense(x)
        dense.kernel.assign(layer.kernel.reshape(-1, layer.kernel.shape[3]))
        dense.bias.assign(layer.bias)
        return x
    _check_fits(layer.name, size, layer.pad, x, source, image_size)
    conv = keras.layers.Conv2D(
        layer.kernel.shape[3], size, layer.stride, padding="valid", kernel_initializer="zeros", name=layer.name
    )
    x = conv(_padded(layer, x))
    conv.kernel.assign(layer.kernel)
    conv.bias.assign(layer.bias)
    return x


def _padded(layer: Conv | MaxPool, x: keras.KerasTensor) -> keras.KerasTensor:
    top, bottom, left, right = layer.pad
    if not any(layer.pad):
        return x
    return keras.layers.ZeroPadding2D(((top, bottom), (left, right)), name=f"{layer.name}_pad")(x)


def _check_fits(
    name: str, size: tuple[int, int], pad: tuple[int, ...], x: keras.KerasTensor, source: str, image_size: int
) -> None:
    height, width = x.shape[1] + pad[0] + pad[1], x.shape[2] + pad[2] + pad[3]
    if height < size[0] or width < size[1]:
        raise InputError(
            f"{source}: {name}: found {size[0]} x {size[1]} windows on maps of {height} x {width} from image_size "
            f"{image_size}, expected a larger image_size (224 for imagenet-vgg-f.mat)"
        )


def _chain(network: Network, source: str) -> list[Layer]:
    """The layers up to relu7, which have to be CNN-F's in their order."""
    found = network.layers[: len(_ORDER)]
    for index, (name, kind) in enumerate(_ORDER.items()):
        if index >= len(found):
            raise InputError(f"{source}: layers: found {len(found)} of them, expected {name} as number {index + 1}")
        if found[index].name != name or not isinstance(found[index], kind):
            raise InputError(
                f"{source}: layers{{{index + 1}}}: found {type(found[index]).__name__} {found[index].name!r}, "
                f"expected {kind.__name__} {name!r} as CNN-F has it"
            )
    return list(found)


def random_network(seed: int = 0) -> Network:
    """CNN-F's layers with weights as He proposed and ImageNet's mean colour: for tests and for measuring speed."""
    rng = default_generator(seed)

    def conv(name: str, size: int, inputs: int, filters: int, stride: int = 1, pad: int = 0) -> Conv:
        kernel = rng.standard_normal((size, size, inputs, filters), np.float32)
        kernel *= np.float32(np.sqrt(2 / (size * size * inputs)))
        return Conv(name, kernel, np.zeros(filters, np.float32), (stride, stride), (pad,) * 4)

    def norm(name: str) -> Norm:
        return Norm(name, size=5, kappa=2.0, alpha=1e-4, beta=0.75)

    def pool(name: str, pad: int = 0) -> MaxPool:
        return MaxPool(name, (3, 3), (2, 2), (0, pad, 0, pad))

    layers = (
        conv("conv1", 11, 3, 64, stride=4), Relu("relu1"), norm("norm1"), pool("pool1", pad=1),
        conv("conv2", 5, 64, 256, pad=2), Relu("relu2"), norm("norm2"), pool("pool2"),
        conv("conv3", 3, 256, 256, pad=1), Relu("relu3"),
        conv("conv4", 3, 256, 256, pad=1), Relu("relu4"),
        conv("conv5", 3, 256, 256, pad=1), Relu("relu5"), pool("pool5"),
        conv("fc6", 6, 256, 4096), Relu("relu6"), conv("fc7", 1, 4096, 4096), Relu("relu7"),
    )  # fmt: skip
    return Network(layers, np.array([[[123.68, 116.779, 103.939]]], np.float32))


@keras.saving.register_keras_serializable("dseh_tf")
class SubtractMean(keras.layers.Layer):
    """Subtracts a mean image, a weight that is not trained: [h, w, 3] or [1, 1, 3]."""

    def __init__(self, shape: tuple[int, int, int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.mean = self.add_weight(shape=self.shape, initializer="zeros", trainable=False, name="mean")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x - self.mean

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "shape": list(self.shape)}
