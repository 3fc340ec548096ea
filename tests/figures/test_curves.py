"""Fig. 3 and Fig. 4: the points that are drawn, against brute force over the codes themselves."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import Counts, Report
from figures import curves, pr_curve, precision_at_n, style
from figures.curves import pooled_report, seeds_told
from figures.runs import read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


@pytest.fixture(scope="module")
def runs(runs_root):
    return read_runs(runs_root)


@pytest.fixture
def drawn(monkeypatch):
    """Lines of every figure saved, by figure name: label -> (x, y), and its title and legend's title."""
    figures = {}

    def keep(figure, out, name):
        figures[name] = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
        figures[name]["title"] = figure.axes[0].get_title(loc="left")
        figures[name]["legend"] = figure.legends[0].get_title().get_text()
        plt.close(figure)
        return []

    monkeypatch.setattr(style, "save", keep)
    return figures


def unpacked(folder):
    """(distance, relevant) [q, n] of a run folder, by loops over bits."""
    with np.load(folder / "codes.npz") as stored:
        bits = int(stored["bits"])
        sides = [[(stored[f"{p}_codes"][:, k // 8] >> (k % 8)) & 1 for k in range(bits)] for p in ("query", "database")]
        relevant = (stored["query_labels"].astype(int) @ stored["database_labels"].T.astype(int)) > 0
    distance = sum((q[:, None] != d[None, :]).astype(int) for q, d in zip(*sides, strict=True))
    return distance, relevant


def test_pr_points_are_brute_force_over_all_queries_and_seeds(runs, runs_root, drawn):
    pr_curve.draw(runs.of(dataset="multi_digits", bits=12), None)
    assert list(drawn) == ["pr_curve_multi_digits_12"]
    lines = drawn["pr_curve_multi_digits_12"]
    assert list(lines)[:3] == ["DSEH", "ITQ-CCA", "ITQ"] and lines["legend"] == "2 seeds"
    parts = [unpacked(runs_root / f"digits-itq-12-{seed}") for seed in (0, 1)]
    for radius in range(13):
        within = [distance <= radius for distance, _ in parts]
        hits = sum((near & good).sum() for near, (_, good) in zip(within, parts, strict=True))
        recall = hits / sum(good.sum() for _, good in parts)
        retrieved = sum(near.sum() for near in within)
        expected = (recall, hits / retrieved if retrieved else np.nan)
        np.testing.assert_allclose(lines["ITQ"][radius], expected)
    assert len(lines["ITQ"]) == 13


@pytest.fixture
def cross_modal(tmp_path):
    """A run with text codes, and one of images alone."""
    folder = tmp_path / "djsrh"
    write_run(folder, WORLD, "djsrh", 12, 0)
    with np.load(folder / "codes.npz") as stored:
        arrays = dict(stored)
    rng = np.random.default_rng(1)
    for part in ("query", "database"):
        flips = rng.integers(0, 2, arrays[f"{part}_codes"].shape, np.uint8)  # the lowest bit of each byte
        arrays[f"{part}_codes_text"] = arrays[f"{part}_codes"] ^ flips
    np.savez_compressed(folder / "codes.npz", **arrays)
    result = json.loads((folder / "result.json").read_text())
    result["directions"] = {direction: {"map": 0.5, "map_at": {}} for direction in curves.DIRECTIONS}
    (folder / "result.json").write_text(json.dumps(result))
    write_run(tmp_path / "itq", WORLD, "itq", 12, 0)
    return tmp_path


def test_retrieval_between_images_and_texts_has_curves_of_its_own(cross_modal, drawn):
    pr_curve.draw(read_runs(cross_modal, ("codes",)), None)
    names = [f"pr_curve_multi_digits_12{ending}" for ending in ("", "_image-to-text", "_text-to-image")]
    assert list(drawn) == names
    of = [[label for label in drawn[name] if label not in ("title", "legend")] for name in names]
    assert of == [["DJSRH", "ITQ"], ["DJSRH"], ["DJSRH"]]
    assert drawn[names[1]]["title"].endswith("12 bits, image->text")
    with np.load(cross_modal / "djsrh" / "codes.npz") as stored:
        relevant = stored["query_labels"].astype(int) @ stored["database_labels"].T.astype(int) > 0
        for name, query, database in ((names[1], "", "_text"), (names[2], "_text", "")):
            signs = [
                np.unpackbits(stored[f"{part}_codes{side}"], axis=1, bitorder="little")[:, :12]
                for part, side in (("query", query), ("database", database))
            ]
            distance = (signs[0][:, None] != signs[1][None]).sum(axis=2)
            for radius in range(13):
                near = distance <= radius
                hits = (near & relevant).sum()
                expected = (hits / relevant.sum(), hits / near.sum() if near.sum() else np.nan)
                np.testing.assert_allclose(drawn[name]["DJSRH"][radius], expected)


def test_a_run_that_lost_its_text_codes_is_named(cross_modal, drawn):
    write_run(cross_modal / "other", WORLD, "djsrh", 12, 1)
    result = (cross_modal / "djsrh" / "result.json").read_text().replace('"seed": 0', '"seed": 1')
    found = json.loads(result) | {"map": json.loads((cross_modal / "other" / "result.json").read_text())["map"]}
    (cross_modal / "other" / "result.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"other/codes.npz: found no codes of texts, expected them for image->text"):
        pr_curve.draw(read_runs(cross_modal), None)


def test_a_radius_that_retrieves_nothing_is_a_gap():
    total = np.array([[0, 0, 1, 2]] * 2)
    _, precision = pr_curve.points(Report(Counts(total // 2, total)))
    assert np.isnan(precision[:2]).all() and np.isfinite(precision[2:]).all()


def test_precision_at_n_is_the_expectation_over_ties(runs, runs_root, drawn):
    precision_at_n.draw(runs.of(dataset="multi_digits", bits=12, method="itq"), None)
    points = drawn["precision_at_n_multi_digits_12"]["ITQ"]
    assert "expected over tied orders" in drawn["precision_at_n_multi_digits_12"]["title"]
    # the database has 300 items, so N ends there
    assert points[:, 0].tolist() == [100, 200, 300]
    for n, found in points:
        values = []
        for seed in (0, 1):
            distance, relevant = unpacked(runs_root / f"digits-itq-12-{seed}")
            for row, good in zip(distance, relevant, strict=True):
                cut = np.sort(row)[int(n) - 1]
                tied = row == cut
                missing = n - (row < cut).sum()
                values.append((good[row < cut].sum() + good[tied].mean() * missing) / n)
        assert found == pytest.approx(np.mean(values))


def test_a_database_smaller_than_100_has_no_curve():
    total = np.array([[10, 20, 30]])
    assert precision_at_n.points(Report(Counts(total // 2, total))) is None


def test_pooling_keeps_every_query(runs):
    pair = runs.of(dataset="multi_digits", bits=12, method="dseh")
    pooled = pooled_report(pair)
    assert pooled.counts.queries == 2 * WORLD.n_query
    assert pooled.map == pytest.approx(np.mean([run.result["map"] for run in pair]))


def test_runs_of_different_databases_are_not_pooled(tmp_path, drawn):
    """Their method has no line, with a note; the others are drawn."""
    write_run(tmp_path / "0", WORLD, "itq", 12, 0)
    write_run(tmp_path / "1", replace(WORLD, n_database=WORLD.n_database - 20), "itq", 12, 1)
    write_run(tmp_path / "2", WORLD, "lsh", 12, 0)
    found = read_runs(tmp_path)
    pr_curve.draw(found, None)
    assert set(drawn["pr_curve_multi_digits_12"]) == {"LSH", "legend", "title"}
    assert drawn["pr_curve_multi_digits_12"]["legend"] == "1 seed"
    assert [note for note in found.notes if note.endswith("runs differ in n_database; their curves are left out")]


def test_seeds_are_told(runs, tmp_path):
    assert seeds_told(runs.of(dataset="multi_digits", bits=12)) == "2 seeds"
    assert seeds_told(runs.of(dataset="nus_wide_21", bits=32)) == "1 seed"
    for i, method in enumerate(("itq", "itq", "lsh")):
        write_run(tmp_path / str(i), WORLD, method, 16, i)
    assert seeds_told(read_runs(tmp_path)) == "1 to 2 seeds"


def test_every_method_has_a_look_of_its_own():
    looks = [(s.colour, s.marker) for s in style.METHOD_STYLES.values()]
    assert len(set(looks)) == len(looks)
    lines = [(s.colour, str(s.line)) for s in style.METHOD_STYLES.values()]
    # DJSRH (cross-modal) and DAPH (poster only) never share a figure with the method whose line they share
    assert len(set(lines)) >= len(lines) - 2
    assert style.method_style("mine") == style.method_style("mine")
    assert style.method_style("mine").title == "mine"


def test_file_names_hold_no_separator():
    assert style.file_name("pr", "image_lists:a/b c", "", 32) == "pr_image_lists-a-b-c_32"


def test_the_same_figure_gives_the_same_bytes(runs, tmp_path):
    few = runs.of(dataset="multi_digits", bits=12)
    first, second = (pr_curve.draw(few, tmp_path / name) for name in ("a", "b"))
    assert [p.name for p in first] == ["pr_curve_multi_digits_12.png", "pr_curve_multi_digits_12.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG") and first[1].read_bytes().startswith(b"%PDF")
