"""Reads a folder of codes that `encode_folder` wrote, chunk by chunk, and checks it. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data.files import expanded
from dseh_tf.encoding.chunks import chunk_name
from dseh_tf.encoding.folders import FORMAT, MANIFEST, SUMMARY, own_chunk
from dseh_tf.errors import InputError, brief, whole
from dseh_tf.files import read_json

_WHAT = "a folder of codes that experiments.encode wrote"


@dataclass(frozen=True)
class CodesFolder:
    """A finished folder of codes.

    Attributes:
        folder: Where it is.
        manifest: The content of encode.json.
        rows: Number of codes.
        bad: Number of images that could not be read.
    """

    folder: Path
    manifest: Mapping[str, Any]
    rows: int
    bad: int

    @property
    def bits(self) -> int:
        return int(self.manifest["bits"])

    @property
    def about(self) -> dict[str, Any]:
        """What made the codes, and where the images are, as stored in an index
        (`dseh_tf.retrieval.search.new_index`)."""
        images = {name: self.manifest["images"].get(name) for name in ("kind", "root")}
        return {**self.manifest["model"], "images": images}

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (ids str [n], packed codes uint8 [n, ceil(bits / 8)]) of each chunk, in the order of the images.

        Raises:
            InputError: A chunk is missing, damaged, has codes of a different width or is of another encoding; or the chunks do
                not have as many rows as summary.json says.
        """
        rows = 0
        for number in range(-(-self.manifest["images"]["count"] // self.manifest["chunk"])):
            path = self.folder / chunk_name(number)
            if not path.exists():
                raise InputError(f"{path}: found no such chunk, expected it: run experiments.encode again")
            chunk = own_chunk(path, self.manifest, number)
            rows += len(chunk.ids)
            yield np.array(chunk.ids, dtype=str), chunk.codes
        if rows != self.rows:
            raise InputError(f"{self.folder / SUMMARY}: rows: found {self.rows}, expected {rows} as in the chunks")


def open_codes(folder: Path | str) -> CodesFolder:
    """Opens a finished folder of codes.

    Args:
        folder: The folder.

    Raises:
        InputError: The folder is not a folder of codes, is not finished, or its files do not belong together.

    Example:
        >>> for ids, codes in open_codes("codes").chunks():
        ...     index.add(codes, ids)
    """
    folder = expanded(folder)
    path = folder / MANIFEST
    manifest = read_json(path, _WHAT)
    if manifest.get("format") != FORMAT:
        raise InputError(f"{path}: format: found {brief(manifest.get('format'))}, expected {FORMAT}")
    for field, kind in (("identity", str), ("model", dict), ("images", dict)):
        if not isinstance(manifest.get(field), kind):
            raise InputError(f"{path}: {field}: found {brief(manifest.get(field))}, expected that of {_WHAT}")
    numbers = {"bits": manifest.get("bits"), "chunk": manifest.get("chunk"), "count": manifest["images"].get("count")}
    for field, value in numbers.items():
        whole(value, f"{path}: {field}", 1)
    if not (folder / SUMMARY).exists():
        raise InputError(f"{folder}: found no {SUMMARY}, expected a finished folder: run experiments.encode again")
    summary = read_json(folder / SUMMARY, _WHAT)
    if summary.get("identity") != manifest["identity"]:
        found = brief(summary.get("identity"))
        raise InputError(
            f"{folder / SUMMARY}: identity: found {found}, expected {manifest['identity']!r} as in {MANIFEST}"
        )
    counts = [whole(summary.get(field), f"{folder / SUMMARY}: {field}", 0) for field in ("rows", "bad")]
    return CodesFolder(folder, manifest, *counts)
