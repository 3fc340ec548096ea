"""The limits of a request: bytes, pixels, seconds, and the number of images encoded at the same time."""

from __future__ import annotations

import asyncio
import io
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from dseh_tf.data.decoding import decode_bytes, readable_formats
from dseh_tf.errors import InputError

# What cameras and browsers produce. Containers of further images (ICO, PSD, PDF) are left out: their headers do not say
# how large the picture inside is.
FORMATS = tuple(name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF") if name in readable_formats())
MOST_ANSWERS = 1000

Value = TypeVar("Value")


class Refused(Exception):
    """A request that is not answered: the HTTP status, and one line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, " ".join(line.split())


@dataclass(frozen=True)
class Limits:
    """Bounds of a request.

    Attributes:
        bytes: Bytes of an uploaded file.
        pixels: Pixels of an image, uploaded or of the index.
        seconds: For an upload, and again for decoding and encoding it.
        encodes: Queries that are encoded at a time.
        waiting: Further queries that may be uploaded or wait; those beyond are refused.
    """

    bytes: int = 20 * 2**20
    pixels: int = 64 * 10**6
    seconds: float = 30
    encodes: int = 1
    waiting: int = 8


class Gate:
    """Limits how many queries are in memory, and how many of them are encoded at the same time."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.seconds
        self._places = threading.BoundedSemaphore(limits.encodes + limits.waiting)
        self._encodes = threading.BoundedSemaphore(limits.encodes)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place for a query. Raises Refused if all are taken."""
        if not self._places.acquire(blocking=False):
            raise Refused(503, "busy: found too many queries at once, expected fewer; try again later")
        try:
            yield
        finally:
            self._places.release()

    def run(self, act: Callable[[], Value]) -> Value:
        """The result of `act`. Raises Refused if it takes too long.

        A thread cannot be stopped: if it takes too long, it keeps its slot until it is done, so that no more than
        `encodes` ever run. It is a daemon thread, so that the server can still stop.
        """
        if not self._encodes.acquire(timeout=self._seconds):
            raise Refused(503, f"busy: found no free slot to encode within {self._seconds:g} seconds; try again later")
        done: Future[Value] = Future()

        def work() -> None:
            try:
                done.set_result(act())
            except BaseException as error:
                done.set_exception(error)
            finally:
                self._encodes.release()

        threading.Thread(target=work, daemon=True, name="encode").start()
        try:
            return done.result(self._seconds)
        except NotInTime:
            if done.done():  # just now, or with a TimeoutError of its own
                return done.result()
            raise Refused(503, f"encoding: found it unfinished after {self._seconds:g} seconds") from None


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], limits: Limits) -> bytes:
    """The uploaded file. Raises Refused on one that is not an image by its type, too large, empty or too slow."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise Refused(415, f"Content-Type: found {kind or 'none'}, expected image/jpeg, image/png or similar")
    most = f"expected at most {limits.bytes / 2**20:g} MB"
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.bytes:
        raise Refused(413, f"image: found a file of {int(length) / 2**20:.1f} MB, {most}")
    body = bytearray()

    async def read() -> None:
        async for chunk in chunks:
            body.extend(chunk)
            if len(body) > limits.bytes:  # of a request that does not say its length
                raise Refused(413, f"image: found a larger file, {most}")

    try:
        await asyncio.wait_for(read(), limits.seconds)
    except (TimeoutError, asyncio.TimeoutError):  # two classes in Python 3.10
        raise Refused(408, f"image: found an unfinished upload after {limits.seconds:g} seconds") from None
    if not body:
        raise Refused(400, "image: found an empty file, expected an image")
    return bytes(body)


def decode_upload(data: bytes, limits: Limits) -> np.ndarray:
    """uint8 [height, width, 3], RGB. Raises Refused on what is not an image, damaged or too large, by its header."""
    try:
        check_pixels(io.BytesIO(data), limits, FORMATS)
    except UnidentifiedImageError:
        raise Refused(415, f"image: found none, expected one of {', '.join(FORMATS)}") from None
    try:
        return decode_bytes(data, "image")
    except InputError as error:
        raise Refused(422, str(error)) from None


def check_pixels(file: io.BytesIO | Path, limits: Limits, formats: tuple[str, ...]) -> None:
    """Raises Refused on an image of too many pixels, and UnidentifiedImageError on no image. Only its header is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=formats) as image:
                width, height = image.size
    except UnidentifiedImageError:
        raise
    except Image.DecompressionBombError:
        raise Refused(422, f"image: found far too many pixels, expected at most {_millions(limits.pixels)}") from None
    except Exception as error:  # whatever Pillow's readers raise on a damaged header
        raise Refused(422, f"image: found a damaged header ({error}), expected an image") from None
    if width * height > limits.pixels:
        found = f"{width} x {height} pixels ({_millions(width * height)})"
        raise Refused(422, f"image: found {found}, expected at most {_millions(limits.pixels)}")


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.3g} million"
