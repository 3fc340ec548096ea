"""A model without a network, a small run with its export, and images, for tests of folders of codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding import shallow

SIZE = (6, 5)


class Thresholds:
    """Bit k of an image is 1 where its pixel k, row by row and channel by channel, is at least 128.

    Attributes:
        calls: The number of images of each call.
        fail_at: The call that raises, counted from 0.
    """

    image_size = SIZE

    def __init__(self, bits: int = 20, seed: int = 0, fail_at: int | None = None) -> None:
        self.bits, self.about, self.fail_at = bits, {"method": "thresholds", "bits": bits, "seed": seed}, fail_at
        self.calls: list[int] = []

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert images.dtype == np.uint8 and images.shape[1:] == (*SIZE, 3)
        if len(self.calls) == self.fail_at:
            raise RuntimeError("the machine is gone")
        self.calls.append(len(images))
        logits = images.reshape(len(images), -1)[:, : self.bits] - np.float32(128)
        return np.packbits(logits >= 0, axis=1, bitorder="little"), logits


def write_images(folder: Path, names: list[str], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Writes an image for each name, and returns their pixels by name."""
    pixels = {name: rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for name in names}
    for name, image in pixels.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return pixels


def by_hand(image: np.ndarray, bits: int = 20) -> bytes:
    """The code that `Thresholds` gives, bit by bit."""
    values = [int(v) for row in image.tolist() for pixel in row for v in pixel][:bits]
    code = [0] * -(-bits // 8)
    for k, value in enumerate(values):
        code[k // 8] += 2 ** (k % 8) * (value >= 128)
    return bytes(code)


def write_run(folder: Path) -> None:
    """A run of 12 bits on raw images of 6 x 5."""
    folder.mkdir()
    rows = shallow.Rows(False, np.full(90, 0.5))
    weights = np.random.default_rng(1).normal(size=(90, 12))
    shallow.Projection(rows=rows, image_shape=SIZE, weights=weights).save(folder / "encoder.npz")
    trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
    config = {"bits": 12, "seed": 0, "method": "lsh", "dataset": "image_folder", "trunk": trunk}
    (folder / "config.json").write_text(json.dumps(config))


def write_export(run: Path, folder: Path) -> None:
    """The export of the run that `write_run` wrote."""
    from dseh_tf.export import export_run

    rng = np.random.default_rng(2)
    images, labels = rng.integers(0, 256, (300, *SIZE, 3), dtype=np.uint8), rng.integers(0, 3, 300)
    parts = {"train": slice(0, 20), "query": slice(20, 40), "database": slice(40, 300)}
    export_run(
        run,
        folder,
        RetrievalDataset.from_arrays(**{part: (images[rows], labels[rows]) for part, rows in parts.items()}),
    )
