"""Decodes image files to uint8 RGB arrays with Pillow, or raises a clear error.

The EXIF orientation is ignored: pixels are returned as they are stored, like TensorFlow's and MatConvNet's readers do,
so that features agree with theirs.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from dseh_tf.data.files import irregular
from dseh_tf.errors import InputError

# Whatever Pillow's readers raise on damaged files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)

# Pillow opens these by their headers and cannot decode them itself: PostScript is run by another program, Ghostscript,
# which no image of a data set should start, and MPEG has no decoder.
_NO_DECODER = frozenset(("EPS", "MPEG"))


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """The formats that this Pillow decodes by itself, in the order in which it tries them."""
    Image.init()

    def decodes(name: str) -> bool:
        factory = Image.OPEN[name][0]
        stub = isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)
        return not stub and name not in _NO_DECODER

    return tuple(name for name in Image.ID if name in Image.OPEN and decodes(name))


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """The suffixes, in lower case with the dot, that Pillow registers for the formats it decodes."""
    # MPO has no opener of its own: the JPEG reader opens it.
    formats = {*readable_formats(), "MPO"}
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def decode_file(path: Path, origin: str = "") -> np.ndarray:
    """uint8 [height, width, 3], RGB, in the image's own size.

    Grey, CMYK, 16-bit and palette images are converted; transparent parts lie on white.
    origin: where the file was named (list file and line), for the message.
    Raises InputError on a file that is missing, not a regular file, no image, animated or truncated.
    """
    with _opened(path, path, origin) as image:
        return _pixels(image, path, origin)


def decode_bytes(data: bytes, name: str, origin: str = "") -> np.ndarray:
    """Like `decode_file`, from the bytes of a file; `name` is its name in messages."""
    with _opened(io.BytesIO(data), name, origin) as image:
        return _pixels(image, name, origin)


def check_header(path: Path, origin: str = "") -> tuple[int, int]:
    """The width and height of an image file.

    Raises InputError if `decode_file` would by the file's header alone: missing, no image, animated.
    """
    with _opened(path, path, origin) as image:
        return image.size


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size, 3]: bilinear with antialiasing, stretched to the square without cropping.

    The image is stretched because DSEH's release feeds whole images at 224 x 224 (lelan-li/DSEH:net_vggf.py). JPEG
    draft mode is not used: its reduced decoding gives different pixels.
    """
    return resize_to(image, (size, size))


def resize_to(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Like `resize`, to (height, width)."""
    if image.shape[:2] == shape:
        return image
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR))


def _opened(file: Path | io.BytesIO, name: Path | str, origin: str) -> Image.Image:
    where = f" (named in {origin})" if origin else ""
    try:
        kind = irregular(file) if isinstance(file, Path) else None
        if kind is not None:
            raise InputError(f"{name}: found {kind}, expected an image{where}")
        image = Image.open(file, formats=readable_formats())
        # A camera's MPO file is a JPEG followed by previews: its first frame is the photograph.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file{where}") from None
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: found no image that Pillow can read, expected JPEG, PNG or similar{where}") from None
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: cannot be read as an image: {error}{where}") from None
    if frames > 1:
        image.close()
        raise InputError(f"{name}: found an animated image of {frames} frames, expected one picture{where}")
    return image


def _pixels(image: Image.Image, name: Path | str, origin: str) -> np.ndarray:
    where = f" (named in {origin})" if origin else ""
    try:
        image.load()
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: found a truncated or damaged image: {error}{where}") from None
    if image.mode == "F":
        raise InputError(f"{name}: found floating-point pixels of unknown range, expected 8 or 16 bits{where}")
    return np.asarray(_to_rgb(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, kept by Pillow in "I;16*" or in 32-bit "I"
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
