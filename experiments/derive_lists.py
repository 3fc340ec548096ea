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
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.data.files import expanded
from dseh_tf.data.readers.image_lists import UNLABELLED, ImageList, read_image_list
from dseh_tf.data.readers.image_texts import TEXTS, VOCABULARY, read_image_texts
from dseh_tf.errors import InputError
from experiments import program

_NAMES = ("words.txt", "classes.txt")


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
    classes = given.classes or train.labels.shape[1]
    if classes > train.labels.shape[1]:
        raise InputError(f"classes: found {classes}, expected at most the {train.labels.shape[1]} of {source}")
    out.mkdir(parents=True, exist_ok=True)
    without = np.flatnonzero(~train.labels.any(axis=1))  # distractors: the tail has no share of them
    kept = np.sort(np.concatenate([long_tail(train.labels[:, :classes], given.long_tail), without]))
    written = [_write(out / "train.txt", train, classes, kept)]
    names = ("test.txt", "database.txt")
    for name in names:
        if (source / name).exists() or name == "test.txt":
            entries = read_image_list(source / name, given.unlabelled)
        else:  # the database was the training list; the rows that training loses stay in it
            entries = train
        written.append(_write(out / name, entries, classes, np.arange(len(entries.paths))))
    for name in _NAMES:
        if (source / name).is_file():
            words = (source / name).read_text(encoding="utf-8").splitlines()[:classes]
            (out / name).write_text("\n".join(words) + "\n", encoding="utf-8")
    if (source / TEXTS).is_file():
        _write_texts(source, out, {posixpath.normpath(path) for paths in written for path in paths})
    told = ", ".join(f"{len(paths)} rows in {name}" for name, paths in zip(("train.txt", *names), written, strict=True))
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


def _write_texts(source: Path, out: Path, paths: set[str]) -> None:
    """Writes the texts of these images, in the order of the file, and copies vocabulary.txt."""
    texts = read_image_texts(source / TEXTS)
    lines = [f"{path}\t{' '.join(words)}" for path, (_, words) in texts.items() if path in paths]
    (out / TEXTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if (source / VOCABULARY).is_file():
        (out / VOCABULARY).write_bytes((source / VOCABULARY).read_bytes())


def _write(path: Path, entries: ImageList, classes: int, rows: np.ndarray) -> list[str]:
    """Writes the given rows that have a label among the first `classes`, or no label at all; returns their paths."""
    labels = entries.labels[rows]
    rows = rows[labels[:, :classes].any(axis=1) | ~labels.any(axis=1)]
    lines = [f"{entries.paths[row]} {' '.join(map(str, entries.labels[row, :classes]))}" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [str(entries.paths[row]) for row in rows]


if __name__ == "__main__":
    define_flags()
    program.run(main)
