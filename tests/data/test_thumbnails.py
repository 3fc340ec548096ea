"""Pictures of queries and answers, and sheets of them."""

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.thumbnails import answer_sheet, sprite, thumbnails


def world():
    """Images of one colour each; the third query shares no label with its nearest item."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (26, 1, 1, 3), np.uint8)
    images = np.broadcast_to(colours, (26, 20, 20, 3)).copy()
    labels = np.eye(3, dtype=np.uint8)[np.arange(26) % 3]
    return RetrievalDataset.from_arrays((images[:20], labels[:20]), (images[20:], labels[20:])), colours[:, 0, 0]


def codes(n, seed):
    return np.where(np.random.default_rng(seed).random((n, 8)) < 0.5, 1, -1).astype(np.int8)


def test_thumbnails_are_of_the_nearest_items():
    dataset, colours = world()
    query, database = codes(6, 1), codes(20, 2)
    shown = thumbnails(dataset, query, database)
    assert shown["query_images"].shape == (6, 96, 96, 3) and shown["database_images"].shape == (6, 10, 96, 96, 3)
    for row in range(6):
        distances = [(query[row] != code).sum() for code in database]
        expected = sorted(range(20), key=lambda item: (distances[item], item))[:10]
        assert shown["database_rows"][row].tolist() == expected
        assert (shown["query_images"][row] == colours[20 + row]).all()
        assert (shown["database_images"][row, 3] == colours[expected[3]]).all()
        assert shown["database_ids"][row].tolist() == dataset.database.ids[expected].tolist()


def test_the_sheet_frames_answers_by_relevance():
    dataset, colours = world()
    shown = thumbnails(dataset, codes(6, 1), codes(20, 2))
    sheet = answer_sheet(shown, dataset)
    cell = 96 + 2 * (3 + 6)
    assert sheet.shape == (6 * cell, 11 * cell + 12, 3) and sheet.dtype == np.uint8
    for row in range(6):
        top = row * cell
        assert (sheet[top + cell // 2, cell // 2] == colours[20 + row]).all()
        for place in range(10):
            left = cell + 12 + place * cell
            item = shown["database_rows"][row, place]
            assert (sheet[top + cell // 2, left + cell // 2] == colours[item]).all()
            right = (20 + row) % 3 == item % 3
            frame = sheet[top + 7, left + 7].astype(int)
            assert (frame[1] > frame[0]) == right


def test_a_sprite_goes_line_by_line():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    found = sprite(images)
    assert found.shape == (6, 6, 3)
    assert found[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 0], [0, 0, 0]]
