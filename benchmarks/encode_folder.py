"""Encoding a folder of images compared with its two halves: decoding alone and forward passes alone.

    python -m benchmarks.encode_folder --images=PHOTOGRAPHS --model=runs/x [--model=exports/y] [--count=2048] [--repeats=5]

The four variants take turns. Seconds are medians, ratios are medians of the ratios within a turn, and `slower` is the
slower of decoding alone and forward passes alone.

- decode: the images of the folder are decoded and resized, by the threads of `encode_folder`.
- forward: the model on the same batches, decoded before.
- encode: `encode_folder`, from the image files to the last Parquet file.
- own device: `encode_folder` with each forward pass replaced by waiting for as long as it took alone, as a GPU would.

On a CPU, decoding and the model compete for the same cores, so encoding cannot be faster than the CPU seconds of both
divided by the number of cores: `floor` is the larger of that and `slower`. `CPU` is the CPU time of encode divided by
that of decode and forward together, which is also meaningful on a busy machine.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from dseh_tf.encoding.decode_ahead import decoded
from dseh_tf.encoding.folders import BATCH, CHUNK, Model, encode_folder
from dseh_tf.encoding.image_names import ImageFiles, image_files
from dseh_tf.export import open_model
from experiments import program

Times = tuple[float, float]  # seconds by the clock, and of CPU time of all threads


class Waiting:
    """A model that waits in place of a forward pass.

    Args:
        model: The model that it replaces.
        seconds: For each image.
    """

    def __init__(self, model: Model, seconds: float) -> None:
        self.bits, self.about, self.image_size = model.bits, {"waits": True}, model.image_size
        self._seconds = seconds

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(self._seconds * len(images))
        rows = len(images)
        return np.zeros((rows, -(-self.bits // 8)), np.uint8), np.zeros((rows, self.bits), np.float32)


def timed(work: Callable[[], object]) -> Times:
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def batches(images: ImageFiles) -> list[list[Path]]:
    """Files of the batches that `encode_folder` makes: none is of two chunks."""
    files = [images.root / name for name in images.ids]
    chunks = [files[first : first + CHUNK] for first in range(0, len(files), CHUNK)]
    return [chunk[first : first + BATCH] for chunk in chunks for first in range(0, len(chunk), BATCH)]


def whole(model: Any, images: ImageFiles) -> Times:
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda: encode_folder(model, images, folder))


def compare(model: Model, images: ImageFiles, repeats: int) -> dict[str, float]:
    """Medians of seconds and of ratios by name."""
    files = batches(images)
    pixels = [found.pixels for found in decoded(files, model.image_size)]
    model.batch(pixels[0])
    rounds: dict[str, list[float]] = {}
    for _ in range(repeats):
        decode = timed(lambda: [found.pixels[:0] for found in decoded(files, model.image_size)])
        forward = timed(lambda: [model.batch(batch) for batch in pixels])
        encode = whole(model, images)
        device = whole(Waiting(model, forward[0] / len(images)), images)
        slower, cpu = max(decode[0], forward[0]), decode[1] + forward[1]
        floor = max(slower, cpu / len(os.sched_getaffinity(0)))
        found = {"decode": decode[0], "forward": forward[0], "encode": encode[0], "own device": device[0]}
        found |= {"encode / slower": encode[0] / slower, "encode / floor": encode[0] / floor}
        found |= {"own device / slower": device[0] / slower, "CPU": encode[1] / cpu}
        for name, value in found.items():
            rounds.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in rounds.items()}


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--images", type=program.path, required=True, help="a folder of images, or a list")
    parser.add_argument("--images_root", type=program.path, help="the folder that the paths of a list are relative to")
    parser.add_argument("--model", type=program.path, action="append", required=True, help="a run folder or an export")
    parser.add_argument("--count", type=int, default=2048, help="number of images to use, the first of the folder")
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    images = image_files(flags.images, flags.images_root)
    images = ImageFiles(images.root, images.ids[: flags.count])
    print(f"{len(images):,} images, {len(os.sched_getaffinity(0))} cores")
    for folder in flags.model:
        model = open_model(folder)
        height, width = model.image_size
        print(f"{folder.name}: {model.about.get('backbone')}, {height} x {width}, {model.bits} bits")
        for name, value in compare(model, images, flags.repeats).items():
            print(f"  {name:22s}{value:8.2f}{'' if '/' in name or name == 'CPU' else ' s'}", flush=True)


if __name__ == "__main__":
    main()
