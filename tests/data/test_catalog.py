"""The catalog and the embedded data set; the official data sets have tests of their own."""

import numpy as np
import pytest

from dseh_tf.data import catalog
from dseh_tf.data.builders.multi_digits import compose
from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.check_split import check_split
from dseh_tf.data.sets.multi_digits import PROTOCOL
from dseh_tf.errors import InputError


@pytest.fixture(scope="module")
def multi_digits(digits_dir):
    return catalog.load("multi_digits", DataOptions(data_dir=digits_dir))


def test_unknown_name():
    with pytest.raises(InputError, match=r"dataset: found 'digits', expected one of multi_digits, image_lists"):
        catalog.load("digits")


def test_image_lists_need_their_folder(tmp_path):
    with pytest.raises(InputError, match="lists_dir: found none"):
        catalog.load("image_lists")
    with pytest.raises(InputError, match=r"train\.txt: found no such file"):
        catalog.load("image_lists", DataOptions(lists_dir=tmp_path))


def test_multi_digits_keeps_its_protocol(multi_digits):
    report = check_split(multi_digits, PROTOCOL)
    assert report.sizes == {"train": 2_000, "query": 500, "database": 5_000}
    assert 0.3 < report.relevant_share < 0.45
    assert all((counts > 0.12 * report.sizes[part]).all() for part, counts in report.class_counts.items())
    assert multi_digits.database_is_train().sum() == 2_000


def test_multi_digits_rows_belong_together(multi_digits):
    assert multi_digits.database.images.array.shape == (5_000, 48, 48, 3)
    for part, row in (("query", 499), ("database", 0), ("database", 4_321), ("train", 1_999)):
        split = getattr(multi_digits, part)
        canvas = compose.compose("query" if part == "query" else "database", row)
        assert split.ids[row] == canvas.id
        np.testing.assert_array_equal(split.images.read(row), canvas.image)
        np.testing.assert_array_equal(split.labels[row], canvas.labels)
        np.testing.assert_array_equal(split.texts[[row]].toarray()[0], canvas.text)
    assert multi_digits.train.texts.dtype == np.float32
    assert multi_digits.vocabulary == compose.VOCABULARY


def test_multi_digits_is_built_once(multi_digits, digits_dir, monkeypatch):
    monkeypatch.setattr(compose, "compose", None)
    again = catalog.load("multi_digits", DataOptions(data_dir=digits_dir, labels_only=True))
    assert not again.has_images
    np.testing.assert_array_equal(again.query.labels, multi_digits.query.labels)


def test_no_scan_serves_query_and_database():
    sources = {
        part: {source for row in range(0, size, 5) for source in compose.compose(part, row).sources}
        for part, size in compose.SIZES.items()
    }
    assert not sources["query"] & sources["database"]
    pools = [{int(s) for digit in range(10) for s in compose._pool(part, digit)} for part in ("query", "database")]
    assert not pools[0] & pools[1] and len(pools[0] | pools[1]) == 1_797
    assert sources["query"] <= pools[0] and sources["database"] <= pools[1]


def test_canvases_show_their_labels():
    """Each canvas has one to three digits, and the scan behind each digit is of that digit."""
    _, digits = compose._scans()
    for row in range(60):
        canvas = compose.compose("database", row)
        assert 1 <= canvas.labels.sum() <= 3
        assert sorted(digits[list(canvas.sources)]) == np.flatnonzero(canvas.labels).tolist()
        assert np.abs(canvas.image.astype(int) - np.median(canvas.image, axis=(0, 1))).max() > 60  # ink on ground


def test_tags_speak_of_the_digits_but_not_only():
    canvases = [compose.compose("database", row) for row in range(500)]
    named = [sum(compose.DIGIT_WORDS[d] in c.tags for d in np.flatnonzero(c.labels)) / c.labels.sum() for c in canvases]
    assert 0.65 < np.mean(named) < 0.85
    wrong = [any(compose.DIGIT_WORDS[d] in c.tags for d in np.flatnonzero(c.labels == 0)) for c in canvases]
    assert 0 < np.mean(wrong) < 0.1
