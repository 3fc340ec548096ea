"""The model of a served index, a run folder or an export, with a small common interface."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.export.description import is_export
from dseh_tf.retrieval import pack
from experiments import own_layers


class Model(Protocol):
    """Images, and words if it is cross-modal, to packed codes uint8 [n, ceil(bits / 8)]."""

    folder: Path
    bits: int
    reads_words: bool

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Codes of images uint8 [height, width, 3], RGB, of any sizes."""

    def encode_texts(self, lines: Sequence[str]) -> np.ndarray:
        """Codes of lines of words. Raises InputError on a model without words, or a word that it does not know."""


class RunModel:
    """The encoder of a run folder. One thread at a time uses it."""

    def __init__(self, folder: Path, backbone: str | None = None) -> None:
        from dseh_tf import load_run

        self.folder = folder
        self._run = load_run(folder, backbone, own_layers.imported(), batch=1)
        self._lock = threading.Lock()
        self.bits = self._run.bits
        self.reads_words = self._run.texts is not None

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        with self._lock:
            return pack(self._run.encode(list(images)))

    def encode_texts(self, lines: Any) -> np.ndarray:
        with self._lock:
            return pack(self._run.encode_texts(lines))

    def warm_up(self) -> None:
        """Encodes an image, and a text without words: the first call compiles."""
        self.encode([np.full((32, 32, 3), 127, np.uint8)])
        if self._run.texts is not None:
            self.encode_texts(np.zeros((1, self._run.texts.width), np.float32))


class ExportedModel:
    """The encoder of an export, of any format. One thread at a time uses it."""

    reads_words = False

    def __init__(self, folder: Path) -> None:
        from dseh_tf.export import open_model as opened

        self.folder = folder
        self._model = opened(folder)
        self._lock = threading.Lock()
        self.bits = self._model.bits

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        with self._lock:
            return self._model.encode(list(images))

    def encode_texts(self, lines: Any) -> np.ndarray:
        raise InputError(f"text: found {self.folder}, an export, which encodes images only, expected a run folder")

    def warm_up(self) -> None:
        """Encodes an image: the first call compiles."""
        self.encode([np.full((32, 32, 3), 127, np.uint8)])


def open_model(folder: Path, backbone: str | None = None) -> Model:
    """The model of a folder, loaded and used once, so that whatever it lacks is found at the start.

    Raises:
        InputError: The folder has no encoder, its backbone is missing, or a backbone was given for an export.
    """
    if is_export(folder):
        if backbone is not None:
            raise InputError(
                f"--backbone: found {backbone}, but {folder} is an export with its backbone inside, expected none"
            )
        model: RunModel | ExportedModel = ExportedModel(folder)
    else:
        model = RunModel(folder, backbone)
    model.warm_up()
    return model
