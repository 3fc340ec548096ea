"""NUS-WIDE from the official distribution's own files: 269,648 photographs, 81 concepts, 1,000 tags.

The files as read in public readers (iTomxy/data:nuswide, jiangqy/ADSH-AAAI2018, thuml/HashNet:pytorch/data/nuswide_81):
`ImageList/Imagelist.txt` (order of everything), `Concepts81.txt` (order of the concepts),
`Groundtruth/AllLabels/Labels_<concept>.txt`, `NUS_WID_Tags/{TagList1k,AllTags1k}.txt`, images in `Flickr/<category>/`,
or flat in `images/`.

Memory: labels are uint8, 22 MB for 269,648 x 81, read a concept at a time; tags are streamed and kept as sparse rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import logging
from scipy import sparse

from dseh_tf.data.files import expanded, hidden, is_folder
from dseh_tf.data.images import FileImages
from dseh_tf.data.readers.official_files import find_file, find_folder, read_bits, read_lines, stream_bit_rows
from dseh_tf.errors import InputError

SOURCE = "get it from https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
# The one slip of the official label files (iTomxy/data:nuswide/README.md); it is in TrainTestLabels only.
KNOWN_BAD = {"Labels_lake_Train.txt": {78_372: "-1130179"}}


@dataclass(frozen=True)
class NusWide:
    """The label side. names: `<category>/<nnnn>_<flickrid>.jpg`, unicode [n]. labels: uint8 [n, 81].

    origins: (list file, its first row), to say where a name is listed.
    """

    root: Path
    names: np.ndarray
    labels: np.ndarray
    concepts: tuple[str, ...]
    origins: tuple[tuple[Path, int], ...]

    def origin(self, row: int) -> str:
        for file, first in reversed(self.origins):
            if row >= first:
                return f"{file}:{row - first + 1}"
        return str(self.root)

    def most_frequent(self, count: int) -> np.ndarray:
        """The columns of the `count` most frequent concepts, in the official order (TC-21, TC-10)."""
        order = np.argsort(-self.labels.sum(axis=0, dtype=np.int64), kind="stable")
        return np.sort(order[:count])

    def held_again(self) -> np.ndarray:
        """bool [n]: whether another image has the same Flickr number; the distribution holds some photographs twice."""
        numbers = np.array([_flickr_id(name) for name in self.names.tolist()])
        _, photograph, copies = np.unique(numbers, return_inverse=True, return_counts=True)
        return copies[photograph] > 1


def read_nus_wide(data_dir: Path) -> NusWide:
    """Names, labels and concepts; `data_dir` is the distribution or holds it as `nus_wide` or `NUS-WIDE`.

    Without `Groundtruth/AllLabels` the two halves of `TrainTestLabels` are read, in the order of their lists.
    Raises InputError naming the file that is missing (with where to get it), that has a different number of lines than the
    image list, or holds a value other than 0 and 1, and on a name that occurs twice.
    """
    root = find_folder(data_dir, ("nus_wide", "NUS-WIDE"), ("ImageList", "Imagelist.txt"), SOURCE)
    concepts = tuple(read_lines(find_file(root, "Concepts81.txt", "ConceptsList/Concepts81.txt", source=SOURCE)))
    truth = root / "Groundtruth"
    if (truth / "TrainTestLabels").is_dir() and not (truth / "AllLabels").is_dir():
        logging.warning(
            "%s: found no AllLabels, so TrainTestLabels is read; rows are in the order of its two lists", truth
        )
        halves = [
            ("TrainImagelist.txt", "TrainTestLabels", "_Train"),
            ("TestImagelist.txt", "TrainTestLabels", "_Test"),
        ]
    else:
        halves = [("Imagelist.txt", "AllLabels", "")]
    names: list[str] = []
    labels: list[np.ndarray] = []
    origins: list[tuple[Path, int]] = []
    for list_name, folder, suffix in halves:
        file = find_file(root, f"ImageList/{list_name}", list_name, source=SOURCE)
        part = [_name(line, file, number) for number, line in enumerate(read_lines(file), 1)]
        origins.append((file, len(names)))
        names += part
        columns = np.empty((len(part), len(concepts)), np.uint8)
        for index, concept in enumerate(concepts):
            path = f"{folder}/Labels_{concept}{suffix}.txt"
            label_file = find_file(truth, path, source=SOURCE)
            columns[:, index] = read_bits(label_file, len(part), str(file), KNOWN_BAD.get(label_file.name))
        labels.append(columns)
    found = NusWide(
        root, np.array(names), np.concatenate(labels) if len(labels) > 1 else labels[0], concepts, tuple(origins)
    )
    _check_names_once(found)
    return found


def stream_tags(nus_wide: NusWide) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first row, uint8 [k, 1000]) of the tag table, a block at a time; errors are as in `read_nus_wide`."""
    table = _tag_file(nus_wide, "AllTags1k.txt")
    width = len(tag_names(nus_wide))
    return stream_bit_rows(table, width, len(nus_wide.names), str(nus_wide.origins[0][0]))


def tag_names(nus_wide: NusWide) -> tuple[str, ...]:
    """The 1,000 tags, in the order of the table's columns."""
    return tuple(read_lines(_tag_file(nus_wide, "TagList1k.txt")))


def read_tags(nus_wide: NusWide, rows: np.ndarray) -> sparse.csr_array:
    """Sparse float32 [len(rows), 1000]: which of the tags the rows have, in the order of `rows`."""
    blocks = [sparse.csr_array(block, dtype=np.float32) for _, block in stream_tags(nus_wide)]
    return sparse.vstack(blocks, format="csr")[rows]


def has_tags(nus_wide: NusWide) -> np.ndarray:
    """bool [n]: which images have any of the 1,000 tags."""
    return np.concatenate([block.any(axis=1) for _, block in stream_tags(nus_wide)])


def find_images(
    nus_wide: NusWide, rows: np.ndarray, images_root: Path | None = None, missing_ok: bool = False
) -> FileImages:
    """The image files of the rows, under `images_root` or where the distribution has them.

    Known layouts: `Flickr/<category>/<name>`, flat `images/<name>`, and flat `images/<index>_<flickrid>_<secret>_m.jpg`.
    Each folder is listed once, without hidden names (`files.hidden`); no file is opened. Raises InputError naming the
    first image that is missing, and how many are; with `missing_ok` such a row keeps the path it should have.
    """
    known = [nus_wide.root / name for name in ("Flickr", "images", "Images")]
    bases = known if images_root is None else [expanded(images_root)]
    base = next((base for base in bases if is_folder(base)), None)
    if base is None:
        raise InputError(f"{bases[0]}: no such folder, expected the images; {SOURCE}")
    files = _list_images(base)
    paths, missing = [], []
    for row in rows:
        name = str(nus_wide.names[row])
        path = files.get(name) or files.get(name.rsplit("/", 1)[-1]) or files.get(_flickr_id(name))
        if path is None:
            missing.append(row)
        paths.append(base / (path or name))
    if missing and not missing_ok:
        row = missing[0]
        raise InputError(
            f"{base / str(nus_wide.names[row])}: no such image (named in {nus_wide.origin(row)}); "
            f"{len(missing):,} of {len(rows):,} images are missing; {SOURCE}"
        )
    return FileImages(tuple(paths), tuple(nus_wide.origin(row) for row in rows))


def _list_images(base: Path) -> dict[str, str]:
    """`category/name`, `name`, or the Flickr number of `<index>_<flickrid>_<secret>_m.jpg` -> path below `base`."""
    files: dict[str, str] = {}
    with os.scandir(base) as entries:
        for entry in entries:
            if hidden(entry.name):
                continue
            if entry.is_dir():
                with os.scandir(entry.path) as members:
                    paths = [f"{entry.name}/{member.name}" for member in members if not hidden(member.name)]
                files.update(zip(paths, paths, strict=True))
                continue
            parts = entry.name.split("_")
            files[parts[1] if len(parts) >= 4 else entry.name] = entry.name
    return files


def _name(line: str, file: Path, number: int) -> str:
    """`category/file.jpg` of a list line: either slash, any prefix (iTomxy/data:nuswide/check.sample-order.py)."""
    parts = line.replace("\\", "/").rsplit("/", 2)
    if not line or "_" not in parts[-1]:
        raise InputError(f"{file}:{number}: found {line!r}, expected <category>\\<nnnn>_<flickrid>.jpg")
    return "/".join(parts[-2:])


def _flickr_id(name: str) -> str:
    return name.rsplit("_", 1)[-1].split(".")[0]


def _tag_file(nus_wide: NusWide, name: str) -> Path:
    if len(nus_wide.origins) > 1:
        raise InputError(
            f"{nus_wide.root}: tags follow Imagelist.txt, expected Groundtruth/AllLabels beside it; {SOURCE}"
        )
    return find_file(
        nus_wide.root, *(f"{folder}/{name}" for folder in ("NUS_WID_Tags", "Tags", "NUS_WIDE_Tags")), source=SOURCE
    )


def _check_names_once(nus_wide: NusWide) -> None:
    names = nus_wide.names.tolist()
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in seen:
            raise InputError(
                f"{nus_wide.origin(row)}: found {name} a second time (first in {nus_wide.origin(seen[name])})"
            )
        seen[name] = row
