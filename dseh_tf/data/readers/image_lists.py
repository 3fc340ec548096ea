"""Reads one image list: `train.txt`, `test.txt` or `database.txt`, one image per line.

A line is `path 0 1 0 ...`: a path, then one 0 or 1 per class (thuml/HashNet:pytorch/data, swuxyj/DeepHash-pytorch:data).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dseh_tf.data.files import expanded, is_regular, read_bytes
from dseh_tf.errors import InputError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
# What becomes of lines without a label; see `dseh_tf.data.sets.image_lists`.
UNLABELLED = ("refuse", "distractors", "leave_out")
FILES = {"train": "train.txt", "query": "test.txt", "database": "database.txt"}


@dataclass(frozen=True)
class ImageList:
    """One list file, read.

    Attributes:
        file: The list.
        paths: As written, without `.` and double slashes.
        labels: uint8 [n, c].
        lines: int64 [n], counted from 1.
        without_label: Number of lines without a label in the file, whether they are among the rows or not.
    """

    file: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    lines: np.ndarray
    without_label: int = 0

    def origin(self, row: int) -> str:
        return f"{self.file}:{self.lines[row]}"


def digest(lists_dir: Path) -> str:
    """A digest of the lists: equal digests mean equal splits. A missing list counts as empty."""
    files = (expanded(lists_dir) / name for name in FILES.values())
    parts = (read_bytes(file) if is_regular(file) else b"" for file in files)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def read_image_list(file: Path, unlabelled: str = "refuse") -> ImageList:
    """Reads and checks one list. Paths may hold spaces: the labels are the numbers at the end of the line.

    unlabelled: "refuse" lines without a label, keep them as "distractors" with labels of zeros, or "leave_out".

    Raises InputError with file and line on what one list alone can show.
    """
    if unlabelled not in UNLABELLED:
        raise InputError(f"unlabelled: found {unlabelled!r}, expected one of {', '.join(UNLABELLED)}")
    file = expanded(file)
    text = read_bytes(file, "an image list (`path 0 1 0 ...` a line)")
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip()
    if b" \n" in text:
        text = re.sub(rb" +\n", b"\n", text)
    if not text:
        raise InputError(f"{file}: found an empty list, expected lines `path 0 1 0 ...`")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: found bytes that are not UTF-8, expected a path in UTF-8") from None
    entries = _read_regular(file, text) or _read_line_by_line(file, text.decode())
    # ./a.jpg and x//a.jpg are a.jpg and x/a.jpg: a query must not pass for another image by its spelling.
    entries = replace(entries, paths=tuple(map(posixpath.normpath, entries.paths)))
    if entries.labels.shape[1] == 1:
        raise InputError(
            f"{entries.origin(0)}: found one number per line, which may be a class id, expected a 0 or 1 for each of two or "
            "more classes"
        )
    missing = np.flatnonzero(~entries.labels.any(axis=1))
    if len(missing) and unlabelled == "refuse":
        raise InputError(
            f"{entries.origin(missing[0])}: found {entries.paths[missing[0]]} without a label "
            f"({len(missing)} such lines in the list), expected at least one 1 per line; --unlabelled=distractors keeps "
            "such lines in the database, --unlabelled=leave_out leaves them out"
        )
    check_ids_once(entries)
    entries = replace(entries, without_label=len(missing))
    return labelled_rows(entries) if unlabelled == "leave_out" else entries


def labelled_rows(entries: ImageList) -> ImageList:
    """The rows that have a label. Raises InputError if none has."""
    rows = np.flatnonzero(entries.labels.any(axis=1))
    if not len(rows):
        raise InputError(f"{entries.file}: found no line with a label, expected at least one")
    paths = tuple(entries.paths[row] for row in rows.tolist())
    return replace(entries, paths=paths, labels=entries.labels[rows], lines=entries.lines[rows])


def _read_regular(file: Path, text: bytes) -> ImageList | None:
    """Reads the list with array operations if every line is `path 0 1 0 ...` with single spaces; otherwise None.

    117,218 lines of 80 labels then take a third of a second, instead of several seconds line by line.
    """
    text += b"\n"
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    first = text[: ends[0]].split(b" ")
    width = 2 * (len(first) - 1)  # bytes of the labels with the space before each
    if width == 0 or (ends - starts <= width).any():
        return None
    tails = np.lib.stride_tricks.sliding_window_view(data, width)[ends - width]
    labels = tails[:, 1::2] - ord("0")
    if (tails[:, ::2] != ord(" ")).any() or (labels > 1).any():
        return None
    paths = tuple(text[a:b].decode() for a, b in zip(starts.tolist(), (ends - width).tolist(), strict=True))
    # White space inside a path may as well be one label too many: the careful reader decides.
    if any(path.split() != [path] for path in paths):
        return None
    return ImageList(file, paths, labels, np.arange(1, len(paths) + 1))


def _read_line_by_line(file: Path, text: str) -> ImageList:
    lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:  # white space of Unicode alone
        raise InputError(f"{file}: found an empty list, expected lines `path 0 1 0 ...`")
    raw = text.split("\n")
    found = [_trailing_numbers(tokens) for _, tokens in lines]
    width = Counter(found[:1000]).most_common(1)[0][0]  # a list may be wrong in its very first line
    if width == 0:
        raise InputError(
            f"{file}:{lines[0][0]}: found no labels in {raw[lines[0][0] - 1]!r:.80}, expected `path 0 1 0 ...`"
        )
    paths, labels = [], np.empty((len(lines), width), np.uint8)
    for row, ((number, tokens), count) in enumerate(zip(lines, found, strict=True)):
        if count != width:
            stop = f" behind {tokens[-1 - count]!r}" if count < width and len(tokens) > width else ""
            raise InputError(f"{file}:{number}: found {count} labels{stop}, expected {width} as in the other lines")
        for token in tokens[-width:]:
            if token not in ("0", "1"):
                raise InputError(f"{file}:{number}: found label {token!r}, expected 0 or 1")
        labels[row] = [token == "1" for token in tokens[-width:]]
        paths.append(raw[number - 1].strip().rsplit(None, width)[0])
    return ImageList(file, tuple(paths), labels, np.array([number for number, _ in lines]))


def _trailing_numbers(tokens: list[str]) -> int:
    count = 0
    while count < len(tokens) - 1 and _NUMBER.fullmatch(tokens[-1 - count]):
        count += 1
    return count


def check_ids_once(entries: ImageList) -> None:
    """Raises InputError if a path occurs twice."""
    if len(set(entries.paths)) == len(entries.paths):
        return
    seen: dict[str, int] = {}
    for row, path in enumerate(entries.paths):
        if path in seen:
            raise InputError(
                f"{entries.origin(row)}: found {path} a second time (first in line {entries.lines[seen[path]]}), "
                f"expected each image once"
            )
        seen[path] = row
