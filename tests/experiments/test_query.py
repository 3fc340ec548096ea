"""Searching with a new image: what is printed, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dseh_tf.errors import InputError
from experiments import query


def test_images_that_are_no_files(tmp_path):
    for images, line in (
        ([], "images: found none, expected image files"),
        ([tmp_path], f"images: {tmp_path}: found a folder, expected an image file"),
        ([tmp_path / "a.png"], "a.png: found no such file, expected an image file"),
    ):
        with pytest.raises(InputError, match=line):
            query.main(["query"], SimpleNamespace(workdir=tmp_path, images=images, top=10))
