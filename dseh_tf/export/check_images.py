"""A few synthetic pictures, stored as PNG files in an export together with the model's outputs for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dseh_tf.data.decoding import decode_file
from dseh_tf.errors import InputError
from dseh_tf.export import description
from dseh_tf.export.check import DIFFERING, NEAR_ZERO
from dseh_tf.export.runtimes import Runner

COUNT = 4
FOLDER = "check"
_LOGIT_ERROR = {
    "float32": 0.01,
    "litert_float16": 0.05,
    "litert_int8": 0.5,
}  # of the logits' deviation, another machine's


def picture(number: int, height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3]: waves of another direction and length for each number and colour."""
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(2 * np.pi * ((number + colour) * x / width + (2 * number - colour) * y / height) + number * colour)
        for colour in (1, 2, 3)
    ]
    return np.round(127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)


def write(folder: Path, runner: Runner, shape: tuple[int, int], any_size: bool) -> list[dict[str, Any]]:
    """Writes the pictures and returns their entries for `model.json`: code in hexadecimal digits, and all logits.

    any_size: whether the model resizes; one more picture has a different size then.
    """
    height, width = shape
    sizes = [shape] * COUNT + [(height + height // 2, max(1, width * 3 // 4))] * any_size
    (folder / FOLDER).mkdir()
    found = []
    for number, size in enumerate(sizes):
        image = picture(number, *size)
        name = f"{FOLDER}/{number}.png"
        Image.fromarray(image).save(folder / name)
        code, logits = runner(image[None])
        values = [float(f"{value:.6g}") for value in logits[0].tolist()]
        found.append({"file": name, "code": code[0].tobytes().hex(), "logits": values})
    return found


def compare(folder: Path, found: Mapping[str, Any], runner: Runner) -> int:
    """Runs the pictures of an export again and returns how many there are.

    Raises:
        InputError: A picture is missing or damaged, or has another code or other logits than `model.json` says.
    """
    path, encoder, bits = folder / description.NAME, found["encoder"], found["bits"]
    entries = found["check_images"]
    if not entries:
        raise InputError(f"{path}: check_images: found none, expected some")
    for number, entry in enumerate(entries):
        try:
            name, code, values = entry["file"], bytes.fromhex(entry["code"]), np.array(entry["logits"], np.float64)
            assert isinstance(name, str) and Path(name).parts[:1] == (FOLDER,) and ".." not in Path(name).parts
            assert values.shape == (bits,) and len(code) == -(-bits // 8)
        except (AssertionError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}: check_images[{number}]: found {entry!r:.60}, expected a file of {FOLDER}/, a code and logits"
            ) from None
        codes, logits = runner(decode_file(folder / name)[None])
        if codes.shape != (1, len(code)) or logits.shape != (1, bits):
            raise InputError(f"{folder}: found codes of {codes.shape[1]} bytes, expected {len(code)} of {bits} bits")
        deviation = float(values.std()) or 1.0
        error = float(np.abs(logits[0] - values).max())
        if not error <= _LOGIT_ERROR[encoder] * deviation:
            raise InputError(f"{folder / name}: found logits {error:.3g} away from model.json's, expected the same")
        differ = np.unpackbits(codes[0] ^ np.frombuffer(code, np.uint8), count=bits, bitorder="little").astype(bool)
        wrong = (differ & (np.abs(values) > NEAR_ZERO * deviation)).sum()
        if wrong > np.ceil(DIFFERING[encoder] * bits):
            raise InputError(f"{folder / name}: found {int(wrong)} bits other than in model.json, expected its code")
    return len(entries)
