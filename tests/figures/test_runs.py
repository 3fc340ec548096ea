"""Reading run folders: what is found, what is refused and how it is told."""

import json
import re
import shutil

import numpy as np
import pytest

from dseh_tf.errors import InputError
from figures.runs import mean_and_deviation, read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


@pytest.fixture
def folder(tmp_path):
    """A root with one good run and one to damage."""
    write_run(tmp_path / "good", WORLD, "itq", 16, seed=0)
    write_run(tmp_path / "bad", WORLD, "itq", 16, seed=1)
    return tmp_path / "bad"


def test_finds_runs_at_any_depth_and_a_single_run_folder(runs_root):
    runs = read_runs(runs_root)
    assert len(runs) == 15 and not runs.problems
    assert runs.datasets == ["nus_wide_21", "ms_coco", "multi_digits"]
    one = read_runs(runs_root / "nus" / "dseh-32")
    assert [run.method for run in one] == ["dseh"]


@pytest.mark.parametrize("name", [".snapshot", ".ipynb_checkpoints", "@eaDir", "__MACOSX"])
def test_hidden_copies_are_passed_over(folder, name):
    """A copy that sorts before the run itself, at the top and below a folder, would be read in its place."""
    root = folder.parent
    (root / "more").mkdir()
    shutil.move(folder, root / "more" / "bad")
    for place in (root, root / "more"):
        shutil.copytree(root / "good", place / name / "copy")
    runs = read_runs(root)
    assert [run.folder for run in runs] == [root / "good", root / "more" / "bad"] and not runs.problems


def test_no_run_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        read_runs(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        read_runs(tmp_path / "absent")


def rewrite(path, **changes):
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}))


def rewrite_arrays(path, **changes):
    with np.load(path) as stored:
        arrays = {**stored, **changes}
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not ...})


DAMAGES = {
    "config.json missing": (lambda f: (f / "config.json").unlink(), "config.json: found no such file"),
    "result.json no JSON": (lambda f: (f / "result.json").write_text("{"), "result.json: found .*expected JSON"),
    "result.json a list": (lambda f: (f / "result.json").write_text("[]"), "found list, expected a JSON object"),
    "counts missing": (lambda f: (f / "counts.npz").unlink(), "counts.npz: found no such file"),
    "codes missing": (lambda f: (f / "codes.npz").unlink(), "codes.npz: found no such file"),
    "method missing": (lambda f: rewrite(f / "result.json", method=...), "method: found None, expected a text"),
    "bits a text": (lambda f: rewrite(f / "result.json", bits="16"), "bits: found '16', expected a whole number"),
    "map no number": (lambda f: rewrite(f / "result.json", map="high"), "map: found 'high', expected a number"),
    "map of another run": (lambda f: rewrite(f / "result.json", map=0.123), "map: found 0.123, expected .* as in counts.npz"),
    "config of another run": (lambda f: rewrite(f / "config.json", bits=32), "config.json: bits: found 32, expected 16"),
    "settings a list": (lambda f: rewrite(f / "config.json", settings=[1]), "settings: found .* expected a JSON object"),
    "counts cut": (lambda f: (f / "counts.npz").write_bytes((f / "counts.npz").read_bytes()[:80]), "counts.npz: found"),
    "codes cut": (lambda f: (f / "codes.npz").write_bytes((f / "codes.npz").read_bytes()[:500]), "codes.npz: found"),
    "codes of other bits": (lambda f: rewrite_arrays(f / "codes.npz", bits=12), "bits: found 12, expected 16"),
    "codes without ids": (lambda f: rewrite_arrays(f / "codes.npz", query_ids=...), "found no array query_ids"),
    "counts of float": (lambda f: rewrite_arrays(f / "counts.npz", total=np.ones((15, 17))), "counts.npz: total: found float64"),
    "labels of other rows": (
        lambda f: rewrite_arrays(f / "codes.npz", query_labels=np.ones((3, 5), np.uint8)),
        "query_labels: found .3, 5., expected 15 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_named_and_the_rest_is_read(folder, name):
    damage, message = DAMAGES[name]
    damage(folder)
    runs = read_runs(folder.parent)
    assert [run.folder.name for run in runs] == ["good"]
    (problem,) = runs.problems
    assert problem.folder == folder and not problem.unfinished
    assert re.search(message, str(problem)), str(problem)
    assert "\n" not in str(problem)


def test_flipped_bytes_are_found_where_the_arrays_are_needed(folder):
    path = folder / "codes.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert any(problem.folder == folder for problem in read_runs(folder.parent, needs=("codes",)).problems)


def test_counts_of_another_database_are_refused(folder):
    with np.load(folder / "counts.npz") as stored:
        relevant, total = stored["relevant"], stored["total"].copy()
    total[:, -1] += 1
    np.savez_compressed(folder / "counts.npz", relevant=relevant, total=total)
    (problem,) = read_runs(folder.parent).problems
    assert "found 301 items per query, expected 300" in problem.reason


def test_an_unfinished_run_is_listed_as_such(folder):
    (folder / "result.json").unlink()
    (problem,) = read_runs(folder.parent).problems
    assert problem.unfinished and "unfinished" in str(problem)


def test_the_same_seed_twice_is_not_counted_twice(folder):
    shutil.copytree(folder, folder.with_name("copy"))
    runs = read_runs(folder.parent)
    assert len(runs) == 2
    (problem,) = runs.problems
    assert problem.folder.name == "copy" and "bad" in problem.reason


def test_seeds_with_other_settings_are_told(folder):
    assert not read_runs(folder.parent).notes
    rewrite(folder / "config.json", settings={"learning_rate": 0.5})
    (note,) = read_runs(folder.parent).notes
    assert "learning_rate" in note and "itq" in note


def as_data(run, name, **config):
    """Makes the run one of another data set, and its config.json say so."""
    for file in ("config.json", "result.json"):
        rewrite(run / file, dataset=name)
    rewrite(run / "config.json", **config)


@pytest.mark.parametrize(("name", "field"), [("image_lists", "lists_dir"), ("image_folder", "folder")])
def test_data_of_two_folders_stay_apart(folder, name, field):
    for each in ("good", "bad"):
        as_data(folder.parent / each, name, **{field: f"data/{each}"})
    assert read_runs(folder.parent).datasets == [f"{name}:bad", f"{name}:good"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("image_lists", {"lists_dir": "a/lists", "lists": "11"}, {"lists_dir": "b/lists", "lists": "22"}),
        ("image_folder", {"folder": "a/pictures"}, {"folder": "b/pictures"}),
        (
            "image_folder",
            {"images": {"kind": "folder", "root": "a/pictures"}, "folder_files": "11"},
            {"images": {"kind": "folder", "root": "a/pictures"}, "folder_files": "22"},
        ),
    ],
)
def test_other_data_of_one_name_stays_apart(folder, name, good, bad):
    as_data(folder.parent / "good", name, **good)
    as_data(folder, name, **bad)
    found = read_runs(folder.parent).datasets
    assert len(found) == 2 and all(re.fullmatch(rf"{name}:(lists|pictures)#\w{{6}}", each) for each in found)
    as_data(folder, name, **good)
    (same,) = read_runs(folder.parent).datasets
    assert "#" not in same


def test_trials_are_no_results(folder):
    rewrite(folder / "config.json", data={"validation": 0.1})
    runs = read_runs(folder.parent)
    assert [run.folder.name for run in runs] == ["good"] and not runs.problems
    assert runs.notes == ("left out runs on held-out training rows, which are trials and not results: 1",)
    rewrite(folder.parent / "good" / "result.json", seed=1)  # as a trial that would be found before the result
    rewrite(folder.parent / "good" / "config.json", seed=1)
    assert [run.folder.name for run in read_runs(folder.parent)] == ["good"] and not read_runs(folder.parent).problems
    alone = read_runs(folder)
    assert len(alone) == 1
    assert alone.notes == ("multi_digits: the queries are held-out training rows, not the test queries",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trunk": {"backbone": "/a/one.keras", "image_size": 48}}, "backbone"),
        ({"data": {"split_seed": 1}}, "data.split_seed"),
        ({"features": {"fingerprint": "22"}}, "features"),
    ],
)
def test_a_mean_over_unlike_inputs_is_told(folder, change, told):
    rewrite(
        folder.parent / "good" / "config.json",
        trunk={"backbone": "/b/two.keras", "image_size": 48},
        data={"split_seed": 0},
        features={"fingerprint": "11"},
    )
    rewrite(
        folder / "config.json",
        **{**json.loads((folder.parent / "good" / "config.json").read_text()), "seed": 1, **change},
    )
    notes = read_runs(folder.parent).notes
    assert f"multi_digits, itq, release, 16 bits: runs differ in {told}" in notes
    assert any("two.keras at 48 pixels" in note for note in notes) == (told == "backbone")


def test_backbones_are_the_same_wherever_they_lie(folder):
    for name in ("good", "bad"):
        rewrite(folder.parent / name / "config.json", trunk={"backbone": f"/{name}/one.keras", "image_size": 48})
    assert not read_runs(folder.parent).notes


def test_a_config_of_other_kinds_is_refused(folder):
    rewrite(folder / "config.json", trunk=7)
    (problem,) = read_runs(folder.parent).problems
    assert "trunk: found 7, expected a JSON object" in problem.reason


def test_a_method_without_preset_is_read(folder):
    for file in ("config.json", "result.json"):
        rewrite(folder / file, preset=...)
    assert {run.preset for run in read_runs(folder.parent)} == {"release", ""}


def test_mean_and_deviation():
    assert mean_and_deviation([0.5]) == (0.5, None)
    mean, deviation = mean_and_deviation([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert deviation == pytest.approx(np.std([1, 2, 4], ddof=1))
