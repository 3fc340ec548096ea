"""A model without a network, and images, for tests of folders of codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

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
