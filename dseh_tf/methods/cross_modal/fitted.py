"""A fitted cross-modal method: an encoder of images and one of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.text import TextEncoder
from dseh_tf.errors import InputError
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.models.backbones import Backbone
from dseh_tf.retrieval import code_health


class CrossModalEncoder(ImageEncoder):
    """An image network and a text network whose codes are compared with each other.

    Attributes:
        texts: The text network as an encoder.
    """

    modalities = ("image", "text")

    def __init__(
        self, bits: int, network: keras.Model, backbone: Backbone | None, texts: TextEncoder, runtime: Runtime
    ) -> None:
        super().__init__(bits, network, backbone, runtime)
        self.texts = texts

    def encode(self, split: Any, modality: str = "image") -> np.ndarray:
        """int8 ±1 [n, K] of the images or the texts of a split.

        Args:
            split: A split; or an array of features or images; or, for texts, rows [n, t], sparse or dense.
            modality: "image" or "text".

        Raises:
            InputError: Another modality, and as `NetworkEncoder.batches` and `TextEncoder.values`.
        """
        if modality not in self.modalities:
            raise InputError(f"modality: found {modality!r}, expected image or text")
        return self.texts.encode(split) if modality == "text" else super().encode(split)

    def measure_health(self, images: Any, train: Split) -> None:
        """Adds the health of the training rows' codes, "train" for images and "train_text" for texts.

        Args:
            images: What the image network reads of the training rows, as for `forward`.
            train: The training rows.
        """
        logits = self.forward(images)["logits"]
        for name, codes in (("train", np.where(logits >= 0, 1, -1)), ("train_text", self.encode(train, "text"))):
            self.health[name] = code_health(codes.astype(np.int8), train.labels)

    def save(self, path: Path) -> None:
        """Writes the image network to `path`, and the text network and the vocabulary next to it."""
        self.texts.save(path.parent)
        super().save(path)


def check_texts(dataset: RetrievalDataset, method: str) -> None:
    """Raises InputError if the data set has no texts, or no training text has a word."""
    if dataset.train.texts is None:
        raise InputError(
            f"texts: found none in {dataset.name}, but {method} learns from images and texts, expected a data set with texts"
        )
    if not dataset.train.texts.nnz:
        raise InputError(f"train texts: found no word in {len(dataset.train):,} rows of {dataset.name}, expected some")
