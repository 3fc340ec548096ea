"""Figures for a page, names of data sets, and the labels of a logarithmic axis."""

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from figures import comparison, pr_curve, style
from figures.runs import read_runs
from figures.training_curves import PlainLogFormatter
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


def test_a_page_has_narrow_pngs_with_the_legend_below(runs_root, tmp_path, monkeypatch):
    boxes = []
    save = style.save

    def keep(figure, out, name):
        figure.canvas.draw()
        boxes.append((figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()))
        return save(figure, out, name)

    monkeypatch.setattr(style, "save", keep)
    runs = read_runs(runs_root).of(dataset="multi_digits", bits=12)
    with style.for_page():
        (page,) = pr_curve.draw(runs, tmp_path / "page")
    paper = pr_curve.draw(runs, tmp_path / "paper")
    assert page.suffix == ".png" and [path.suffix for path in paper] == [".png", ".pdf"]
    (below, above), (right, left) = boxes
    assert below.y1 <= above.y0 and right.x0 >= left.x1
    with Image.open(page) as narrow, Image.open(paper[0]) as wide:
        assert narrow.width < wide.width


def test_an_error_on_a_page_leaves_the_style_as_it_was():
    with pytest.raises(ValueError), style.for_page():
        assert style.on_page()
        raise ValueError
    assert not style.on_page()


def test_titles_of_data_sets():
    assert style.dataset_title("nus_wide_21") == "NUS-WIDE"
    assert style.dataset_title("image_lists:corel5k#12ab34") == "corel5k#12ab34 (image lists)"
    assert style.dataset_title("image_folder:a:b") == "a:b (image folder)"
    assert style.dataset_title("tfds:beans") == "tfds:beans"


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.9), (0.02, 0.5), (0.001, 40)])
def test_labels_of_a_log_axis_are_plain_numbers(low, high):
    figure, axes = plt.subplots()
    axes.set(yscale="log", ylim=(low, high))
    axes.yaxis.set_major_formatter(PlainLogFormatter())
    axes.yaxis.set_minor_formatter(PlainLogFormatter(minor_thresholds=(1, 0.5)))
    figure.canvas.draw()
    for minor in (False, True):
        ticks = zip(axes.get_yticks(minor=minor), axes.get_yticklabels(minor=minor), strict=True)
        shown = {value: label.get_text() for value, label in ticks if label.get_text() and low <= value <= high}
        assert all(float(text) == pytest.approx(value) for value, text in shown.items())
        assert not any("e" in text or "$" in text for text in shown.values())
        assert shown or minor or high < 10 * low  # a whole power of ten always has a label
    plt.close(figure)


def test_a_mean_is_bold_where_it_has_a_rival(tmp_path):
    for name, method, bits in (("a", "dseh", 12), ("b", "itq", 12), ("c", "dseh", 16)):
        write_run(tmp_path / name, WORLD, method, bits)
    runs = read_runs(tmp_path)

    def column(bits):
        return comparison.Column(
            str(bits), lambda run: run.bits == bits, lambda run: run.result["map"], lambda method: None, {}
        )

    table = comparison.compare("t", runs, [column(12), column(16)], [], [])
    assert [[cell.best for cell in row.cells] for row in table.rows] == [[True, False], [False, False]]
    alone = comparison.compare("t", runs.of(method="dseh"), [column(12), column(16)], [], [])
    assert [cell.best for row in alone.rows for cell in row.cells] == [False, False]
    assert not any("Bold" in note for note in alone.notes)
