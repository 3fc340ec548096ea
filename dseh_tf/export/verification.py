"""Verifies an export by encoding its check images again."""

from __future__ import annotations

from pathlib import Path

from dseh_tf.data.files import expanded
from dseh_tf.export import check_images, description, runtimes


def verify(folder: Path | str) -> int:
    """Checks an export: `model.json`, the digests of the model's files, and the codes of its check images.

    Args:
        folder: An export.

    Returns:
        The number of check images.

    Raises:
        InputError: A file is missing or damaged, or a version, a digest or a code differs.
    """
    folder = expanded(Path(folder))
    found = description.read(folder)
    description.check_files(folder, found)
    runner = runtimes.load(description.model_path(folder, found), found["model_format"])
    return check_images.compare(folder, found, runner)
