"""Helpers for readers of official distributions: finding files, and streaming 0/1 tables from text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dseh_tf.data.files import check_regular, expanded, is_there, read_bytes
from dseh_tf.errors import InputError

_BLOCK = 1 << 24  # bytes of text held at once


def find_folder(data_dir: Path, names: tuple[str, ...], holds: tuple[str, ...], source: str) -> Path:
    """The folder of a distribution: `data_dir` itself, or below it, or in the folder of TFDS for manual downloads.

    names: folder names tried under `data_dir` and `data_dir/downloads/manual`. holds: relative paths, one of which
    must be there. Raises InputError that names the places looked at and where to get the data.
    """
    data_dir = expanded(data_dir)
    places = [data_dir]
    places += [base / name for base in (data_dir, data_dir / "downloads" / "manual") for name in names]
    for place in places:
        if any(is_there(place / path) for path in holds):
            return place
    raise InputError(
        f"{data_dir}: found no {holds[0]} here or in {', '.join(str(place) for place in places[1:])}; {source}"
    )


def find_file(root: Path, *paths: str, source: str) -> Path:
    """The first of the paths below `root` that exists, which must be a regular file.

    Raises InputError naming the first and where to get it.
    """
    for path in paths:
        if is_there(root / path):
            check_regular(root / path)
            return root / path
    raise InputError(f"{root / paths[0]}: no such file; {source}")


def read_lines(file: Path, stripped: bool = True) -> list[str]:
    """The lines of a text file; empty lines at the end are dropped. stripped: without white space around them.

    Lines end with a line feed, a carriage return or both. `str.splitlines` would end them at characters of names, too.
    """
    try:
        text = read_bytes(file, "text in UTF-8").decode("utf-8-sig")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: found bytes that are not UTF-8 at {error.start}, expected text in UTF-8") from None
    lines = [line.strip() for line in lines] if stripped else lines
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_bits(file: Path, count: int, of: str, known_bad: dict[int, str] | None = None) -> np.ndarray:
    """uint8 [count] of a file with one 0 or 1 per line.

    of: what has `count` entries, for the message. known_bad: line -> text of known slips, read as 0.
    Raises InputError on a different number of lines, and on a value that is not 0 or 1, with its line.
    """
    text = read_bytes(file)
    digits = np.frombuffer(text.translate(None, b" \t\r\n"), np.uint8) - ord("0")
    if len(digits) == count and len(text.split()) == count and (digits <= 1).all():
        return digits
    tokens = text.decode("ascii", "replace").split()
    if len(tokens) != count:
        raise InputError(f"{file}: found {len(tokens):,} labels, expected {count:,}, one for each of {of}")
    values = np.zeros(count, np.uint8)
    for line, token in enumerate(tokens, 1):
        if token == "1":
            values[line - 1] = 1
        elif token != "0" and (known_bad or {}).get(line) != token:
            raise InputError(f"{file}:{line}: found label {token!r}, expected 0 or 1")
    return values


def stream_bit_rows(file: Path, width: int, rows: int, of: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first row, uint8 [k, width]) of a table of 0 and 1, separated by white space, a block at a time.

    At most some 32 MiB are held, however long the file is. Raises InputError with the line on a line of another
    width or a value that is not 0 or 1, and where the file has not `rows` lines.
    """
    first = 0
    check_regular(file)
    with file.open("rb") as lines:
        while block := lines.readlines(_BLOCK):
            block = [line for line in block if not line.isspace()]
            digits = np.frombuffer(b"".join(block).translate(None, b" \t\r\n"), np.uint8) - ord("0")
            regular = all(len(line.rstrip()) == 2 * width - 1 for line in block)
            if not regular or len(digits) != width * len(block) or (digits > 1).any():
                digits = np.concatenate([_row(file, first + i + 1, line, width) for i, line in enumerate(block)])
            if first + len(block) > rows:
                raise InputError(f"{file}: found more than {rows:,} lines, expected {rows:,}, one for each of {of}")
            yield first, digits.reshape(-1, width)
            first += len(block)
    if first != rows:
        raise InputError(f"{file}: found {first:,} lines, expected {rows:,}, one for each of {of}")


def _row(file: Path, number: int, line: bytes, width: int) -> np.ndarray:
    tokens = line.split()
    if len(tokens) != width:
        raise InputError(f"{file}:{number}: found {len(tokens)} values, expected {width}")
    for token in tokens:
        if token not in (b"0", b"1"):
            raise InputError(f"{file}:{number}: found {token.decode('ascii', 'replace')!r}, expected 0 or 1")
    return np.array([token == b"1" for token in tokens], np.uint8)
