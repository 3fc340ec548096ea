"""Image lists in the format of most published hashing code: `train.txt`, `test.txt` and `database.txt` in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from absl import logging

from dseh_tf.data.files import expanded, is_folder, is_there
from dseh_tf.data.image_checks import check_images, without_bad_images
from dseh_tf.data.images import FileImages
from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.data.readers.image_lists import (
    FILES,
    UNLABELLED,
    ImageList,
    check_ids_once,
    labelled_rows,
    read_image_list,
)
from dseh_tf.data.readers.image_texts import TEXTS, with_image_texts
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, Options, choice
from dseh_tf.data.split import Split
from dseh_tf.errors import InputError

SOURCE = "lists_dir is the folder of train.txt, test.txt and database.txt"


@dataclass(frozen=True)
class ImageListsOptions(Options):
    """The options of image lists.

    Attributes:
        lists_dir: Folder of the lists. Required.
        images_root: Folder that the paths of the lists start from. Default: `lists_dir`.
        unlabelled: What becomes of lines without a label (`load_image_lists`).
        skip_unpaired: Images without text and texts without image are left out and counted (`load_image_lists`).
    """

    lists_dir: Path | None = None
    images_root: Path | None = None
    unlabelled: str = choice(*UNLABELLED)
    skip_unpaired: bool = False


def _protocol(_: ImageListsOptions) -> None:
    """None: the lists are the split."""


def _load(options: ImageListsOptions) -> RetrievalDataset:
    if options.lists_dir is None:
        raise InputError("lists_dir: found none, expected the folder of train.txt, test.txt and database.txt")
    return load_image_lists(
        options.lists_dir,
        options.images_root,
        options.labels_only,
        options.skip_bad_images,
        options.unlabelled,
        options.skip_unpaired,
    )


def load_image_lists(
    lists_dir: Path,
    images_root: Path | None = None,
    labels_only: bool = False,
    skip_bad_images: bool = False,
    unlabelled: str = "refuse",
    skip_unpaired: bool = False,
) -> RetrievalDataset:
    """Reads image lists from a folder.

    Ids are the paths from `images_root` on. `database.txt` is used as it is; without it, the database is the training
    list. `words.txt` or `classes.txt`, one name per line, gives the class names if it has one for every class. Where there
    is a `texts.txt`, every image has a text: a line `path<TAB>word word ...` an image (see `readers.image_texts`).

    Args:
        lists_dir: Folder of `train.txt`, `test.txt` and, optionally, `database.txt`.
        images_root: Folder that the paths of the lists start from. Default: `lists_dir`.
        labels_only: Do not read the images.
        skip_bad_images: Every image is decoded once; those missing or damaged are left out and counted in
            `notes["bad_images"]`. Otherwise the first of them is an error. It is found by its header, so an image that
            is cut off after a good header is an error when it is decoded.
        unlabelled: What to do with lines that have only zeros; HashNet's lists of NUS-WIDE have thousands.
            `notes["unlabelled"]` and one logged line count them for each list.
            "refuse": the first of them is an error.
            "distractors": database rows stay and are relevant to nothing; queries stay and count 0 in MAP; training
            rows are left out, because nothing is said about what they resemble.
            "leave_out": they are left out of every list.
        skip_unpaired: Images without a line of words in `texts.txt` are left out, and lines of no listed image are passed
            over; `notes["texts"]` and one logged line count them. Otherwise the first of them is an error.

    Returns:
        The data set `image_lists`.

    Raises:
        InputError: With file and line, on a list that is missing, empty or not a regular file; a line with another
            number of labels, a label that is not 0 or 1, or one number only, which may be a class id; a line without a
            label if they are refused; an id twice in a list; a query in the database or the training list; a path
            that is not an image; a listed image without text, or a text without image.
    """
    lists_dir = expanded(lists_dir)
    root = expanded(images_root) if images_root is not None else lists_dir
    if not is_folder(lists_dir):
        raise InputError(f"{lists_dir}: no such folder, expected one with train.txt and test.txt")
    if not labels_only and not is_folder(root):
        raise InputError(f"{root}: no such folder, expected the one that image paths are relative to")
    has_database = is_there(lists_dir / FILES["database"])
    names = FILES if has_database else {**FILES, "database": FILES["train"]}
    read = {name: read_image_list(lists_dir / name, unlabelled) for name in dict.fromkeys(names.values())}
    lists = {part: read[name] for part, name in names.items()}
    notes: dict[str, object] = {"database": names["database"]}
    if not has_database:
        logging.warning("%s: no database.txt, so the database is the training list", lists_dir)
    counts = {part: entries.without_label for part, entries in lists.items()}
    if any(counts.values()):
        lists["train"] = labelled_rows(lists["train"])
        notes["unlabelled"] = {"lines": unlabelled, **counts}
        logging.warning("%s: %s", lists_dir, _told(unlabelled, counts, names))
    lists = {part: _below(root, entries) for part, entries in lists.items()}
    _check_widths(lists)
    for part in ("database", "train"):
        _check_apart(lists["query"], lists[part])
    splits = {part: _split(entries, None if labels_only else root) for part, entries in lists.items()}
    class_names = read_class_names(lists_dir, splits["train"].classes)
    dataset = RetrievalDataset(
        "image_lists", splits["train"], splits["query"], splits["database"], class_names=class_names, notes=notes
    )
    if is_there(lists_dir / TEXTS):
        place = partial(_place, root.absolute())
        dataset = with_image_texts(dataset, lists_dir, place, skip_unpaired, lines_left_out="unlabelled" in notes)
    if labels_only:
        return dataset
    if skip_bad_images:
        return without_bad_images(dataset)
    check_images(dataset)
    return dataset


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
    placed = replace(entries, paths=tuple(map(partial(_place, root.absolute()), entries.paths)))
    check_ids_once(placed)
    return placed


def _place(start: Path, path: str) -> str:
    if not path.startswith(("/", "..")):
        return path
    return Path(os.path.relpath(start / path, start)).as_posix()


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


IMAGE_LISTS = DataSet("image_lists", ImageListsOptions, _load, _protocol, SOURCE)
