"""Tables 1 and 2, Top-5K and mAC: numbers against plain computation, gaps, and the three formats."""

import csv
import io
import json
import re
import statistics

import numpy as np
import pytest

from dseh_tf.retrieval.health import correlation
from figures import ablation_table, code_correlation, map_table, published, seconds_table, top5k_table
from figures.runs import read_runs
from figures.style import METHOD_STYLES
from figures.tables import Cell, Row, Table, latex_text, number, signed, to_csv, to_html, to_latex, to_markdown
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


@pytest.fixture(scope="module")
def runs(runs_root):
    return read_runs(runs_root)


def result(runs_root, name):
    return json.loads((runs_root / name / "result.json").read_text())


def cells(table, label, kind):
    (row,) = [row for row in table.rows if (row.label, row.kind) == (label, kind)]
    return dict(zip(table.columns, [cell.text for cell in row.cells], strict=True))


def by_title(tables, word):
    (table,) = [table for table in tables if word in table.title]
    return table


def test_map_table_gives_mean_deviation_and_seeds(runs, runs_root):
    table = by_title(map_table.build(runs), "multi_digits")
    values = [result(runs_root, f"digits-itq-12-{seed}")["map"] for seed in (0, 1)]
    mean, half = sum(values) / 2, abs(values[0] - values[1]) / 2
    # two values: sample deviation is their distance / sqrt 2
    assert cells(table, "ITQ", "ours")["12 bits"] == f"{mean:.4f} ± {half * 2 / 2**0.5:.4f} (2)"
    assert table.columns == ["12 bits", "32 bits"]


def test_map_table_difference_and_absent_cells(runs, runs_root):
    table = by_title(map_table.build(runs), "NUS-WIDE")
    assert table.columns == ["16 bits", "32 bits", "48 bits", "64 bits"]
    ours = result(runs_root, "nus/dseh-32")["map"]
    assert cells(table, "DSEH", "ours")["32 bits"] == f"{ours:.4f} (1)"
    assert cells(table, "DSEH", "published")["32 bits"] == "0.7312"
    assert cells(table, "DSEH", "difference")["32 bits"].replace("−", "-") == f"{ours - 0.7312:+.4f}"
    # no run: said so, no difference, whatever was published
    assert cells(table, "DSEH", "ours")["16 bits"] == "no run"
    assert cells(table, "DSEH", "difference")["16 bits"] == ""
    assert set(cells(table, "HashNet", "ours").values()) == {"no run"}
    assert cells(table, "HashNet", "published")["64 bits"] == "0.7374"
    labels = [row.label for row in table.rows if row.kind == "ours"]
    assert labels == ["DSEH", "DSEH-SS", "HashNet", "DHN", "DPSH", "CNNH", "SDH", "KSH", "ITQ-CCA", "ITQ", "SH", "LSH"]


def test_no_published_number_ever_stands_for_ours(runs):
    for build in (map_table.build, ablation_table.build, top5k_table.build):
        for table in build(runs):
            for record in table.records:
                assert (record["mean"] is None) == (record["seeds"] == 0)
                if record["seeds"] == 0:
                    assert record["difference"] is None


def test_presets_side_by_side_are_two_rows(tmp_path):
    for preset in ("release", "paper"):
        write_run(tmp_path / preset, WORLD, "dseh", 16, preset=preset)
    (table,) = map_table.build(read_runs(tmp_path))
    assert [row.label for row in table.rows] == ["DSEH (paper)", "DSEH (release)"]


def test_ablation_table(runs, runs_root):
    table = by_title(ablation_table.build(runs), "NUS-WIDE")
    assert [row.label for row in table.rows if row.kind == "ours"] == ["DSEH", "DSEH-S", "DSEH-SS", "DSEH-L", "DSEH-A"]
    ours = result(runs_root, "nus/dseh_ss-32")
    row = cells(table, "DSEH-SS", "ours")
    assert row == {"n_h": "20 (1)", "map_l": "0.9000 (1)", "map_i": f"{ours['map']:.4f} (1)"}
    assert cells(table, "DSEH-SS", "published") == {"n_h": "1164", "map_l": "0.9322", "map_i": "0.7013"}
    assert cells(table, "DSEH-SS", "difference")["n_h"] == "−1144"
    assert cells(table, "DSEH-A", "ours")["map_i"] == "no run"


def test_a_variant_that_differs_in_more_than_its_part_is_told(tmp_path):
    settings = {"label_weight": 1.0, "labnet_feature_weight": 0.0, "imgnet_feature_weight": 1.0}
    changes = {
        "dseh": {},
        "dseh_l": {"label_weight": 0.0},
        "dseh_s": {"imgnet_feature_weight": 0.0, "labnet_feature_weight": 1.0},
    }
    for method, changed in changes.items():
        write_run(tmp_path / method, WORLD, method, 32)
        config = tmp_path / method / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "settings": {**settings, **changed}}))
    (table,) = ablation_table.build(read_runs(tmp_path))
    told = [note for note in table.notes if "more than its own part" in note]
    assert told == ["DSEH-S differs from DSEH in more than its own part: labnet_feature_weight."]


@pytest.mark.parametrize("build", [map_table.build, ablation_table.build, top5k_table.build])
def test_every_table_of_map_tells_its_tie_rule_and_what_was_noted(tmp_path, build):
    for seed in (0, 1):
        write_run(tmp_path / f"run{seed}", WORLD, "dseh", 32, seed)
    config = json.loads((tmp_path / "run1" / "config.json").read_text())
    (tmp_path / "run1" / "config.json").write_text(json.dumps({**config, "settings": {"learning_rate": 0.5}}))
    (table,) = build(read_runs(tmp_path))
    assert any("expectation" in note for note in table.notes)
    assert "multi_digits, dseh, release, 32 bits: runs differ in learning_rate" in table.notes


def test_a_run_on_labels_only_has_no_map_of_images(runs):
    table = by_title(ablation_table.build(runs), "MS-COCO")
    row = cells(table, "DSEH", "ours")
    assert row["map_l"] == "0.9000 (1)" and row["map_i"] == "no run"
    assert not [table for table in map_table.build(runs) if "COCO" in table.title]


def naive_map_at(relevant, total, k, trials, rng):
    """MAP@k by drawing orders: the mean over random orders of the tied items."""
    values = []
    for hits, items in zip(relevant, total, strict=True):
        for _ in range(trials):
            ranking = np.concatenate(
                [rng.permutation(np.r_[np.ones(h), np.zeros(n - h)]) for h, n in zip(hits, items, strict=True)]
            )[:k]
            found = ranking.sum()
            precision = np.cumsum(ranking) / np.arange(1, len(ranking) + 1)
            values.append((precision * ranking).sum() / found if found else 0.0)
    return statistics.fmean(values)


def test_top5k_counts_within_the_first_returned(runs, runs_root, monkeypatch):
    monkeypatch.setattr(top5k_table, "RETURNED", 40)
    table = by_title(top5k_table.build(runs), "multi_digits")
    (record,) = [
        r for r in table.records if r["method"] == "itq" and r["bits"] == 12 and r["dataset"] == "multi_digits"
    ]
    rng, values = np.random.default_rng(0), []
    for seed in (0, 1):
        with np.load(runs_root / f"digits-itq-12-{seed}" / "counts.npz") as stored:
            values.append(naive_map_at(stored["relevant"], stored["total"], 40, 100, rng))
    assert record["mean"] == pytest.approx(statistics.fmean(values), abs=0.01)
    assert record["measure"] == "map_at_40"


def test_top5k_on_a_small_database_says_that_it_is_map(runs, runs_root):
    table = by_title(top5k_table.build(runs), "multi_digits")
    assert any("equals MAP" in note for note in table.notes)
    (record,) = [r for r in table.records if r["method"] == "itq" and r["bits"] == 32]
    assert record["mean"] == pytest.approx(
        statistics.fmean(result(runs_root, f"digits-itq-32-{seed}")["map"] for seed in (0, 1))
    )


def test_published_numbers_are_those_of_the_papers():
    assert published.MAP["imagenet_100"]["itq_cca"] == {16: 0.2312, 32: 0.4061, 48: 0.4316, 64: 0.4568}
    assert published.MAP["ms_coco"]["lsh"][64] == 0.4119 and published.MAP["nus_wide_21"]["sh"][64] == 0.4244
    assert published.TOP5K["cifar10"]["fasth"] == {12: 0.596, 24: 0.712, 36: 0.753, 48: 0.741}
    # the paper's own sum: 34.5 % above HashNet on ImageNet, averaged over code lengths
    means = {m: statistics.fmean(published.MAP["imagenet_100"][m].values()) for m in ("dseh", "hashnet")}
    assert means["dseh"] / means["hashnet"] == pytest.approx(1.345, abs=5e-4)
    # Tables 1 and 2 report the same DSEH at 32 bits
    assert all(rows["dseh"].map_i == published.MAP[d]["dseh"][32] for d, rows in published.ABLATION.items())
    named = {
        m for rows in (*published.MAP.values(), *published.TOP5K.values(), *published.ABLATION.values()) for m in rows
    }
    assert named <= set(METHOD_STYLES)


TABLE = Table(
    "A & B_1", ["50 %", "x"],
    [Row("M_1", "ours", [Cell("0.5 ± 0.1 (2)", best=True), Cell("no run")]), Row("M_1", "difference", [Cell("−0.1"), Cell("")])],
    ["a < b | c"], [{"a": 1.5, "b": None}, {"a": "x,y", "b": 2}],
)  # fmt: skip


def test_markdown_rows_are_as_wide_as_the_head():
    lines = [line for line in to_markdown(TABLE).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert "**0.5 ± 0.1 (2)**" in lines[2] and lines[3].startswith("|  | difference")


def test_latex_structure(runs):
    for table in (TABLE, *map_table.build(runs), *ablation_table.build(runs)):
        text = to_latex(table)
        bare = re.sub(r"\\[{}&%$#_]", "", text)  # escaped characters are no structure
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        opened, closed = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
        assert opened == closed[::-1] == ["table", "tabular"]
        columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text).group(1)
        rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(table.rows) + 1
        assert {line.count("&") + 1 for line in rows} == {len(columns)} == {len(table.columns) + 2}
        assert text.isascii() or not re.search("[±−–]", text)


def test_latex_text_escapes_every_special_character():
    assert latex_text("a_b & 5% {x} #1 $ ~ ^ \\") == (
        r"a\_b \& 5\% \{x\} \#1 \$ \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_csv_reads_back():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows == [{"a": "1.5", "b": ""}, {"a": "x,y", "b": "2"}]


def test_saved_files_hold_every_table(runs, tmp_path):
    paths = map_table.draw(runs, tmp_path)
    assert [path.name for path in paths] == ["map_table.md", "map_table.tex", "map_table.csv"]
    records = list(csv.DictReader((tmp_path / "map_table.csv").open()))
    assert {record["dataset"] for record in records} == {"nus_wide_21", "multi_digits"}
    (one,) = [r for r in records if r["dataset"] == "nus_wide_21" and r["method"] == "dseh" and r["bits"] == "32"]
    assert float(one["difference"]) == pytest.approx(float(one["mean"]) - 0.7312)
    assert not list(tmp_path.glob(".*"))


def test_html_is_escaped():
    text = to_html(Table("t", ["<b>"], [Row("<i>", "ours", [Cell("a<c")])], ["&"]))
    assert "<b>" not in text and "<i>" not in text and "a&lt;c" in text and "&amp;" in text


def test_numbers_are_printed_with_their_sign():
    assert number(0.73125, None, 1) == "0.7312 (1)"
    assert number(0.5, 0.01, 3) == "0.5000 ± 0.0100 (3)"
    assert [signed(v) for v in (0.1, -0.1, 0.00001, -0.00001)] == ["+0.1000", "−0.1000", "0.0000", "0.0000"]


def test_correlation_equals_numpy(runs_root):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 2, (200, 6))
    codes[:, 1] = 1 - codes[:, 0]
    matrix = correlation(codes)
    np.testing.assert_allclose(matrix, np.abs(np.corrcoef(codes.T)), atol=1e-12)
    assert matrix[0, 1] == pytest.approx(1)
    off = [abs(np.corrcoef(codes[:, i], codes[:, j])[0, 1]) for i in range(6) for j in range(6) if i != j]
    assert code_correlation.mean_absolute_correlation(matrix) == pytest.approx(np.mean(off))


def test_a_constant_bit_is_left_out_of_the_mean():
    codes = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1]])
    matrix = correlation(codes)
    assert np.isnan(matrix[0]).all() and np.isnan(matrix[:, 0]).all()
    assert code_correlation.mean_absolute_correlation(matrix) == pytest.approx(
        abs(np.corrcoef(codes[:, 1], codes[:, 2])[0, 1])
    )
    assert np.isnan(code_correlation.mean_absolute_correlation(correlation(np.ones((4, 2), int))))


def test_mac_table_reads_the_packed_codes(runs, runs_root):
    table = by_title(code_correlation.build(runs), "multi_digits")
    (record,) = [r for r in table.records if r["method"] == "dseh" and r["bits"] == 12]
    values = []
    for seed in (0, 1):
        with np.load(runs_root / f"digits-dseh-12-{seed}" / "codes.npz") as stored:
            packed = stored["database_codes"]
        bits = np.stack([(packed[:, k // 8] >> (k % 8)) & 1 for k in range(12)])
        corr = np.abs(np.corrcoef(bits))
        values.append((corr.sum() - 12) / (12 * 11))
    assert record["mean"] == pytest.approx(np.mean(values))


def change(folder, **changes):
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_map_over_rows_that_were_not_trained_on_is_a_second_table(tmp_path):
    for seed, value in enumerate((0.5, 0.3)):
        write_run(tmp_path / f"dseh{seed}", WORLD, "dseh", 12, seed)
        change(tmp_path / f"dseh{seed}", map_unseen=value, n_database_unseen=180)
    write_run(tmp_path / "itq", WORLD, "itq", 12)
    first, second = map_table.build(read_runs(tmp_path))
    assert [row.label for row in first.rows] == ["DSEH", "ITQ"] and [row.label for row in second.rows] == ["DSEH"]
    assert second.title == "MAP on multi_digits, database rows that were not trained on"
    assert cells(second, "DSEH", "ours") == {"12 bits": "0.4000 ± 0.1414 (2)"}
    assert any("180 of 300" in note for note in second.notes) and any("expectation" in note for note in second.notes)
    assert {record["measure"] for record in second.records} == {"map_unseen"}


def test_seconds_table(tmp_path):
    for seed, seconds in enumerate((10.0, 30.0)):
        write_run(tmp_path / f"dseh{seed}", WORLD, "dseh", 12, seed)
        change(tmp_path / f"dseh{seed}", train_seconds=seconds)
    write_run(tmp_path / "itq", WORLD, "itq", 12)
    (table,) = seconds_table.build(read_runs(tmp_path))
    assert [row.label for row in table.rows] == ["DSEH"]
    assert cells(table, "DSEH", "ours") == {"12 bits": "20.0 ± 14.1 (2)"}
    assert not any(cell.best for row in table.rows for cell in row.cells)
