"""Searching with a new image: what is printed, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack, save_codes
from experiments import query


def test_answers_and_what_is_left_out(tmp_path, monkeypatch, capsys):
    """Two queries against items at distances 1, 0, 1, 1, 3 of the first and 2, 3, 2, 2, 0 of the second."""
    database = np.array([[1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, -1]], np.int8)
    save_codes(
        tmp_path / "codes.npz",
        query_codes=pack(database[:1]),
        database_codes=pack(database),
        query_labels=np.ones((1, 1), np.uint8),
        database_labels=np.ones((5, 1), np.uint8),
        query_ids=np.array(["q"]),
        database_ids=np.array(list("abcde")),
        bits=3,
    )
    images = [tmp_path / "x.png", tmp_path / "y.png"]
    for path in images:
        path.write_text("")
    monkeypatch.setattr(query, "encode", lambda _, paths: database[[1, 4]][: len(paths)])
    query.main(["query"], SimpleNamespace(workdir=tmp_path, images=images, top=3))
    assert capsys.readouterr().out.splitlines() == [
        str(images[0]), "    0  b", "    1  a", "    1  c", "  3 items at distance 1, 2 shown; ties in the database's order",
        str(images[1]), "    0  e", "    2  a", "    2  c", "  3 items at distance 2, 2 shown; ties in the database's order",
    ]  # fmt: skip
    query.main(["query"], SimpleNamespace(workdir=tmp_path, images=images[:1], top=1))
    assert "  1 item at distance 0, 1 shown;" in capsys.readouterr().out


def test_images_that_are_no_files(tmp_path):
    for images, line in (
        ([], "images: found none, expected image files"),
        ([tmp_path], f"images: {tmp_path}: found a folder, expected an image file"),
        ([tmp_path / "a.png"], "a.png: found no such file, expected an image file"),
    ):
        with pytest.raises(InputError, match=line):
            query.main(["query"], SimpleNamespace(workdir=tmp_path, images=images, top=10))
