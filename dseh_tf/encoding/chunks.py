"""A file of codes: Parquet with the columns `id` (string) and `code` (fixed-size binary). Does not import TensorFlow.

The metadata of a file says which encoding and which part of it the file belongs to, and which images are missing and
why.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, brief
from dseh_tf.files import check_regular, replacing
from dseh_tf.files.read import reason

_KEY = b"dseh_tf"  # of the metadata
_EXPECTED = "a file of codes"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Codes of consecutive images.

    Attributes:
        identity: Identity of the encoding: its model, images and chunk size.
        number: Which chunk it is, from 0.
        ids: Ids of the images that have a code, in order.
        codes: Packed uint8 [n, ceil(bits / 8)].
        bad: (id, reason) of the images that could not be read, in order.
    """

    identity: str
    number: int
    ids: tuple[str, ...]
    codes: np.ndarray
    bad: tuple[tuple[str, str], ...] = ()


def chunk_name(number: int) -> str:
    return f"chunk-{number:06d}.parquet"


def write_chunk(path: Path, chunk: Chunk, mark: str | None = None) -> None:
    """Writes a chunk atomically; the same chunk gives the same bytes.

    Args:
        path: The file.
        chunk: Its content.
        mark: As in `replacing`.
    """
    n, width = chunk.codes.shape
    # From one buffer: numpy's bytes type would lose zeros at the end of a code.
    data = pa.py_buffer(np.ascontiguousarray(chunk.codes, np.uint8).tobytes())
    codes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), n, [None, data])
    facts = {"identity": chunk.identity, "chunk": chunk.number, "bad": chunk.bad}
    schema = _schema(width).with_metadata({_KEY: json.dumps(facts).encode()})
    table = pa.Table.from_arrays([pa.array(chunk.ids, pa.string()), codes], schema=schema)
    with replacing(path, mark) as partial:
        pq.write_table(table, partial, compression="zstd", use_dictionary=["code"], write_page_checksum=True)


def read_chunk(path: Path, bits: int) -> Chunk:
    """Reads what `write_chunk` wrote.

    Raises:
        InputError: The file is missing, damaged, of a different kind, or has codes of a different width.
    """
    check_regular(path, _EXPECTED)
    width = -(-bits // 8)
    try:
        # Without its checksums, a changed byte may be another code and no error.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            facts = _facts(schema.metadata)
            table = file.read() if schema.equals(_schema(width)) else None
            if table is not None:
                table.validate(full=True)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # of pyarrow, of many kinds
        raise InputError(f"{path}: found a damaged or truncated file ({reason(error)}), expected {_EXPECTED}") from None
    if table is None:
        found = ", ".join(f"{field.name} {field.type}{'' if field.nullable else ' not null'}" for field in schema)
        expected = ", ".join(f"{field.name} {field.type} not null" for field in _schema(width))
        raise InputError(f"{path}: found the columns {brief(found)[1:-1]}, expected {expected} for {bits} bits")
    codes = _bytes(table.column("code"), width)
    try:
        as_packed(codes, bits, "code") if len(codes) else None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Chunk(facts["identity"], facts["chunk"], tuple(table.column("id").to_pylist()), codes, _bad(facts))


def _schema(width: int) -> pa.Schema:
    return pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("code", pa.binary(width), nullable=False)])


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """uint8 [n, width] of a column of fixed-size binary without nulls."""
    parts = []
    for array in column.chunks:
        data = np.frombuffer(array.buffers()[1], np.uint8) if len(array) else np.empty(0, np.uint8)
        parts.append(data[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width))
    return np.concatenate(parts) if parts else np.empty((0, width), np.uint8)


def _facts(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """What a file says of itself. Raises InputError if it says nothing that makes sense."""
    try:
        facts = json.loads((metadata or {})[_KEY])
        if not isinstance(facts["identity"], str) or type(facts["chunk"]) is not int:
            raise ValueError
        _bad(facts)
    except (KeyError, ValueError, TypeError, RecursionError):
        raise InputError("found no metadata of experiments.encode, expected a file that it wrote") from None
    return facts


def _bad(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(why)) for name, why in facts["bad"])


def expected_ids(ids: Sequence[str], chunk: Chunk) -> bool:
    """Whether the chunk accounts for `ids`, in order: each has a code or a reason."""
    bad = {name for name, _ in chunk.bad}
    return chunk.ids == tuple(name for name in ids if name not in bad) and len(chunk.ids) + len(chunk.bad) == len(ids)
