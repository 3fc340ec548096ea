"""A run folder's encoder as the model of `encode_folder`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.encoding.run_encoder import RunEncoder, encoder_file, load_run
from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack, sign

_KEPT = ("dataset", "method", "bits", "seed", "identity")  # of config.json


class RunModel:
    """Images of one size to packed codes.

    Args:
        run: The encoder of a run.

    Attributes:
        bits: Code length K.
        about: The run's data set, method, bits, seed, identity and backbone.
        image_size: (height, width) of the images.
    """

    def __init__(self, run: RunEncoder) -> None:
        config: dict[str, Any] = dict(run.config)
        features = config.get("features", {})
        # As config.json has it, also where the file has moved: it is the same network.
        backbone = {**features, **config["trunk"]}["backbone"]
        self.about = {name: config[name] for name in _KEPT if name in config}
        self.about |= {"backbone": backbone}
        self.bits, self._run = run.bits, run
        size = run.trunk.image_size if run.trunk.kind == "features" else getattr(run.encoder, "image_size", None)
        shape = (size, size) if size is not None else getattr(run.encoder, "image_shape", None)
        if shape is None:
            raise InputError("model: found a run on features without their backbone, expected a run on images")
        self.image_size: tuple[int, int] = shape

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Packed codes uint8 [n, ceil(K / 8)] and logits [n, K] of images uint8 [n, height, width, 3]."""
        logits = self._run.outputs(images)
        return pack(sign(logits)), logits


def open_run_model(
    folder: Path | str, backbone: Path | str | None = None, import_modules: Sequence[str] = ()
) -> RunModel:
    """The model of a run folder. Takes and raises what `load_run` does."""
    return RunModel(load_run(folder, backbone, import_modules))


def run_digest(folder: Path | str) -> str:
    """Of the file that holds the run's encoder."""
    return hashlib.sha256(encoder_file(folder).read_bytes()).hexdigest()[:16]
