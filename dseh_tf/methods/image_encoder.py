"""Image networks of trained methods: their backbone, their training inputs, and encoding with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from dseh_tf.data import Split
from dseh_tf.data.pixels import load_pixels
from dseh_tf.devices.divided import divided
from dseh_tf.devices.replicas import joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.inputs import check_features
from dseh_tf.encoding.network import MOST, NetworkEncoder, load_network
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Fitted
from dseh_tf.models.backbones import Backbone
from dseh_tf.training.batches import array_batches

__all__ = ["ImageEncoder", "TrainingInputs", "Trunk", "load_network", "training_inputs"]


@dataclass(frozen=True)
class TrainingInputs:
    """What an image network reads while it trains: pixels uint8 [n, size, size, 3] or features float32 [n, d].

    flipped: the features of mirrored images; pixels are mirrored as they are drawn. mirrors: whether rows are mirrored.
    """

    plain: np.ndarray
    flipped: np.ndarray | None
    mirrors: bool


def training_inputs(train: Split, trunk: Trunk, runtime: Runtime | None = None) -> TrainingInputs:
    """The training rows' features if there are any, else their pixels, which `runtime` may have a folder for.

    Raises InputError for no row, for labels only, and for features that are not finite or beyond `MOST` (row and column
    named).
    """
    if not len(train):
        raise InputError("train rows: found none, expected at least one")
    if train.features is not None:
        check_features(train.features, train.ids, "train", most=MOST)
        if train.flipped_features is not None:
            check_features(train.flipped_features, train.ids, "mirrored train", train.features.shape[1], MOST)
        return TrainingInputs(train.features, train.flipped_features, train.flipped_features is not None)
    if train.images is None:
        raise InputError(
            "images: found labels only, expected images or features (labels alone train with phases=labnet)"
        )
    runtime = runtime or Runtime()
    pixels = load_pixels(train.images, trunk.image_size, runtime.pixel_cache, progress=runtime.progress)
    return TrainingInputs(pixels.array, None, trunk.mirror)


class ImageEncoder(Fitted):
    """A trained image network as a fitted method.

    network: gives {"logits": [b, K], ...}; None if only labels were learned from. encoder: it, as an encoder; None
    likewise. traces: float32 loss a step, by <phase>/<round>/<term>. labnet: of methods that have one.
    """

    encoder_file = "imgnet.keras"

    def __init__(self, bits: int, network: keras.Model | None, backbone: Backbone | None, runtime: Runtime) -> None:
        super().__init__(bits)
        self.network, self.backbone, self.runtime = network, backbone, runtime
        self.traces: dict[str, np.ndarray] = {}
        self.labnet: keras.Model | None = None
        self.encoder: NetworkEncoder | None = None
        if network is not None:
            self.encoder = NetworkEncoder(network, None if backbone is None else backbone.image_size, runtime)

    def encode(self, split: Split, modality: str = "image") -> np.ndarray:
        """int8 ±1 [n, K] of a split, or of an array of features [n, d] or images uint8 [n, height, width, 3].

        Raises InputError like `outputs`.
        """
        if modality != "image":
            raise InputError(f"modality: found {modality!r}, expected image")
        return self._trained().encode(split)

    def save(self, path: Path) -> None:
        """Writes the network to a .keras file, under a temporary name until it is complete; nothing after labels alone."""
        if self.encoder is not None:
            self.encoder.save(path)

    def outputs(self, split: Split) -> dict[str, np.ndarray]:
        """The network's outputs, float32, a row each, of a split or an array as in `encode`.

        Raises InputError like `NetworkEncoder.batches`, and after labels alone.
        """
        return self._trained().outputs(split)

    def forward(self, inputs: np.ndarray, keep_mean: bool = False) -> dict[str, np.ndarray]:
        """The network's outputs for pixels or features in memory; keep_mean cancels the trunk's mean subtraction.

        The workers of a run divide the rows, and each of them gets all outputs.
        """

        def outputs(rows: slice) -> dict[str, np.ndarray]:
            batches = array_batches(inputs[rows], self.runtime.encode_batch)
            if keep_mean and self.backbone is not None and self.backbone.mean is not None:
                batches = (batch.astype(np.float32) + self.backbone.mean for batch in batches)
            return joined(self._trained().stream(batches, len(inputs[rows])))

        return divided(self.runtime.workers, len(inputs), self.runtime.encode_batch, outputs)

    def _trained(self) -> NetworkEncoder:
        if self.encoder is None:
            raise InputError("encode: found a method trained on labels alone, expected one trained on images")
        return self.encoder
