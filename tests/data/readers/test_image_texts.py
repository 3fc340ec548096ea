"""`texts.txt` beside image lists, against a naive pairing by path."""

import numpy as np
import pytest

from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.errors import InputError

LISTS = {"train": ["a b.jpg", "c.jpg", "d.jpg"], "test": ["q.jpg"], "database": ["d.jpg", "c.jpg", "e.jpg"]}
WORDS = {"a b.jpg": "sky sea", "c.jpg": "sea  sea\tmoon", "d.jpg": "sky", "q.jpg": "moon rare", "e.jpg": "rare"}


@pytest.fixture
def folder(tmp_path):
    for name, paths in LISTS.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{path} 1 0\n" for path in paths))
    write(tmp_path, WORDS)
    return tmp_path


def write(folder, words):
    (folder / "texts.txt").write_text("".join(f"{path}\t{line}\n" for path, line in words.items()))


def check(dataset, words):
    for part, name in (("train", "train"), ("query", "test"), ("database", "database")):
        split = getattr(dataset, part)
        assert split.ids.tolist() == [path for path in LISTS[name] if words.get(path)]
        naive = [[words[path].split().count(word) for word in dataset.vocabulary] for path in split.ids.tolist()]
        np.testing.assert_array_equal(split.texts.toarray(), naive)


def test_words_are_found_by_path(folder):
    dataset = load_image_lists(folder, labels_only=True)
    assert dataset.vocabulary == ("moon", "sea", "sky")
    assert dataset.notes["texts"] == {
        "texts_without_image": 0, "train": 0, "query": 0, "database": 0, "words": 3, "unknown_words": 1
    }  # fmt: skip
    check(dataset, WORDS)
    write(folder, {f"./{path}": line for path, line in reversed(WORDS.items())})
    check(load_image_lists(folder, labels_only=True), WORDS)


def test_a_vocabulary_of_ones_own(folder):
    (folder / "vocabulary.txt").write_text("sky\nrare\n\n")
    dataset = load_image_lists(folder, labels_only=True)
    assert dataset.vocabulary == ("sky", "rare")
    check(dataset, WORDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({**WORDS, "d.jpg": ""}, r"texts\.txt:3: found no word for d\.jpg of the train images \(1 such\)"),
        (
            {path: WORDS[path] for path in WORDS if path != "e.jpg"},
            r"texts\.txt: found no line of e\.jpg of the database",
        ),
        ({**WORDS, "z.jpg": "sky"}, r"texts\.txt:6: found the text of z\.jpg, which is in no list \(1 such lines\)"),
    ],
)
def test_what_has_no_partner_is_named_or_skipped(folder, words, message):
    write(folder, words)
    with pytest.raises(InputError, match=message) as error:
        load_image_lists(folder, labels_only=True)
    assert "--skip_unpaired" in str(error.value) and "\n" not in str(error.value)
    dataset = load_image_lists(folder, labels_only=True, skip_unpaired=True)
    check(dataset, words)
    naive = {part: sum(not words.get(path) for path in LISTS[name]) for part, name in
             (("train", "train"), ("query", "test"), ("database", "database"))}  # fmt: skip
    counted = dataset.notes["texts"]
    assert {part: counted[part] for part in naive} == naive
    assert counted["texts_without_image"] == len(set(words) - set().union(*LISTS.values()))


def test_bad_lines(folder):
    for text, message in (
        ("a b.jpg sky\n", r"texts\.txt:1: found 'a b\.jpg sky', expected `path<TAB>word word \.\.\.`"),
        ("c.jpg\tsky\n./c.jpg\tsea\n", r"texts\.txt:2: found c\.jpg a second time \(first in line 1\)"),
        ("\tsky\n", r"texts\.txt:1: found '\\tsky'"),
    ):
        (folder / "texts.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            load_image_lists(folder, labels_only=True)
    (folder / "texts.txt").write_bytes(b"c.jpg\t\xff\n")
    with pytest.raises(InputError, match=r"texts\.txt: found bytes that are not UTF-8"):
        load_image_lists(folder, labels_only=True)


def test_texts_of_lines_that_were_left_out_are_no_error(folder):
    (folder / "train.txt").write_text("a b.jpg 0 0\nc.jpg 1 0\nd.jpg 1 0\n")
    dataset = load_image_lists(folder, labels_only=True, unlabelled="leave_out")
    assert dataset.train.ids.tolist() == ["c.jpg", "d.jpg"] and dataset.notes["texts"]["texts_without_image"] == 1
