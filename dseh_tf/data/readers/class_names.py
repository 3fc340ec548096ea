"""The names of the classes, from a file next to image lists."""

from __future__ import annotations

from pathlib import Path

from absl import logging

from dseh_tf.data.files import is_there, read_bytes
from dseh_tf.errors import InputError

FILES = ("words.txt", "classes.txt")


def read_class_names(folder: Path, classes: int) -> tuple[str, ...]:
    """Reads the class names, one per line, from `words.txt` or else `classes.txt`.

    Args:
        folder: The folder of the lists.
        classes: Number of classes.

    Returns:
        The names. Empty if there is no file, or none with a name for each class, which is logged.

    Raises:
        InputError: A file is not UTF-8.
    """
    for file in (folder / name for name in FILES):
        if not is_there(file):
            continue
        try:
            text = read_bytes(file, "a class name a line").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file}: found bytes that are not UTF-8 ({error.reason}), expected one class name per line"
            ) from None
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if len(names) == classes:
            return names
        logging.warning("%s: found %d names, expected %d; the classes have no names", file, len(names), classes)
    return ()
