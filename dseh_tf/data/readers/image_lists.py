"""Data sets as the hashing community passes them on: `train.txt`, `test.txt`, `database.txt`, a line an image.

A line is `path 0 1 0 ...`: a path, then one 0 or 1 a class (thuml/HashNet:pytorch/data, swuxyj/DeepHash-pytorch:data).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from absl import logging

from dseh_tf.data.files import expanded, is_folder, is_regular, is_there, read_bytes
from dseh_tf.data.image_checks import check_images, without_bad_images
from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.data.retrieval_dataset import FileImages, RetrievalDataset, Split
from dseh_tf.errors import InputError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
# What becomes of lines without a label; see `load_image_lists`.
UNLABELLED = ("refuse", "distractors", "leave_out")
_FILES = {"train": "train.txt", "query": "test.txt", "database": "database.txt"}


@dataclass(frozen=True)
class ImageList:
    """One list file, read.

    paths: as written, without `.` and double slashes. labels: uint8 [n, c]. lines: int64 [n], counted from 1.
    without_label: the number of lines without a label that the file has, whether they are among the rows or not.
    """

    file: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    lines: np.ndarray
    without_label: int = 0

    def origin(self, row: int) -> str:
        return f"{self.file}:{self.lines[row]}"


def load_image_lists(
    lists_dir: Path,
    images_root: Path | None = None,
    labels_only: bool = False,
    skip_bad_images: bool = False,
    unlabelled: str = "refuse",
) -> RetrievalDataset:
    """Reads the lists of a folder; ids are the paths from `images_root` (default: the folder) on.

    `database.txt` is used as it is; where there is none, the database is the training list. `words.txt` or
    `classes.txt`, a name a line, gives the class names where it has as many lines as there are classes.
    labels_only: the images are not looked at. skip_bad_images: every image is decoded once, and those missing or
    damaged are left out and counted in `notes["bad_images"]`; otherwise the first of them is an error (found by its
    header; one cut off behind a good header is found when it is decoded).

    unlabelled: what becomes of lines of zeros only (HashNet's lists of NUS-WIDE have thousands).
        "refuse": the first of them is an error.
        "distractors": database rows stay and are relevant to nothing; queries stay and count 0 in MAP; training rows
            are left out, because nothing is said about what they resemble (they stay in the database if it has them).
        "leave_out": they are left out of every list.
    `notes["unlabelled"]` and one logged line count them, list by list.

    Raises InputError with file and line on: a missing or empty list; a list that is not a regular file; a line with
    another number of labels; a label that is not 0 or 1; one number a line, which may be a class id; a line without a
    label where they are refused; an id twice in a list; a query in the database or the training list; a path that is no
    image.
    """
    lists_dir = expanded(lists_dir)
    root = expanded(images_root) if images_root is not None else lists_dir
    if not is_folder(lists_dir):
        raise InputError(f"{lists_dir}: no such folder, expected one with train.txt and test.txt")
    if not labels_only and not is_folder(root):
        raise InputError(f"{root}: no such folder, expected the one the images' paths start from")
    has_database = is_there(lists_dir / _FILES["database"])
    names = _FILES if has_database else {**_FILES, "database": _FILES["train"]}
    read = {name: read_image_list(lists_dir / name, unlabelled) for name in dict.fromkeys(names.values())}
    lists = {part: read[name] for part, name in names.items()}
    notes: dict[str, object] = {"database": names["database"]}
    if not has_database:
        logging.warning("%s: no database.txt, so the database is the training list", lists_dir)
    counts = {part: entries.without_label for part, entries in lists.items()}
    if any(counts.values()):
        lists["train"] = _labelled(lists["train"])
        notes["unlabelled"] = {"lines": unlabelled, **counts}
        logging.warning("%s: %s", lists_dir, _told(unlabelled, counts, names))
    lists = {part: _below(root, entries) for part, entries in lists.items()}
    _check_widths(lists)
    for part in ("database", "train"):
        _check_apart(lists["query"], lists[part])
    splits = {part: _split(entries, None if labels_only else root) for part, entries in lists.items()}
    class_names = read_class_names(lists_dir, splits["train"].classes)
    dataset = RetrievalDataset("image_lists", **splits, class_names=class_names, notes=notes)
    if labels_only:
        return dataset
    if skip_bad_images:
        return without_bad_images(dataset)
    check_images(dataset)
    return dataset


def digest(lists_dir: Path) -> str:
    """Of the lists as they stand: equal digests are equal splits. A list that is missing counts as empty."""
    files = (expanded(lists_dir) / name for name in _FILES.values())
    parts = (read_bytes(file) if is_regular(file) else b"" for file in files)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def read_image_list(file: Path, unlabelled: str = "refuse") -> ImageList:
    """Reads and checks one list. Paths may hold spaces: the labels are the numbers at the end of the line.

    unlabelled: "refuse" lines without a label, keep them as "distractors" with labels of zeros, or "leave_out".

    Raises InputError with file and line as `load_image_lists` says, of all that one list alone can show.
    """
    if unlabelled not in UNLABELLED:
        raise InputError(f"unlabelled: found {unlabelled!r}, expected one of {', '.join(UNLABELLED)}")
    file = expanded(file)
    text = read_bytes(file, "an image list (`path 0 1 0 ...` a line)")
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip()
    if b" \n" in text:
        text = re.sub(rb" +\n", b"\n", text)
    if not text:
        raise InputError(f"{file}: found an empty list, expected `path 0 1 0 ...` a line")
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
            f"{entries.origin(0)}: found one number a line, which may be a class id, expected a 0 or 1 for each of two or "
            "more classes"
        )
    missing = np.flatnonzero(~entries.labels.any(axis=1))
    if len(missing) and unlabelled == "refuse":
        raise InputError(
            f"{entries.origin(missing[0])}: found {entries.paths[missing[0]]} without a label "
            f"({len(missing)} such lines in the list), expected at least one 1 a line; --unlabelled=distractors keeps "
            "such lines in the database, --unlabelled=leave_out leaves them out"
        )
    _check_ids_once(entries)
    entries = replace(entries, without_label=len(missing))
    return _labelled(entries) if unlabelled == "leave_out" else entries


def _labelled(entries: ImageList) -> ImageList:
    """The rows that have a label. Raises InputError where none has."""
    rows = np.flatnonzero(entries.labels.any(axis=1))
    if not len(rows):
        raise InputError(f"{entries.file}: found no line with a label, expected some")
    paths = tuple(entries.paths[row] for row in rows.tolist())
    return replace(entries, paths=paths, labels=entries.labels[rows], lines=entries.lines[rows])


def _told(unlabelled: str, counts: dict[str, int], names: dict[str, str]) -> str:
    """The logged line on lines without a label."""
    if unlabelled == "leave_out":
        lists = {names[part]: count for part, count in counts.items()}
        shown = ", ".join(f"{count:,} of {name}" for name, count in lists.items())
        return f"lines without a label are left out: {shown}"
    return (
        f"lines without a label: {counts['train']:,} of {names['train']} do not train, {counts['query']:,} of "
        f"{names['query']} are queries that count 0 in MAP, {counts['database']:,} of {names['database']} are distractors "
        "in the database"
    )


def _read_regular(file: Path, text: bytes) -> ImageList | None:
    """The list by array operations, where every line is `path 0 1 0 ...` with single spaces; else None.

    117,218 lines of 80 labels take a third of a second so, and several seconds line by line.
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
        raise InputError(f"{file}: found an empty list, expected `path 0 1 0 ...` a line")
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


def _check_ids_once(entries: ImageList) -> None:
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


def _check_widths(lists: dict[str, ImageList]) -> None:
    width = lists["train"].labels.shape[1]
    for entries in lists.values():
        if entries.labels.shape[1] != width:
            raise InputError(
                f"{entries.origin(0)}: found {entries.labels.shape[1]} labels, expected {width} as in "
                f"{lists['train'].file.name}"
            )


def _below(root: Path, entries: ImageList) -> ImageList:
    """The list with paths from `root` on: a full path, or `../pictures/a.jpg`, may be a.jpg of another list."""
    start = root.absolute()

    def place(path: str) -> str:
        if not path.startswith(("/", "..")):
            return path
        return Path(os.path.relpath(start / path, start)).as_posix()

    placed = replace(entries, paths=tuple(map(place, entries.paths)))
    _check_ids_once(placed)
    return placed


def _check_apart(query: ImageList, other: ImageList) -> None:
    common = set(query.paths) & set(other.paths)
    if common:
        row = next(row for row, path in enumerate(query.paths) if path in common)
        raise InputError(
            f"{query.origin(row)}: query {query.paths[row]} is in {other.file.name} too ({len(common)} such queries), "
            f"expected no query among the images searched or trained on"
        )


def _split(entries: ImageList, root: Path | None) -> Split:
    images = None
    if root is not None:
        rows = range(len(entries.paths))
        images = FileImages(tuple(root / path for path in entries.paths), tuple(map(entries.origin, rows)))
    return Split(np.array(entries.paths), entries.labels, images)
