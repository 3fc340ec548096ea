"""The picture of README: which rows it has, what its frames say, and how large its file is."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from figures import readme_picture
from figures.runs import read_runs


@pytest.fixture(scope="module")
def digits(runs_root):
    return read_runs(runs_root, ("codes", "thumbnails")).of(dataset="multi_digits", bits=32)


def test_rows_have_pictures_and_different_labels_first(digits):
    rows = readme_picture._rows(digits)
    assert len(rows) == readme_picture.ROWS
    assert all(query.source and len(answers) == readme_picture.COLUMNS for query, answers in rows)
    every = readme_picture.top_ten.queries(digits)
    assert len({query.classes for query, _ in rows}) == min(len({query.item.classes for query in every}), len(rows))


def test_frames_say_which_answers_share_a_label(digits):
    rows = readme_picture._rows(digits)
    figure = plt.figure().subfigures(1, 1)
    readme_picture._images(figure, rows, "title")
    grid = np.reshape(figure.axes, (len(rows), readme_picture.COLUMNS + 1))
    for line, (query, answers) in zip(grid, rows, strict=True):
        for axes, answer in zip(line[1:], answers, strict=True):
            shares = bool(set(query.classes) & set(answer.item.classes))
            colour = to_hex(axes.spines["left"].get_edgecolor()).upper()
            assert colour == (readme_picture.RIGHT if shares else readme_picture.WRONG)
            assert axes.get_xlabel() == str(answer.distance)


def test_one_small_file_per_data_set_and_code_length(digits, tmp_path):
    (path,) = readme_picture.draw(digits, tmp_path)
    assert path == tmp_path / "overview_multi_digits_32.png" and path.stat().st_size < 150_000
    with Image.open(path) as image:
        assert image.mode == "P" and image.width > 1000 and not image.info.get("Software")
