"""Is the input pipeline a bottleneck? Compares training from it with constant tensors, and encoding with its two
halves.

    python -m benchmarks.pipeline [--images=PHOTOGRAPHS] [--count=1024] [--repeats=7] [--steps=8] [--batch=16]

Training: an ImgNet step of DSEH (preset release; CNN-F with random weights at 224 pixels, and `compact` at 48), batches
drawn and mirrored from decoded training images, against the same tf.function on one constant batch. Encoding: image files
decoded, resized and passed through the network, against decoding alone and forward passes alone, both on all cores.
On a CPU decoding and the network want the same cores, so that no pipeline is faster than the sum of their CPU seconds over
the number of cores; that bound is printed too, and so are ratios of CPU time, which hold on a busy machine. How well the
two overlap is seen where the network has a device of its own: encoding again, each forward pass replaced by waiting for as
long as the forward passes took alone. Blocks take turns; ratios are medians of the ratios within a turn. Without --images
photographs of 500 x 375 pixels are made up and saved as JPEG. `compact`, a network for small images, also encodes the same
images as PNG files of its own 48 pixels.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from PIL import Image

from dseh_tf.data import ArrayImages, FileImages, RetrievalDataset, Split
from dseh_tf.data.pixels import image_batches
from dseh_tf.devices.replicas import RowStream
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.network import NetworkEncoder
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.models.imgnet import build_imgnet
from dseh_tf.training.batches import array_batches
from experiments import program

TRUNKS = {
    "cnn_f": Trunk("cnn_f", 224, train=True, weights="random"),
    "compact": Trunk("compact", 48),
}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process's CPU time, all threads."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def waited(seconds: float, rows: int) -> np.ndarray:
    """float32 [rows, 1], after `seconds` without work."""
    time.sleep(seconds)
    return np.zeros((rows, 1), np.float32)


class Constant:
    """The iterator of one batch over and over."""

    def __init__(self, batch: dict[str, tf.Tensor]) -> None:
        self.batch = batch

    def __next__(self) -> dict[str, tf.Tensor]:
        return self.batch


def training(name: str, rows: int, batch: int, steps: int, repeats: int) -> None:
    """Prints milliseconds a step from the pipeline and on constant tensors."""
    trunk = TRUNKS[name]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (rows, trunk.image_size, trunk.image_size, 3), np.uint8)
    labels = np.eye(10, dtype=np.uint8)[rng.integers(0, 10, rows)]
    split = Split(np.arange(rows).astype(str), labels, ArrayImages(images))
    dataset = RetrievalDataset("noise", split, split.take(np.arange(1)), split)
    method = DSEH(32, trunk=trunk, imgnet_batch=batch, labnet_epochs=(1,), imgnet_epochs=(10_000,))
    state = method.recipe(dataset, Runtime(progress=False))
    phase = state.imgnet_phase(0)
    loop = state.trainer._loop(phase)
    iterator = iter(phase.rows.dataset(tf.distribute.InputContext(), 0, phase.steps))
    constant = Constant(next(iterator))
    seed, count = tf.constant(0, tf.int64), tf.constant(steps)

    def block(source: object) -> np.ndarray:
        return np.array(timed(lambda: loop(source, seed, tf.constant(0, tf.int64), count).numpy())) * 1000 / steps

    block(iterator), block(constant)  # traced and warm
    turns = np.array([(block(iterator), block(constant)) for _ in range(repeats)])
    (real, real_cpu), (bare, bare_cpu) = np.median(turns, axis=0)
    ratio, cpu_ratio = np.median(turns[:, 0] / turns[:, 1], axis=0)
    print(
        f"training   {name:8} batch {batch}, {rows:,} images in memory: {real:.1f} ms a step from the pipeline "
        f"({real_cpu:.1f} CPU ms), {bare:.1f} ms on constant tensors ({bare_cpu:.1f} CPU ms); "
        f"ratio {ratio:.3f}, of CPU time {cpu_ratio:.3f}",
        flush=True,
    )


def encoding(name: str, files: tuple[Path, ...], batch: int, repeats: int) -> None:
    """Prints images per second of encoding, of decoding alone and of forward passes alone."""
    trunk = TRUNKS[name]
    backbone = trunk.build(0)
    network = build_imgnet(32, DSEH(32, trunk=trunk).settings, 0, backbone)
    encoder = NetworkEncoder(network, trunk.image_size, Runtime(progress=False, encode_batch=batch))
    images = FileImages(files)
    split = Split(np.arange(len(files)).astype(str), np.ones((len(files), 1), np.uint8), images)
    decoded = np.concatenate(list(image_batches(images, trunk.image_size, batch)))

    def decode() -> None:
        for _ in image_batches(images, trunk.image_size, batch):
            pass

    def constant() -> Iterator[np.ndarray]:
        yield from array_batches(decoded, batch)

    def elsewhere(seconds: float) -> float:
        """Seconds of encoding with a device that takes `seconds` for all forward passes."""
        pause = seconds / -(-len(files) // batch)
        stand_in = copy.copy(encoder)
        stand_in._forward = RowStream(
            encoder.runtime.strategy,
            lambda x: {"logits": tf.numpy_function(lambda: waited(pause, batch), [], tf.float32)},
        )
        next(iter(stand_in.stream(array_batches(decoded[:batch], batch), batch)))  # traced
        return timed(lambda: stand_in.encode(split))[0]

    encoder.encode(split)  # traced and warm
    turns = np.array(
        [
            [
                *timed(lambda: encoder.encode(split)),
                *timed(decode),
                *timed(lambda: list(encoder.stream(constant(), len(files)))),
            ]
            for _ in range(repeats)
        ]
    )
    whole, whole_cpu, decoding, decoding_cpu, forward, forward_cpu = np.median(turns, axis=0)
    apart = np.array([elsewhere(row[4]) for row in turns])
    slower = np.maximum(turns[:, 2], turns[:, 4])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    bound = (turns[:, 3] + turns[:, 5]) / cores
    print(
        f"encoding   {name:8} {len(files):,} {files[0].suffix[1:]} files at {trunk.image_size} pixels: "
        f"{whole:.2f} s ({whole_cpu:.2f} CPU s); "
        f"decoding alone {decoding:.2f} s ({decoding_cpu:.2f} CPU s), forward alone {forward:.2f} s ({forward_cpu:.2f} CPU s); "
        f"ratio to the slower {np.median(turns[:, 0] / slower):.3f}, to both one after the other "
        f"{np.median(turns[:, 0] / (turns[:, 2] + turns[:, 4])):.3f}, to their CPU seconds over {cores} cores "
        f"{np.median(turns[:, 0] / bound):.3f}; of CPU time to both {np.median(turns[:, 1] / (turns[:, 3] + turns[:, 5])):.3f}; "
        f"beside a device that takes {forward:.2f} s: {np.median(apart):.2f} s, "
        f"ratio to the slower {np.median(apart / slower):.3f}",
        flush=True,
    )


def photographs(folder: Path, count: int) -> tuple[Path, ...]:
    """JPEG files of 500 x 375 pixels with detail at several scales."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        layers = [
            Image.fromarray(rng.integers(0, 256, (375 // step + 1, 500 // step + 1, 3), np.uint8)).resize((500, 375))
            for step in (4, 16, 64)
        ]
        mixed = np.mean([np.asarray(layer, np.float32) for layer in layers], axis=0).astype(np.uint8)
        paths.append(folder / f"{index:05d}.jpg")
        Image.fromarray(mixed).save(paths[-1], quality=90)
    return tuple(paths)


def resized(files: tuple[Path, ...], folder: Path, size: int) -> tuple[Path, ...]:
    """The same images as PNG files of size x size pixels."""
    paths = tuple(folder / f"small{index:05d}.png" for index in range(len(files)))
    for source, path in zip(files, paths, strict=True):
        with Image.open(source) as image:
            image.convert("RGB").resize((size, size)).save(path)
    return paths


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--images", type=program.path, help="folder of photographs")
    parser.add_argument("--count", type=int, default=1024, help="files encoded")
    parser.add_argument("--encode_batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8, help="steps per block")
    parser.add_argument("--batch", type=int, default=16, help="batch size for CNN-F; compact uses 32")
    arguments = parser.parse_args()
    training("cnn_f", 512, arguments.batch, arguments.steps, arguments.repeats)
    training("compact", 2000, 32, 4 * arguments.steps, arguments.repeats)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images:
            files = tuple(
                sorted(p for p in arguments.images.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
            )
            files = files[: arguments.count]
        else:
            files = photographs(Path(folder), arguments.count)
        for name in TRUNKS:
            encoding(name, files, arguments.encode_batch, max(3, arguments.repeats // 2))
        small = resized(files, Path(folder), TRUNKS["compact"].image_size)
        encoding("compact", small, arguments.encode_batch, max(3, arguments.repeats // 2))


if __name__ == "__main__":
    main()
