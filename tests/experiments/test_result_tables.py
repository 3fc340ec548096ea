"""The tables of results in README.md and docs/: every number is the mean of rows in docs/results."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from experiments import result_rows, result_tables
from experiments.result_tables import TABLES, TITLES, cell, number, rendered
from figures.style import METHOD_STYLES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
BLOCK = re.compile(r"<!-- results: (\w+) -->\n(.*?)<!-- end of results -->", re.DOTALL)
# The rows and columns as a reader takes them: title -> method and preset, heading -> data, bits, measure.
METHODS = {title: name for name, title in TITLES.items()}
DATA = {"100 classes": "tiny100", "20 classes": "tiny20", "long tail": "tinytail"}
WIDE = ", 4,096 units"


def blocks() -> list[tuple[str, str, str]]:
    """Document, name and content of every table of results."""
    found = []
    for document in result_tables.DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        found += [(document, *match) for match in BLOCK.findall(text)]
    return found


def cells(table: str) -> list[tuple[str, str, str]]:
    """Row title, column heading and text of every cell of a Markdown table."""
    lines = [[item.strip() for item in line.strip("|").split("|")] for line in table.strip().splitlines()]
    head, rest = lines[0], lines[2:]
    assert all(len(line) == len(head) for line in lines)
    return [(line[0], heading, text) for line in rest for heading, text in zip(head[1:], line[1:], strict=True)]


def selected(name: str, title: str, heading: str) -> list[float]:
    """The numbers of a cell, read from the CSV without the code that wrote the table."""
    with (RESULTS / f"{TABLES[name].results}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    method, _, preset = title.removesuffix(WIDE).partition(", ")
    column, _, of = heading.partition(", ")
    measures = {"unseen": "map_unseen", "database encoded": "map_encoded_database", "": "map"}
    measure = {"map_l": "map_labels", "n_h": "n_h"}.get(heading, measures[of])
    bits = column.split()[0] if column.endswith("bits") else "32"
    of_table = {
        "coco_labels": "coco_lists",
        "dsah": "corel5k",
        "dsah_tiny100": "tiny100",
        "dsah_digits": "multi_digits",
    }
    data = DATA.get(column) or of_table.get(name, name)
    wanted = {"method": METHODS[method], "bits": bits, "data": data}
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items()) and row[measure]]
    found = [row for row in found if ("feature_layer=4096" in row["settings"]) == title.endswith(WIDE)]
    found = [
        row for row in found if row["preset"] == preset.strip("`") or (not preset and row["preset"] in ("", "modern"))
    ]
    assert len({row["settings"] for row in found}) <= 1 and len({row["seed"] for row in found}) == len(found)
    return [float(row[measure]) for row in found]


@pytest.mark.parametrize(("document", "name", "table"), blocks(), ids=[f"{each[0]}-{each[1]}" for each in blocks()])
def test_every_number_of_a_document_is_the_mean_of_rows(document, name, table):
    checked = 0
    for title, heading, text in cells(table):
        values = selected(name, title, heading)
        if text == "-":
            assert not values, (title, heading)
            continue
        text = text.replace("**", "").removesuffix(" (2 seeds)")
        assert values, f"{document}: {title}, {heading}: no row has {text}"
        tolerance = 0.5 if heading == "n_h" else 0.0005
        mean, _, deviation = text.replace(",", "").partition(" ± ")
        assert float(mean) == pytest.approx(np.mean(values), abs=tolerance * 1.001), (title, heading)
        assert bool(deviation) == (len(values) > 1), (title, heading)
        if deviation:
            assert float(deviation) == pytest.approx(np.std(values, ddof=1), abs=tolerance * 1.001), (title, heading)
        checked += 1
    assert checked or name == "coco_labels"


def test_documents_are_as_the_program_writes_them():
    assert {name for _, name, _ in blocks()} == set(TABLES)
    for document in result_tables.DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        assert rendered(text, RESULTS) == text, f"{document}: run python -m experiments.result_tables"


def test_readme_has_no_result_outside_of_these_tables():
    """A score in a sentence, or in a table written by hand, would have no row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Results\n")[1].split("\n## ")[0]
    rest = BLOCK.sub("", section)
    assert len(section) - len(rest) > 1000
    assert re.findall(r"(?<!\d)[01]?\.\d{3}", rest) == [] and "\n|" not in rest


def test_the_highest_mean_of_a_column_is_bold():
    for _, name, table in blocks():
        found = cells(table)
        for heading in {heading for _, heading, _ in found}:
            texts = [text for _, each, text in found if each == heading and text != "-"]
            if not texts or heading == "n_h":
                assert not any("**" in text for text in texts)
                continue
            means = [float(text.replace("**", "").split(" ± ")[0].split(" (")[0]) for text in texts]
            bold = [mean for mean, text in zip(means, texts, strict=True) if text.startswith("**")]
            assert bold and set(bold) == {max(means)}, (name, heading)


def test_titles_are_those_of_the_figures():
    assert all(METHOD_STYLES[name].title == title for name, title in TITLES.items())
    assert len(METHODS) == len(TITLES)


@pytest.mark.parametrize(
    ("values", "measure", "text"),
    [
        ([], "map", "-"),
        ([0.13248], "map", ".132"),
        ([1.0], "map", "1.000"),
        ([0.0966, 0.0964], "map", ".097 ± .000 (2 seeds)"),
        ([0.1, 0.2, 0.4], "map", ".233 ± .153"),
        ([1974.0, 1900.0, 2000.0], "n_h", "1,958 ± 52"),
        ([100.0], "n_h", "100"),
    ],
)
def test_a_cell(values, measure, text):
    assert cell(values, measure) == text


def test_only_what_is_between_the_marks_is_written(tmp_path):
    rows = [_row(seed, score) for seed, score in ((0, "0.100000"), (1, "0.300000"))]
    result_rows.write(tmp_path / "multi_digits.csv", rows)
    text = "# A\n\n<!-- results: multi_digits -->\nold\n<!-- end of results -->\n\n.123\n"
    expected = (
        "# A\n\n<!-- results: multi_digits -->\n\n| | 16 bits | 32 bits | 64 bits |\n|---|---|---|---|\n"
        "| ITQ-CCA | **.200 ± .141 (2 seeds)** | - | - |\n\n<!-- end of results -->\n\n.123\n"
    )
    assert rendered(text, tmp_path) == expected and rendered(expected, tmp_path) == expected
    with pytest.raises(InputError, match="results: found 'nope', expected one of corel5k"):
        rendered("<!-- results: nope -->\n<!-- end of results -->", tmp_path)
    assert number(0.0005) == ".001" and number(0.0004999) == ".000"


def test_a_row_of_other_settings_is_not_in_the_table(tmp_path):
    rows = [_row(0, "0.100000"), {**_row(1, "0.900000"), "settings": "ridge=1.0"}, {**_row(2, "0.9"), "data": "other"}]
    result_rows.write(tmp_path / "multi_digits.csv", rows)
    found = rendered("<!-- results: multi_digits -->\n<!-- end of results -->", tmp_path)
    assert "| ITQ-CCA | **.100** | - | - |" in found and ".9" not in found


def _row(seed: int, score: str) -> dict[str, str]:
    empty = dict.fromkeys(result_rows.FIELDS, "")
    return {**empty, "data": "multi_digits", "method": "itq_cca", "bits": "16", "seed": str(seed), "map": score}
