"""The Wikipedia set of Rasiwasia et al. (2010): 2,866 articles with an image, ten categories.

The files as read in zs-zhong/DJSRH:datasets.py: `raw_features.mat` with the texts' topics `T_tr`, `T_te` [n, 10] (and `I_tr`,
`I_te`, which are not read), `trainset_txt_img_cat.list` and `testset_txt_img_cat.list` (a line
`<text id> <image id> <category 1..10>` a row of the matrices), and the images `images/<category>/<image id>.jpg`, or flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from dseh_tf.data.files import is_there
from dseh_tf.data.readers.mat_files import check_shape, read_mat
from dseh_tf.data.readers.official_files import find_file, find_folder, read_lines
from dseh_tf.data.texts import text_rows
from dseh_tf.errors import InputError

SOURCE = "get wikipedia_dataset.zip from https://www.svcl.ucsd.edu/projects/crossmodal/"
CATEGORIES = (
    "art", "biology", "geography", "history", "literature", "media", "music", "royalty", "sport", "warfare",
)  # fmt: skip
FEATURES = "raw_features.mat"
_LISTS = {"train": ("trainset_txt_img_cat.list", "T_tr"), "query": ("testset_txt_img_cat.list", "T_te")}


@dataclass(frozen=True)
class WikipediaPart:
    """The rows of one list.

    Attributes:
        ids: `<text id>`, unicode [n].
        labels: uint8 [n, 10], one category per row.
        texts: Sparse float32 [n, t], the topics.
        images: Their paths; None for an image that is not there.
        origins: The list and line of every row.
    """

    ids: np.ndarray
    labels: np.ndarray
    texts: sparse.csr_array
    images: tuple[Path | None, ...]
    origins: tuple[str, ...]


def read_wikipedia(data_dir: Path) -> dict[str, WikipediaPart]:
    """The parts "train" and "query". `data_dir` holds the files, itself or as `wikipedia`.

    Raises InputError on a missing file (with where to get it), a line of another form, a text that occurs twice, and
    a different number of lines than rows.
    """
    root = find_folder(data_dir, ("wikipedia", "wikipedia_dataset"), (FEATURES,), SOURCE)
    matrices = read_mat(root / FEATURES, [matrix for _, matrix in _LISTS.values()])
    widths = {name: values.shape[1] if values.ndim == 2 else None for name, values in matrices.items()}
    if len(set(widths.values())) != 1:
        raise InputError(f"{root / FEATURES}: found {widths} columns, expected the same number in both")
    return {part: _part(root, name, matrix, matrices[matrix]) for part, (name, matrix) in _LISTS.items()}


def _part(root: Path, name: str, matrix: str, values: np.ndarray) -> WikipediaPart:
    file = find_file(root, name, source=SOURCE)
    rows = [_row(line, file, number) for number, line in enumerate(read_lines(file), 1)]
    check_shape(root / FEATURES, matrix, values, (None, None))
    if len(values) != len(rows):
        raise InputError(
            f"{root / FEATURES}: {matrix}: found {len(values):,} rows, expected {len(rows):,}, one per line of {name}"
        )
    labels = np.zeros((len(rows), len(CATEGORIES)), np.uint8)
    labels[np.arange(len(rows)), [category for _, _, category in rows]] = 1
    seen: dict[str, int] = {}
    for number, (text, _, _) in enumerate(rows, 1):
        if seen.setdefault(text, number) != number:
            raise InputError(f"{file}:{number}: found the text {text} a second time (first in line {seen[text]})")
    return WikipediaPart(
        np.array([text for text, _, _ in rows]),
        labels,
        text_rows(values, f"{root / FEATURES}: {matrix}"),
        tuple(_image(root, image, CATEGORIES[category]) for _, image, category in rows),
        tuple(f"{file}:{number}" for number in range(1, len(rows) + 1)),
    )


def _row(line: str, file: Path, number: int) -> tuple[str, str, int]:
    parts = line.split()
    if len(parts) != 3 or not parts[2].isdecimal() or not 1 <= int(parts[2]) <= len(CATEGORIES):
        raise InputError(
            f"{file}:{number}: found {line!r:.80}, expected <text id> <image id> <category 1 to {len(CATEGORIES)}>"
        )
    return parts[0], parts[1], int(parts[2]) - 1


def _image(root: Path, name: str, category: str) -> Path | None:
    places = (root / "images" / category / f"{name}.jpg", root / "images" / f"{name}.jpg")
    return next((path for path in places if is_there(path)), None)
