"""Writes image lists with a different label structure: fewer classes, or a long-tailed class distribution.

    python -m experiments.derive_lists --lists_dir=LISTS --classes=20 --out=LISTS_20
    python -m experiments.derive_lists --lists_dir=LISTS --long_tail=0.05 --out=LISTS_TAIL

The paths do not change, so `--images_root` and feature folders of `extract_features` also work with the new lists. No
image is read. Rows without any of the kept classes are left out of all lists. Lines without any label are an error,
unless `--unlabelled=leave_out` leaves them out too, or `--unlabelled=distractors` keeps them in every list. With
`--long_tail=T`, the training list keeps the first T ** (j / (classes - 1)) of the rows of class j, in the order of the
list; the removed rows stay in the database.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.data.files import expanded
from dseh_tf.data.readers.class_names import FILES as NAMES
from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.data.readers.image_lists import UNLABELLED, ImageList, read_image_list
from dseh_tf.data.readers.image_texts import TEXTS, VOCABULARY, read_image_texts
from dseh_tf.errors import InputError
from experiments import program


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("lists_dir", None, "Folder with train.txt, test.txt and database.txt.", **own)
    program.DEFINE_path("out", None, "Folder to write the new lists to.", **own)
    flags.DEFINE_integer("classes", None, "Keep this many classes, the first ones.", lower_bound=2, **own)
    flags.DEFINE_enum("unlabelled", "refuse", UNLABELLED, "Lines without a label: see above.", **own)
    flags.DEFINE_float("long_tail", 1.0, "Fraction of the training rows that the last class keeps.", 0.0, 1.0, **own)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    if given.lists_dir is None or given.out is None:
        raise InputError("lists_dir, out: found none, expected two folders")
    if given.long_tail == 0:
        raise InputError("long_tail: found 0.0, expected a positive fraction")
    source, out = expanded(given.lists_dir), expanded(given.out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: found a folder that is not empty, expected a new one")
    train = read_image_list(source / "train.txt", given.unlabelled)
    count = train.labels.shape[1]
    classes = given.classes or count
    if classes > count:
        raise InputError(f"classes: found {classes}, expected at most the {count} of {source}")
    without = np.flatnonzero(~train.labels.any(axis=1))  # distractors: the tail has no share of them
    kept = np.sort(np.concatenate([long_tail(train.labels[:, :classes], given.long_tail), without]))
    lists = {"train.txt": _listed(train, classes, kept)}
    for name in ("test.txt", "database.txt"):
        if (source / name).exists() or name == "test.txt":
            entries = read_image_list(source / name, given.unlabelled)
        else:  # the database was the training list; the rows that training loses stay in it
            entries = train
        if entries.labels.shape[1] != count:
            found = f"found {entries.labels.shape[1]} labels in a line"
            raise InputError(f"{source / name}: {found}, expected {count} as in {source / 'train.txt'}")
        lists[name] = _listed(entries, classes, np.arange(len(entries.paths)))
    files = {name: _text(line for _, line in lines) for name, lines in lists.items()}
    names = read_class_names(source, count)
    if names:
        files[NAMES[0]] = _text(names[:classes])
    if (source / TEXTS).is_file():
        paths = {posixpath.normpath(path) for lines in lists.values() for path, _ in lines}
        texts = read_image_texts(source / TEXTS)
        files[TEXTS] = _text(f"{path}\t{' '.join(words)}" for path, (_, words) in texts.items() if path in paths)
        if (source / VOCABULARY).is_file():
            files[VOCABULARY] = (source / VOCABULARY).read_bytes()
    out.mkdir(parents=True, exist_ok=True)  # nothing is written before all is read
    for name, content in files.items():
        (out / name).write_bytes(content)
    told = ", ".join(f"{len(lines)} rows in {name}" for name, lines in lists.items())
    print(f"{out}: {classes} classes, {told}")


def long_tail(labels: np.ndarray, share: float) -> np.ndarray:
    """The rows that are kept: of class j the first `share` ** (j / (c - 1)), at least one; a row is of its first class.

    Args:
        labels: uint8 [n, c].
        share: What the last class keeps, in (0, 1].

    Returns:
        int64, ascending.
    """
    first, classes = labels.argmax(axis=1), labels.shape[1]
    kept = []
    for j in range(classes):
        rows = np.flatnonzero((first == j) & labels.any(axis=1))
        kept.append(rows[: max(1, round(len(rows) * share ** (j / max(classes - 1, 1))))] if len(rows) else rows)
    return np.sort(np.concatenate(kept))


def _listed(entries: ImageList, classes: int, rows: np.ndarray) -> list[tuple[str, str]]:
    """The (path, line) of the given rows that have a label among the first `classes`, or no label at all."""
    labels = entries.labels[rows]
    rows = rows[labels[:, :classes].any(axis=1) | ~labels.any(axis=1)]
    names = [str(entries.paths[row]) for row in rows]
    return [
        (name, f"{name} {' '.join(map(str, entries.labels[row, :classes]))}")
        for name, row in zip(names, rows, strict=True)
    ]


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


if __name__ == "__main__":
    define_flags()
    program.run(main)
