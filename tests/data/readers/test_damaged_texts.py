"""Damaged lists and texts: what a naive reader reads, or one line."""

from __future__ import annotations

import posixpath
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.data.readers import wikipedia
from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.data.readers.image_texts import read_image_texts
from dseh_tf.errors import InputError
from tests.damage import damaged, examples
from tests.data import miniatures

TEXTS = "a/1.jpg\tsea sun sea\n\nb/2.jpg\tdog\nc 3.jpg\t\n./d.jpg\tmädchen 1\n".encode()


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    root = tmp_path_factory.mktemp("wikipedia")
    topics = miniatures.write_wikipedia(root, 12, 6)
    return root, topics


def naive_texts(raw: bytes) -> dict[str, list[str]] | None:
    """Words by path; None for what is refused."""
    found: dict[str, list[str]] = {}
    with suppress(UnicodeDecodeError):
        text = raw.decode("utf-8-sig")
        for line in text.split("\n"):
            if line.strip():
                path, tab, words = line.partition("\t")
                path = posixpath.normpath(path.strip())
                if not tab or not line.partition("\t")[0].strip() or path in found:
                    return None
                found[path] = words.split()
        return found
    return None


@examples(150)
@given(st.data())
def test_texts_are_read_as_naively(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    raw = damaged(data, TEXTS, TEXTS[::-1]).replace(b"\r", b"")
    file.write_bytes(raw)
    expected = naive_texts(raw)
    try:
        found = read_image_texts(file)
    except InputError as error:
        assert "\n" not in str(error) and not expected
    else:
        assert {path: words for path, (_, words) in found.items()} == expected


@examples(100)
@given(st.data())
def test_class_names_are_all_or_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("names")
    raw = damaged(data, "cat\ndog\nemü\n".encode())
    (folder / "words.txt").write_bytes(raw)
    try:
        found = read_class_names(folder, 3)
    except InputError as error:
        assert "\n" not in str(error)
        with pytest.raises(UnicodeDecodeError):
            raw.decode("utf-8-sig")
    else:
        names = [line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
        assert list(found) == (names if len(names) == 3 else [])


@examples(60)
@given(st.data())
def test_damaged_lists_of_wikipedia(official, data):
    """The matrices are whole here, and read once."""
    root, topics = official
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wikipedia, "read_mat", lambda file, names: {name: topics[name] for name in names})
        file = root / data.draw(st.sampled_from(["trainset_txt_img_cat.list", "testset_txt_img_cat.list"]))
        whole = file.read_bytes()
        try:
            file.write_bytes(damaged(data, whole))
            parts = wikipedia.read_wikipedia(root)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            for part, count in (("train", 12), ("query", 6)):
                assert len(parts[part].ids) == len(set(parts[part].ids.tolist())) == count
                np.testing.assert_array_equal(parts[part].labels.sum(axis=1), 1)
        finally:
            file.write_bytes(whole)
