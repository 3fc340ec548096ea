"""Reading array files: `.npz`, and `.npy` as a memory map."""

from __future__ import annotations

import math
import mmap
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files.read import check_regular, printable, reason

_BLOCK = 1 << 20
_DEFLATE_RATIO = 1032  # no deflated byte expands to more than this many
_DTYPE = re.compile(r"[<>|=]?(\?|[biufUS][0-9]{1,9})")
_SIZE = r"(?:0|[1-9][0-9]*)"
_HEADER = re.compile(
    r"\{'descr': ?(?P<kind>'[^']*'|\[.*\]), ?'fortran_order': ?(?P<order>True|False), ?"
    rf"'shape': ?\((?P<shape>|{_SIZE},|{_SIZE}(?:, ?{_SIZE})+,?)\),? ?\}}[ \n]*"
)


class Header(NamedTuple):
    """The header of an array file: shape, type and order of the array."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool

    @property
    def order(self) -> Literal["C", "F"]:
        return "F" if self.fortran_order else "C"

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _NotPlain(Exception):
    """An array of Python objects, of records or of a different kind that no file here holds."""


class _Damaged(Exception):
    """Bytes that are no whole array."""


def read_npz(
    path: Path | str, names: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Arrays of an npz file: numbers, booleans or text.

    Args:
        path: the file.
        names: the arrays to read; None reads all.
        optional: arrays to read in addition, if the file has them.

    Returns:
        The arrays by name.

    Raises:
        InputError: the file is missing or damaged, lacks one of `names`, or has an array of Python objects or records.
    """
    return {name: array for name, _, array in _members(path, names, optional, contents=True)}


def npz_headers(path: Path | str) -> dict[str, Header]:
    """Shape and type of every array in an npz file, without reading the arrays. Raises InputError like `read_npz`."""
    return {name: header for name, header, _ in _members(path, None, (), contents=False)}


def header_of(path: Path | str) -> tuple[Header, int]:
    """Shape and type of the array of a `.npy` file, and where its bytes begin. Raises InputError like `mapped`."""
    path = Path(path)
    check_regular(path, "a .npy array")
    try:
        with path.open("rb") as file:
            return _header(file), file.tell()
    except Exception as error:  # of the file system or ours
        raise _no_array(path, error) from None


def map_rows(path: Path | str, header: Header, begin: int, end: int) -> np.ndarray:
    """Rows of a `.npy` file in C order as a read-only memory map of their own; their values are not checked.

    Raises InputError if the file cannot be read, or ends before.
    """
    path, shape = Path(path), (end - begin, *header.shape[1:])
    row = math.prod(header.shape[1:]) * header.dtype.itemsize
    if not row * (end - begin):
        return np.empty(shape, header.dtype)
    offset = header_of(path)[1] + begin * row
    try:
        return np.memmap(path, header.dtype, "r", offset, shape)
    except Exception as error:  # of the file system or numpy
        raise _no_array(path, error) from None


def release(array: np.ndarray) -> None:
    """Releases the memory pages of a memory map; they are read again when they are used.

    The operating system also does this when memory is short. Arrays in memory are not affected.
    """
    held = getattr(array, "_mmap", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED") and array.flags.writeable is False:
        held.madvise(mmap.MADV_DONTNEED)


def check_values(path: Path | str, array: np.ndarray) -> None:
    """Raises InputError, naming the file, on truth values that are neither 0 nor 1, and on text that Python cannot hold."""
    try:
        if array.size and array.dtype.kind in "Ub":
            _check_values(np.ascontiguousarray(array).reshape(-1).view(np.uint8), array.dtype)
    except _Damaged as error:
        raise _no_array(Path(path), error) from None


def _no_array(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: found a truncated or damaged file ({reason(error)}), expected a whole .npy array")


def mapped(path: Path | str) -> np.ndarray:
    """The array in a `.npy` file as a read-only memory map.

    Raises InputError if the file is missing, truncated, longer than its array, or holds Python objects.
    """
    path = Path(path)
    check_regular(path, "a .npy array")
    try:
        with path.open("rb") as file:
            header, begin = _header(file), file.tell()
        held = path.stat().st_size - begin
        if held != header.bytes:
            raise _Damaged(f"{held:,} bytes for an array of {header.bytes:,}")
        if not header.bytes:  # an empty file part cannot be mapped
            return np.empty(header.shape, header.dtype, header.order)
        array = np.memmap(path, header.dtype, "r", begin, header.shape, header.order)
        if header.dtype.kind in "Ub":
            _check_values(np.memmap(path, np.uint8, "r", begin), header.dtype)
        return array
    except Exception as error:  # of the file system, of numpy or ours
        raise _no_array(path, error) from None


def _members(
    path: Path | str, names: Iterable[str] | None, optional: Iterable[str], contents: bool
) -> list[tuple[str, Header, Any]]:
    """(name, header, array or None) of the arrays asked for."""
    path, wanted = Path(path), None if names is None else list(names)
    told = ", ".join(wanted) if wanted else "arrays"
    check_regular(path, f"an npz file with {told}")
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            held = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            asked = list(held) if wanted is None else [*wanted, *(name for name in optional if name in held)]
            for name in asked:
                if name not in held:
                    raise InputError(f"{path}: found no array {name!r}, expected {told}")
                try:
                    found.append((name, *_member(archive, held[name], contents)))
                except _NotPlain as error:
                    raise InputError(
                        f"{path}: {name}: found no plain array ({error}), expected numbers or strings"
                    ) from None
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and struct raise whatever they stumble over
        raise InputError(
            f"{path}: found a damaged or truncated file ({reason(error)}), expected a whole npz file"
        ) from None
    return found


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, contents: bool) -> tuple[Header, np.ndarray | None]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise _Damaged(f"{info.filename}: a compression that numpy does not write")
    if info.file_size > _DEFLATE_RATIO * (info.compress_size + 16):
        raise _Damaged(f"{info.filename}: {info.file_size:,} bytes in {info.compress_size:,}")
    with archive.open(info) as stream:
        header = _header(stream)
        held = info.file_size - stream.tell()
        if held != header.bytes:
            raise _Damaged(f"{info.filename}: {held:,} bytes for an array of {header.bytes:,}")
        return header, _array(stream, header) if contents else None


def _header(stream: IO[bytes]) -> Header:
    """Reads the header of an array. numpy's own reader evaluates it as Python, and fails in ways that name no file."""
    begin = stream.read(8)
    if begin not in (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"):
        raise _Damaged("no header of an array")
    length = int.from_bytes(stream.read(2 * begin[6]), "little")
    text = stream.read(min(length, _BLOCK)).decode("latin-1")
    found = _HEADER.fullmatch(text)
    if len(text) < length or found is None:
        raise _Damaged("no header of an array")
    kind = "records" if found["kind"].startswith("[") else found["kind"][1:-1]
    if not _DTYPE.fullmatch(kind):
        raise _NotPlain("Python objects" if "O" in kind else printable(kind))
    shape = tuple(int(size) for size in found["shape"].split(",") if size.strip())
    header = Header(shape, np.dtype(kind), found["order"] == "True")
    if len(shape) > 32 or (0 not in shape and not header.dtype.itemsize):
        raise _Damaged(f"an array of shape {list(shape)[:33]} and type {kind}")
    return header


def _array(stream: IO[bytes], header: Header) -> np.ndarray:
    raw = np.empty(header.bytes, np.uint8)
    done = 0
    while block := stream.read(min(_BLOCK, header.bytes - done + 1)):  # one byte more: the last read checks the CRC
        raw[done : done + len(block)] = np.frombuffer(block, np.uint8)
        done += len(block)
    if done != header.bytes:
        raise _Damaged(f"{done:,} bytes of {header.bytes:,}")
    if not done:
        return np.empty(header.shape, header.dtype, header.order)
    _check_values(raw, header.dtype)
    return raw.view(header.dtype).reshape(header.shape, order=header.order)


def _check_values(raw: np.ndarray, dtype: np.dtype) -> None:
    """Raises _Damaged on bytes (uint8 [n], n > 0) that are no values of the type: Python fails on them later."""
    if dtype.kind == "b" and raw.max() > 1:
        raise _Damaged("a truth value that is neither 0 nor 1")
    if dtype.kind == "U":
        points = raw.view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.max() > 0x10FFFF or ((points >= 0xD800) & (points < 0xE000)).any():
            raise _Damaged("text with characters that do not exist")
