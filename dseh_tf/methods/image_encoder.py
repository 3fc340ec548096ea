"""Image networks of the trained methods: their trunk, their training inputs, and encoding with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from dseh_tf.data import Split
from dseh_tf.data.pixels import image_batches, load_pixels
from dseh_tf.data.retrieval_dataset import as_split
from dseh_tf.devices.replicas import RowStream, joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.files import replacing
from dseh_tf.methods.base import Fitted, check_features
from dseh_tf.models.backbones import Backbone, build_backbone, keras_file
from dseh_tf.retrieval import sign
from dseh_tf.retrieval.codes import naming
from dseh_tf.training.batches import array_batches

MOST = 1e15  # of a feature: squares of sums of larger ones leave float32's range, and a network has no use for them


@dataclass(frozen=True)
class Trunk:
    """Which network stands below a method's own layers, as `build_backbone` takes it.

    mirror: training images are mirrored with probability 1/2.
    weights: of CNN-F or a network of `keras.applications`. train_from: with `train`, the layer fine-tuning begins at.
    import_modules: modules that register the layers of a `.keras` file.
    kind: "features" where it is frozen and its features were extracted, else "compact", "cnn_f" or "finetuned" (another
    pretrained trunk).
    """

    backbone: str = "compact"
    image_size: int = 48
    train: bool = False
    scaling: tuple[float, float] | None = None
    mirror: bool = True
    weights: str | None = None
    train_from: str | None = None
    import_modules: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        if self.backbone == "compact":
            return "compact"
        if not self.train:
            return "features"
        return "cnn_f" if self.backbone == "cnn_f" else "finetuned"

    def build(self, seed: int, dropout: float = 0.5) -> Backbone:
        return build_backbone(
            self.backbone,
            self.image_size,
            self.train,
            self.scaling,
            seed,
            self.weights,
            dropout,
            self.train_from,
            self.import_modules,
        )


@dataclass(frozen=True)
class TrainingInputs:
    """What an image network reads while it trains: pixels uint8 [n, size, size, 3] or features float32 [n, d].

    flipped: the features of mirrored images; pixels are mirrored as they are drawn. mirrors: whether rows are mirrored.
    """

    plain: np.ndarray
    flipped: np.ndarray | None
    mirrors: bool


def training_inputs(train: Split, trunk: Trunk, runtime: Runtime | None = None) -> TrainingInputs:
    """The training rows' features where there are any, else their pixels, which `runtime` may have a folder for.

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


def load_network(path: Path) -> keras.Model:
    """The network that `ImageEncoder.save` wrote, in any process.

    Raises:
        InputError: The file cannot be read, or has layers whose classes nothing has registered (see `keras_file`).
    """
    from dseh_tf.models.backbones import cnn_f  # noqa: F401  their layers are known to Keras once imported

    with naming(path):
        network = keras_file.load(path)
        keras_file.check_weights(network, path)
    return network


def _finite(batches: Iterable[dict[str, np.ndarray]], ids: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """The network's outputs as they come. Raises InputError at the first row whose logits are not finite, naming it."""
    first = 0
    for outputs in batches:
        bad = ~np.isfinite(outputs["logits"])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = outputs["logits"][row, column]
            raise InputError(f"encode: found {value} in the network's outputs for {ids[first + row]}, expected finite numbers")
        yield outputs
        first += len(outputs["logits"])


class ImageEncoder(Fitted):
    """A trained image network as an encoder.

    network: gives {"logits": [b, K], ...}; None where only labels were learnt from. traces: float32 loss a step, by
    <phase>/<round>/<term>. labnet: of methods that have one.
    """

    def __init__(self, bits: int, network: keras.Model | None, backbone: Backbone | None, runtime: Runtime) -> None:
        super().__init__(bits)
        self.network, self.backbone, self.runtime = network, backbone, runtime
        self.traces: dict[str, np.ndarray] = {}
        self.labnet: keras.Model | None = None
        if network is not None:
            self._forward = RowStream(runtime.strategy, lambda x: network(x, training=False))

    def encode(self, split: Split, modality: str = "image") -> np.ndarray:
        """int8 ±1 [n, K] of a split, or of an array of features [n, d] or images uint8 [n, height, width, 3].

        Raises InputError as `outputs` does.
        """
        if modality != "image":
            raise InputError(f"modality: found {modality!r}, expected image")
        return np.concatenate([sign(outputs["logits"]) for outputs in self._batches(split)])

    def save(self, path: Path) -> None:
        """Writes the network to a .keras file, under another name until it is whole; nothing after labels alone."""
        if self.network is not None:
            with replacing(path) as partial:
                self.network.save(partial)

    def outputs(self, split: Split) -> dict[str, np.ndarray]:
        """The network's outputs, float32, a row each, of a split or an array as in `encode`.

        Raises InputError where the split has not what the network was trained on: features of its width, each finite
        (row and column named), or images that can be decoded; and where an output is not finite (row named).
        """
        return joined(self._batches(split))

    def _batches(self, split: Split) -> Iterator[dict[str, np.ndarray]]:
        if self.network is None:
            raise InputError("encode: found a method trained on labels alone, expected one trained on images")
        split = as_split(split)
        if not len(split):
            raise InputError("encoded rows: found none, expected at least one")
        size = self.runtime.encode_batch
        if self.backbone is None:
            if split.features is None:
                raise InputError("features: found none, expected those the network was trained on")
            check_features(split.features, split.ids, "encoded", self.network.input_shape[1], MOST)
            batches = array_batches(split.features, size)
        else:
            if split.images is None:
                raise InputError("images: found none, expected images")
            batches = image_batches(split.images, self.backbone.image_size, size)
        return _finite(self._stream(batches, len(split)), split.ids)

    def forward(self, inputs: np.ndarray, keep_mean: bool = False) -> dict[str, np.ndarray]:
        """The network's outputs for pixels or features in memory; keep_mean cancels the trunk's mean subtraction."""
        batches = array_batches(inputs, self.runtime.encode_batch)
        if keep_mean and self.backbone is not None and self.backbone.mean is not None:
            batches = (batch.astype(np.float32) + self.backbone.mean for batch in batches)
        return joined(self._stream(batches, len(inputs)))

    def _stream(self, batches: Iterable[np.ndarray], rows: int) -> Iterator[dict[str, np.ndarray]]:
        size = self.runtime.encode_batch
        shown = tqdm(
            batches, "encode", total=-(-rows // size), unit="batch", disable=not self.runtime.progress, leave=False
        )
        return self._forward(shown, size)
