"""Encoders of trained methods: an image network on pixels, or on the features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from dseh_tf.data import Split
from dseh_tf.data.pixels import image_batches
from dseh_tf.data.retrieval_dataset import as_split
from dseh_tf.devices.divided import divided_codes
from dseh_tf.devices.replicas import RowStream, joined
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.inputs import check_features
from dseh_tf.errors import InputError
from dseh_tf.files import replacing
from dseh_tf.models.backbones import keras_file
from dseh_tf.retrieval import sign
from dseh_tf.retrieval.codes import naming
from dseh_tf.training.batches import array_batches

MOST = 1e15  # of a feature: squares of sums of larger ones leave float32's range, and a network has no use for them


def load_network(path: Path) -> keras.Model:
    """The network that `NetworkEncoder.save` wrote, in any process.

    Raises:
        InputError: The file cannot be read, or has layers whose classes nothing has registered (see `keras_file`).
    """
    # Their layers are known to Keras once imported.
    from dseh_tf.models import layers, text_scales  # noqa: F401
    from dseh_tf.models.backbones import applications, backbone, cnn_f  # noqa: F401

    with naming(path):
        network = keras_file.load(path)
        keras_file.check_weights(network, path)
    return network


class NetworkEncoder:
    """A network as an encoder.

    Args:
        network: Gives {"logits": [b, K], ...}.
        image_size: Size of the square images that it reads; None if it reads features.
        runtime: Devices, rows per forward pass, and whether to show a progress bar.
    """

    def __init__(self, network: keras.Model, image_size: int | None, runtime: Runtime | None = None) -> None:
        self.network, self.image_size = network, image_size
        self.runtime = Runtime(progress=False) if runtime is None else runtime
        self._forward = RowStream(self.runtime.strategy, lambda x: network(x, training=False))

    @cached_property
    def bits(self) -> int:
        """Code length K; 0 if the network has no output "logits"."""
        outputs = self.network(keras.KerasTensor(self.network.input_shape))  # output_shape has no names
        return int(outputs["logits"].shape[-1]) if isinstance(outputs, dict) and "logits" in outputs else 0

    def encode(self, split: Split) -> np.ndarray:
        """int8 ±1 [n, K] of a split, or of an array of features [n, d] or images uint8 [n, height, width, 3].

        Raises InputError like `batches`. The workers of a run divide the rows, and each of them gets all codes.
        """
        workers, split = self.runtime.workers, as_split(split)
        if workers.count == 1 or not len(split):
            return np.concatenate([sign(values) for values in self.values(split)])

        def encode(rows: slice) -> np.ndarray:
            part = split.take(np.arange(rows.start, rows.stop))
            return np.concatenate([sign(values) for values in self.values(part)])

        return divided_codes(workers, len(split), self.runtime.encode_batch, encode)

    def values(self, split: Split) -> Iterator[np.ndarray]:
        """Yields the real-valued outputs before the sign, float32 [b, K]."""
        return (outputs["logits"] for outputs in self.batches(split))

    def outputs(self, split: Split) -> dict[str, np.ndarray]:
        """All of the network's outputs, float32, a row each."""
        return joined(self.batches(split))

    def batches(self, split: Split) -> Iterator[dict[str, np.ndarray]]:
        """Yields the network's outputs, batch by batch.

        Raises InputError if the split has not what the network was trained on: features of its width, each finite
        (row and column named), or images that can be decoded; and where an output is not finite (row named).
        """
        split = as_split(split)
        if not len(split):
            raise InputError("encoded rows: found none, expected at least one")
        size = self.runtime.encode_batch
        if self.image_size is None:
            if split.features is None:
                raise InputError("features: found none, expected those the network was trained on")
            check_features(split.features, split.ids, "encoded", self.network.input_shape[1], MOST)
            batches = array_batches(split.features, size)
        else:
            if split.images is None:
                raise InputError("images: found none, expected images")
            batches = image_batches(split.images, self.image_size, size)
        return _finite(self.stream(batches, len(split)), split.ids)

    def stream(self, batches: Iterable[np.ndarray], rows: int) -> Iterator[dict[str, np.ndarray]]:
        """Yields the network's outputs for batches of `rows` rows in all, unchecked."""
        size = self.runtime.encode_batch
        shown = tqdm(
            batches, "encode", total=-(-rows // size), unit="batch", disable=not self.runtime.progress, leave=False
        )
        return self._forward(shown, size)

    def save(self, path: Path) -> None:
        """Writes the network to a .keras file, under a temporary name until it is complete."""
        with replacing(path) as partial:
            self.network.save(partial)


def _finite(batches: Iterable[dict[str, np.ndarray]], ids: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """The network's outputs as they come. Raises InputError at the first row whose logits are not finite, naming it."""
    first = 0
    for outputs in batches:
        bad = ~np.isfinite(outputs["logits"])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = outputs["logits"][row, column]
            raise InputError(
                f"encode: found {value} in the network's outputs for {ids[first + row]}, expected finite numbers"
            )
        yield outputs
        first += len(outputs["logits"])
