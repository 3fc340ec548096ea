"""The texts of image lists: `texts.txt` next to them, a line `path<TAB>word word ...` an image.

The path is one of a list, with the same rules for its spelling. One line serves an image in every list that names it, so the
order of the lines does not matter. Words are separated by white space and taken as they are written; a word that occurs twice
counts twice. The columns of the texts are the words of `vocabulary.txt`, one per line, in its order; without that file they
are the words of the training images, sorted. Words outside the vocabulary are skipped and counted.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data.files import expanded, is_regular, is_there, read_bytes
from dseh_tf.data.readers.official_files import read_lines
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split
from dseh_tf.data.texts import rows_of_words
from dseh_tf.errors import InputError

TEXTS, VOCABULARY = "texts.txt", "vocabulary.txt"
_PARTS = ("train", "query", "database")


def digest(folder: Path) -> str:
    """A digest of the texts and the vocabulary: equal digests mean equal texts. A missing file counts as empty."""
    files = (expanded(folder) / name for name in (TEXTS, VOCABULARY))
    parts = (read_bytes(file) if is_regular(file) else b"" for file in files)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def read_image_texts(file: Path) -> dict[str, tuple[int, list[str]]]:
    """The number of the line, from 1, and the words of every path. Blank lines are skipped.

    Raises InputError with file and line on a line without a tab, and on a path that occurs twice.
    """
    found: dict[str, tuple[int, list[str]]] = {}
    for number, line in enumerate(read_lines(file, stripped=False), 1):
        if not line.strip():
            continue
        path, tab, words = line.partition("\t")
        if not tab or not path.strip():
            raise InputError(f"{file}:{number}: found {line!r:.80}, expected `path<TAB>word word ...`")
        path = posixpath.normpath(path.strip())
        if path in found:
            raise InputError(
                f"{file}:{number}: found {path} a second time (first in line {found[path][0]}), expected each image once"
            )
        found[path] = number, words.split()
    return found


def with_image_texts(
    dataset: RetrievalDataset,
    folder: Path,
    place: Callable[[str], str],
    skip_unpaired: bool = False,
    lines_left_out: bool = False,
) -> RetrievalDataset:
    """The data set with the texts of `folder`.

    Args:
        dataset: Its ids are the paths.
        folder: Folder of the lists.
        place: Maps a path as written to an id.
        skip_unpaired: Images without words are left out, and lines of no image skipped; `notes["texts"]` counts both.
        lines_left_out: Lines of the lists were left out (those without a label), so a text of no image is no error.

    Raises:
        InputError: Where they are not skipped, an image without a line or without a word in it, or a line of an image that
            is in no list, by name; a split of which no row is left; as `read_image_texts`.
    """
    file = folder / TEXTS
    texts = {place(path): entry for path, entry in read_image_texts(file).items()}
    splits: dict[str, Split] = {part: getattr(dataset, part) for part in _PARTS}
    listed = {name for split in splits.values() for name in split.ids.tolist()}
    without_image = [name for name in texts if name not in listed]
    counts: dict[str, Any] = {"texts_without_image": len(without_image)}
    if without_image and not (skip_unpaired or lines_left_out):
        name = without_image[0]
        raise InputError(
            f"{file}:{texts[name][0]}: found the text of {name}, which is in no list ({len(without_image)} such lines), "
            "expected a text for each listed image and no other; --skip_unpaired skips such lines"
        )
    for part, split in splits.items():
        paired = np.array([bool(texts.get(name, (0, []))[1]) for name in split.ids.tolist()], bool)
        counts[part] = int((~paired).sum())
        if counts[part] and not skip_unpaired:
            name = split.ids[~paired][0]
            where = f"{file}:{texts[name][0]}: found no word for" if name in texts else f"{file}: found no line of"
            raise InputError(
                f"{where} {name} of the {part} images ({counts[part]} such), expected words for each listed image; "
                "--skip_unpaired leaves such images out"
            )
        if not paired.any():
            raise InputError(f"{file}: found no text of the {len(split)} {part} images, expected some")
        splits[part] = split.take(paired) if counts[part] else split
    if any(counts.values()):
        logging.warning("%s: left out: %s", file, ", ".join(f"{name} {count}" for name, count in counts.items()))
    lines = {part: [texts[name][1] for name in split.ids.tolist()] for part, split in splits.items()}
    if is_there(folder / VOCABULARY):
        vocabulary = [word for word in read_lines(folder / VOCABULARY) if word]
    else:
        vocabulary = sorted({word for words in lines["train"] for word in words})
    if not vocabulary:
        raise InputError(f"{folder / VOCABULARY}: found no word, expected one word per line")
    unknown = {word for part in lines.values() for words in part for word in words} - set(vocabulary)
    if unknown:
        logging.warning("%s: skipped %d words that are not in the vocabulary", file, len(unknown))
    parts = {part: replace(split, texts=rows_of_words(lines[part], vocabulary)) for part, split in splits.items()}
    notes = {**dataset.notes, "texts": {**counts, "words": len(vocabulary), "unknown_words": len(unknown)}}
    return dataset.replace(**parts, vocabulary=tuple(vocabulary), notes=notes)
