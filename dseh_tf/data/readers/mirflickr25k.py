"""MIRFLICKR-25K from the official files: 25,000 photographs, 24 annotated classes, the tags at least 20 images have.

The files as read in public readers (iTomxy/data:flickr25k): `mirflickr/im<i>.jpg`, `mirflickr/meta/tags/tags<i>.txt` (one
tag a line), `mirflickr/doc/common_tags.txt` (`<tag> <count>`, the order of the tag columns),
`mirflickr25k_annotations_v080/<class>.txt` (numbers of images from 1, one per line). Tags are sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from dseh_tf.data.files import hidden
from dseh_tf.data.images import FileImages
from dseh_tf.data.readers.official_files import find_file, find_folder, read_lines
from dseh_tf.data.texts import rows_of_words
from dseh_tf.errors import InputError

SOURCE = (
    "get mirflickr25k.zip and mirflickr25k_annotations_v080.zip from https://press.liacs.nl/mirflickr/mirdownload.html"
)
ANNOTATIONS = "mirflickr25k_annotations_v080"
CLASSES = 24


@dataclass(frozen=True)
class MirFlickr:
    """names: `im<i>.jpg` in order of i, unicode [n]. labels: uint8 [n, 24]. tags: sparse float32 [n, 1386]."""

    root: Path
    names: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    tags: sparse.csr_array
    vocabulary: tuple[str, ...]

    def images(self, rows: np.ndarray) -> FileImages:
        """The image files of the rows."""
        return FileImages(tuple(self.root / "mirflickr" / str(self.names[row]) for row in rows))


def read_mirflickr(data_dir: Path) -> MirFlickr:
    """`data_dir` holds `mirflickr/` and the annotations, itself or as `mirflickr25k`.

    The classes are the files of the annotations without the stricter `*_r1.txt`, in alphabetical order; hidden names
    (`files.hidden`) are skipped.
    Raises InputError naming the file that is missing (with where to get it), and on a number that is not an image's or
    occurs twice.
    """
    root = find_folder(data_dir, ("mirflickr25k", "MIRFLICKR-25K"), ("mirflickr", ANNOTATIONS), SOURCE)
    common = find_file(root, "mirflickr/doc/common_tags.txt", source=SOURCE)
    vocabulary = tuple(_tag(line, common, number) for number, line in enumerate(read_lines(common), 1))
    numbers = sorted(int(file.stem[2:]) for file in (root / "mirflickr").glob("im*.jpg") if file.stem[2:].isdecimal())
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        gap = next((i for i, number in enumerate(numbers, 1) if number != i), 1)
        raise InputError(f"{root / 'mirflickr' / f'im{gap}.jpg'}: no such file, of {len(numbers):,} images; {SOURCE}")
    classes, labels = _read_labels(root / ANNOTATIONS, len(numbers))
    files = (find_file(root, f"mirflickr/meta/tags/tags{number}.txt", source=SOURCE) for number in numbers)
    tags = rows_of_words([set(read_lines(file)) for file in files], vocabulary)
    return MirFlickr(root, np.array([f"im{number}.jpg" for number in numbers]), labels, classes, tags, vocabulary)


def _read_labels(folder: Path, images: int) -> tuple[tuple[str, ...], np.ndarray]:
    files = sorted(
        file
        for file in folder.glob("*.txt")
        if not (hidden(file.name) or file.stem.endswith("_r1") or file.stem == "README")
    )
    if len(files) != CLASSES:
        raise InputError(f"{folder}: found {len(files) or 'no'} <class>.txt, expected {CLASSES}; {SOURCE}")
    labels = np.zeros((images, len(files)), np.uint8)
    for column, file in enumerate(files):
        for line, text in enumerate(read_lines(file), 1):
            if not text.isdecimal() or not 1 <= int(text) <= images:
                raise InputError(f"{file}:{line}: found {text!r}, expected the number of an image, 1 to {images:,}")
            if labels[int(text) - 1, column]:
                raise InputError(f"{file}:{line}: found image {text} a second time, expected each once")
            labels[int(text) - 1, column] = 1
    return tuple(file.stem for file in files), labels


def _tag(line: str, file: Path, number: int) -> str:
    parts = line.split()
    if len(parts) != 2 or not parts[1].isdecimal():
        raise InputError(f"{file}:{number}: found {line!r}, expected <tag> <count>")
    return parts[0]
