"""A folder of arrays that is written in shards of rows and read as memory maps.

Each array is one `.npy` file. `manifest.json` records its type, its shape and a digest of each shard, and is written
last. Until then the folder has a temporary name, and a stopped program can continue after the last shard that it
finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.files.npz import Header, check_values, header_of, map_rows
from dseh_tf.files.read import read_json
from dseh_tf.files.write import PARTIAL, write_json, writing

MANIFEST, PROGRESS, FORMAT = "manifest.json", "progress.json", 1
_BLOCK = 1 << 24  # bytes whose digest is taken at a time


def digest(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an array in C order, 64 hexadecimal digits."""
    found, rows = hashlib.sha256(), max(_BLOCK // max(array[:1].nbytes, 1), 1)
    for begin in range(0, len(array), rows):
        found.update(np.ascontiguousarray(array[begin : begin + rows]).view(np.uint8).data)
    return found.hexdigest()


class ShardWriter:
    """Writes a folder of arrays shard by shard.

    Args:
        folder: The final name of the folder. An existing folder of this name is replaced at the end.
        arrays: Type and shape of each array that is written in shards; all have the same number of rows.
        shard_rows: Rows of a shard; the last one may have fewer.
        mark: Identifies what the arrays are computed from. Shards of a stopped program are kept if they have the same
            mark.

    Attributes:
        rows: Rows of the arrays.
        done: How many rows were found written, in whole shards, by a program that was stopped; all of them where the folder
            is there and whole.
    """

    def __init__(
        self, folder: Path, arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]], shard_rows: int, mark: str
    ) -> None:
        self._folder, self._partial = folder, folder.with_name(f"{PARTIAL}{folder.name}")
        self._shard_rows, self._arrays = shard_rows, dict(arrays)
        self.rows = next(iter(arrays.values()))[1][0]
        self._about: dict[str, Any] = {
            "format": FORMAT,
            "mark": mark,
            "shard_rows": shard_rows,
            "arrays": {name: _described(dtype, shape) for name, (dtype, shape) in arrays.items()},
        }
        self._digests: list[dict[str, str]] = []
        self._whole = self._kept()
        if not self._whole and not self._resumed():
            self._begun()
        self.done = self.rows if self._whole else min(len(self._digests) * shard_rows, self.rows)

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the next shard: of each array its rows. The shard is kept if the program is stopped after this."""
        begin = len(self._digests) * self._shard_rows
        digests = {}
        for name, (dtype, shape) in self._arrays.items():
            values = np.ascontiguousarray(arrays[name], dtype)
            expected = (min(self._shard_rows, self.rows - begin), *shape[1:])
            if values.shape != expected:
                raise InputError(f"{name}: found {list(values.shape)}, expected {list(expected)} in this shard")
            path = self._partial / f"{name}.npy"
            with writing(path), path.open("r+b") as file:  # not as a map: a full disk would kill the process
                file.seek(len(_npy_header(dtype, shape)) + begin * _row_bytes(dtype, shape))
                file.write(values.view(np.uint8).data)
            digests[name] = digest(values)
        self._digests.append(digests)
        write_json(self._partial / PROGRESS, {**self._about, "shards": self._digests})

    def finish(self, whole: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Writes the arrays that have no shards, then the manifest with `facts`, and gives the folder its name."""
        if self._whole:
            return
        described: dict[str, Any] = {}
        for name, array in whole.items():
            with writing(self._partial / f"{name}.npy"):
                np.save(self._partial / f"{name}.npy", array, allow_pickle=False)
            described[name] = {**_described(array.dtype, array.shape), "sha256": [digest(array)]}
        for name, about in self._about["arrays"].items():
            described[name] = {**about, "sha256": [digests[name] for digests in self._digests]}
        sharded = list(self._arrays)
        write_json(self._partial / MANIFEST, {**facts, **self._about, "sharded": sharded, "arrays": described})
        (self._partial / PROGRESS).unlink()
        with writing(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)
            self._partial.replace(self._folder)

    def _kept(self) -> bool:
        """Whether the folder is there, has the same mark and is whole."""
        with contextlib.suppress(InputError, OSError):
            before = open_shards(self._folder)
            arrays = {name: _described(header.dtype, header.shape) for name, header in before.headers.items()}
            own = self._about["arrays"]
            same = {name: arrays.get(name) for name in own} == own and before.manifest.get("mark") == self._about[
                "mark"
            ]
            if same and before.shard_rows == self._shard_rows:
                return all(True for name in before.headers for _ in before.checked(name))
        return False

    def _begun(self) -> None:
        """Makes the files, filled with nothing: a file system that can leaves them without blocks."""
        shutil.rmtree(self._partial, ignore_errors=True)
        with writing(self._partial):
            self._partial.mkdir(parents=True)
            for name, (dtype, shape) in self._arrays.items():
                header = _npy_header(dtype, shape)
                with (self._partial / f"{name}.npy").open("wb") as file:
                    file.write(header)
                    file.truncate(len(header) + self.rows * _row_bytes(dtype, shape))

    def _resumed(self) -> bool:
        """Whether a stopped program has left shards with the same mark; those before the first damaged one are kept."""
        with contextlib.suppress(InputError, OSError, KeyError, TypeError):
            before = read_json(self._partial / PROGRESS)
            shards = before.pop("shards")
            if before != self._about:
                return False
            for i, digests in enumerate(shards):
                begin, end = i * self._shard_rows, min((i + 1) * self._shard_rows, self.rows)
                if any(
                    digest(map_rows(self._partial / f"{name}.npy", Header(shape, dtype, False), begin, end))
                    != digests[name]
                    for name, (dtype, shape) in self._arrays.items()
                ):
                    break
                self._digests.append(digests)
            return bool(self._digests)
        return False


@dataclass(frozen=True)
class ShardFolder:
    """A folder that `ShardWriter` wrote: its manifest was read, and every array has the size that the manifest says.

    Attributes:
        folder: Where it is.
        manifest: The content of manifest.json.
        headers: Type and shape of each array.
    """

    folder: Path
    manifest: dict[str, Any]
    headers: dict[str, Header]

    @property
    def shard_rows(self) -> int:
        return int(self.manifest["shard_rows"])

    def array(self, name: str) -> np.ndarray:
        """The whole array as a read-only memory map."""
        return self.rows(name, 0, self.headers[name].shape[0])

    def rows(self, name: str, begin: int, end: int) -> np.ndarray:
        """Rows of an array as a memory map of their own: their memory is free again when the caller drops them."""
        return map_rows(self.folder / f"{name}.npy", self.headers[name], begin, end)

    def checked(self, name: str) -> Iterator[np.ndarray]:
        """The shards of an array in order, or the array. Raises InputError if bytes are not those that were written."""
        sharded, rows = name in self.manifest["sharded"], self.headers[name].shape[0]
        size = self.shard_rows if sharded else max(rows, 1)
        for begin, expected in zip(range(0, rows, size), self.manifest["arrays"][name]["sha256"], strict=True):
            end = min(begin + size, rows)
            values = self.rows(name, begin, end)
            if digest(values) != expected:
                raise InputError(
                    f"{self.folder / name}.npy: rows {begin} to {end - 1}: found other bytes than {MANIFEST} has the digest "
                    "of, expected those; they are damaged or of another run"
                )
            check_values(self.folder / f"{name}.npy", values)
            yield values


def open_shards(folder: Path) -> ShardFolder:
    """Reads the manifest and the headers of a folder that `ShardWriter` wrote.

    Raises:
        InputError: The manifest is missing, damaged or of a newer format; a file is missing, truncated, or has a different type
            or shape than the manifest says. The bytes of the arrays are not looked at.
    """
    path = folder / MANIFEST
    manifest = read_json(path, "the manifest of a whole folder of arrays")
    _check_manifest(path, manifest)
    headers = {}
    for name, about in manifest["arrays"].items():
        file = folder / f"{name}.npy"
        header, begin = header_of(file)
        if (
            _described(header.dtype, header.shape) != {key: about[key] for key in ("dtype", "shape")}
            or header.fortran_order
        ):
            found = f"{header.dtype} {list(header.shape)}"
            raise InputError(f"{file}: found {found}, expected {about['dtype']} {about['shape']} as in {MANIFEST}")
        held = file.stat().st_size - begin
        if held != header.bytes:
            raise InputError(
                f"{file}: found {held:,} bytes, expected {header.bytes:,}: the file was truncated or changed"
            )
        headers[name] = header
    return ShardFolder(folder, manifest, headers)


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    number = manifest.get("format")
    if number != FORMAT:
        raise InputError(f"{path}: format: found {number!r}, expected {FORMAT}")
    size, sharded, arrays = (manifest.get(name) for name in ("shard_rows", "sharded", "arrays"))
    if type(size) is not int or size < 1:
        raise InputError(f"{path}: shard_rows: found {size!r}, expected a positive whole number")
    if not isinstance(arrays, dict) or not arrays:
        raise InputError(f"{path}: arrays: found {type(arrays).__name__}, expected the arrays by name")
    if not isinstance(sharded, list) or not all(isinstance(name, str) and name in arrays for name in sharded):
        raise InputError(f"{path}: sharded: found {str(sharded)[:80]}, expected names of arrays")
    for name, about in arrays.items():
        shape: Any = about.get("shape") if isinstance(about, dict) else None
        fits = isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape)
        if not fits or not name.isidentifier() or not isinstance(about.get("dtype"), str):
            raise InputError(f"{path}: arrays.{name[:80]}: found no type and shape, expected both")
        count = -(-shape[0] // size) if name in sharded else int(shape[0] > 0)
        digests = about.get("sha256")
        if not isinstance(digests, list) or len(digests) != count:
            raise InputError(f"{path}: arrays.{name}.sha256: found {str(digests)[:80]}, expected {count} digests")


def _described(dtype: np.dtype, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape)}


def _row_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize


def _npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()
