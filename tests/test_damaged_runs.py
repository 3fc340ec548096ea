"""Run folders with damage: a right result or one line, by the evaluation and by everything that draws."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes
from dseh_tf.runs import folder as run_folder
from dseh_tf.runs.contents import CHECKS
from experiments.evaluation import print_report
from figures import (
    ablation_table,
    code_correlation,
    code_health,
    map_table,
    report_runs,
    seconds_table,
    tables,
    top5k_table,
    top_ten,
)
from figures.runs import read_runs
from tests.damage import damaged, examples, odd_json
from tests.figures.synthetic import World, write_run

WORLD = World(n_train=8, n_query=5, n_database=14)
HEALTH = {
    "labnet": {"distinct_codes": 3, "label_vectors": 4, "constant_bits": 0, "nearly_constant_bits": 1, "mean_balance": 0.1,
               "worst_balance": 0.3, "least_distance": 1, "nearest_distance": 2.5, "mean_distance": 4.0, "units": 9,
               "dead_units": 1},
    "database": {"distinct_codes": 3, "label_vectors": 4, "constant_bits": 0, "nearly_constant_bits": 1, "mean_balance": 0.1,
                 "worst_balance": 0.3, "mean_correlation": 0.2, "single_label": False},
    "warning": "warning: codes have collapsed",
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Two runs that differ in their seed: of a method that has every file."""
    root = tmp_path_factory.mktemp("whole")
    for seed in (0, 1):
        write_run(root / f"run{seed}", WORLD, "dseh", 16, seed=seed, steps=4, width=6)
        path, codes = root / f"run{seed}" / "result.json", load_codes(root / f"run{seed}" / "codes.npz")
        parts = (codes.query_codes, codes.database_codes, codes.query_labels, codes.database_labels)
        more = {"code_health": HEALTH, "train_seconds": 3.5, "map_at": {}, "precision_at": {}, "queries_without_relevant": 0,
                "map_stable_order": evaluate(*parts, codes.bits).map_stable_order}  # fmt: skip
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
        print_report(root / f"run{seed}")
    assert len(read_runs(root, tuple(CHECKS))) == 2
    return root


def hurt(data: st.DataObject, run: Path, other: Path) -> None:
    """Damages one file of a run folder; `other` is a whole one of another run."""
    name = data.draw(st.sampled_from(sorted(file.name for file in other.iterdir())))
    file = run / name
    if not file.is_file():  # gone by an earlier damage
        return
    how = data.draw(
        st.sampled_from(["bytes", "exchange", "remove", "folder", *["json"] * 3 * (file.suffix == ".json")])
    )
    if how == "bytes":
        file.write_bytes(damaged(data, file.read_bytes(), (other / name).read_bytes()))
    elif how == "exchange":
        another = data.draw(st.sampled_from(sorted(file.name for file in other.iterdir())))
        shutil.copy(other / data.draw(st.sampled_from([name, another])), file)
    elif how == "json":
        file.write_text(json.dumps(odd_json(data, json.loads((other.parent / run.name / name).read_text()))))
    else:
        file.unlink()
        if how == "folder":
            file.mkdir()


def one_line(text: str) -> None:
    assert "\n" not in text and "allow_pickle" not in text
    assert re.search("found|unfinished", text) and len(text) < 1000


@examples(150)
@given(st.data())
def test_evaluation_and_figures(tmp_path_factory, whole, data):
    root = tmp_path_factory.mktemp("damaged")
    for name in ("run0", "run1"):
        shutil.copytree(whole / name, root / name)
    run, maps = root / "run0", {}
    for name in ("run0", "run1"):
        maps[name] = json.loads((whole / name / "result.json").read_text())["map"]
    for _ in range(data.draw(st.integers(1, 2))):
        hurt(data, run, whole / "run1")

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            print_report(run)
    except InputError as error:
        one_line(str(error))
    else:  # what is printed is the MAP of a whole codes.npz, and result.json, where it is there, has the same
        shown = re.search(r"MAP (\d\.\d{4}) \(expected over tied orders\), ", printed.getvalue())[1]
        assert shown in {f"{value:.4f}" for value in maps.values()}
        if (run / "result.json").is_file():
            stored = json.loads((run / "result.json").read_text())
            assert "map" not in stored or f"{stored['map']:.4f}" == shown

    with contextlib.suppress(InputError):  # the same command again: it is finished, or one line says why not
        run_folder.open_workdir(run, {"method": "itq"})

    runs = read_runs(root, tuple(CHECKS))
    assert "run1" in [each.folder.name for each in runs] or any(
        problem.folder == root / "run1" for problem in runs.problems
    )
    for problem in runs.problems:
        one_line(str(problem))
    for each in runs:
        if each.has_ranking:
            assert each.result["map"] == pytest.approx(maps[each.folder.name], abs=1e-6) or (
                each.folder.name == "run0" and each.result["map"] == pytest.approx(maps["run1"], abs=1e-6)
            )
    modules = (map_table, ablation_table, top5k_table, code_correlation, seconds_table)
    found = [table for module in modules for table in module.build(runs)]
    for write in (tables.to_markdown, tables.to_latex, tables.to_html):
        assert all(isinstance(write(table), str) for table in found)
    for section in (report_runs.overview, report_runs.configuration, code_health.section):
        section(runs) if len(runs) else None
    for dataset in runs.datasets:
        for bits in runs.of(dataset=dataset).bits:
            top_ten.queries(runs.of(dataset=dataset, bits=bits))


def test_codes_of_another_run_are_not_drawn(whole, tmp_path):
    for name in ("run0", "run1"):
        shutil.copytree(whole / name, tmp_path / name)
    shutil.copy(whole / "run1" / "codes.npz", tmp_path / "run0")
    runs = read_runs(tmp_path, ("codes",))
    assert [run.folder.name for run in runs] == ["run1"]
    assert (
        "codes.npz: found codes or labels of a different run, expected those that counts.npz was computed from"
        in str(runs.problems[0])
    )
    assert len(read_runs(tmp_path)) == 2  # a table of result.json's numbers does not need them


def test_an_unfinished_run_beside_finished_ones(whole, tmp_path):
    """Each reader passes it over; none of the others is lost."""
    shutil.copytree(whole, tmp_path / "runs")
    (tmp_path / "runs" / "waiting").mkdir()
    (tmp_path / "runs" / "waiting" / "config.json").write_text('{"dataset": "multi_digits", "bits": 16}')
    runs = read_runs(tmp_path / "runs", tuple(CHECKS))
    assert len(runs) == 2 and [problem.unfinished for problem in runs.problems] == [True]
