"""The table of both directions: means over seeds, published numbers beside the right row, and runs that have none."""

import json
import statistics

import pytest

from figures import direction_table
from figures.runs import read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


def write(folder, preset, seed, numbers, dataset="nus_wide_10", bits=64):
    write_run(folder, WORLD, "djsrh", bits, seed, dataset, preset)
    file = folder / "result.json"
    directions = {direction: {"map": at / 2, "map_at": {"50": at}} for direction, at in numbers.items()}
    file.write_text(
        json.dumps(
            {
                **json.loads(file.read_text()),
                "directions": directions,
                "random_order": {"map": 0.2, "map_at": {"50": 0.25}},
            }
        )
    )


@pytest.fixture
def runs(tmp_path):
    for seed, at in enumerate((0.8, 0.7)):
        write(
            tmp_path / f"full-{seed}", "full", seed, {"image->text": at, "text->image": at - 0.1, "image->image": 0.9}
        )
    write(tmp_path / "texts", "text_affinity", 0, {"image->text": 0.5, "text->image": 0.4})
    write_run(tmp_path / "itq", WORLD, "itq", 64, 0, "nus_wide_10")
    return read_runs(tmp_path)


def test_each_direction_has_its_numbers(runs, tmp_path):
    at_50, whole = direction_table.build(runs)
    assert at_50.columns == ["image->text, 64 bits", "text->image, 64 bits"]
    cells = {(row.label, row.kind): [cell.text for cell in row.cells] for row in at_50.rows}
    deviation = statistics.stdev((0.8, 0.7))
    assert cells["DJSRH (full)", "ours"] == [f"0.7500 ± {deviation:.4f} (2)", f"0.6500 ± {deviation:.4f} (2)"]
    assert cells["DJSRH (full)", "published"] == ["0.798", "0.771"]
    assert cells["DJSRH (text_affinity)", "published"] == ["0.702", "0.606"]
    assert len(cells) == 4  # ITQ has no directions
    assert {row.kind for row in whole.rows} == {"ours"} and whole.rows[0].cells[0].text.startswith("0.3750")
    assert "A ranking in random order: 0.2500." in at_50.notes and "A ranking in random order: 0.2000." in whole.notes
    written = direction_table.draw(runs, tmp_path / "out")
    assert [path.name for path in written] == [f"direction_table.{end}" for end in ("md", "tex", "csv")]


def test_runs_on_images_alone_have_no_such_table(tmp_path):
    write_run(tmp_path / "itq", WORLD, "itq", 16, 0)
    assert direction_table.draw(read_runs(tmp_path), tmp_path / "out") == []
