"""Names of classes: from the run, from another run on the same data, from the lists, from the embedded data set."""

import json

import pytest

from dseh_tf.data.readers import image_lists
from dseh_tf.runs import Run
from figures.class_names import class_names
from figures.runs import read_runs
from tests.figures.synthetic import World, write_run
from tests.figures.test_report import Page, drawn


def test_classes_are_named_where_the_run_names_them(tmp_path):
    world = World(n_train=20, n_query=3, n_database=30)
    write_run(tmp_path / "runs" / "r", world, "dseh", 16)
    path = tmp_path / "runs" / "r" / "result.json"
    stored = json.loads(path.read_text())
    titles = {}
    for names in (None, ["sun", "sea", "sky", "<b>", "dog"], ["sun"]):
        path.write_text(json.dumps({**stored, **({} if names is None else {"class_names": names})}))
        text = drawn(read_runs(tmp_path / "runs"), tmp_path)
        titles[str(names)] = [attrs["title"] for attrs in Page(text).of("div", "answer ")]
        assert "<strong>1</strong> finished run · 1 data set · 1 method · code length 16<" in text
        assert "no run" not in text  # nothing is published for this data set, and no variant of DSEH has a run
    numbers, named = titles["None"], titles[str(["sun", "sea", "sky", "<b>", "dog"])]
    assert titles["['sun']"] == numbers
    words = dict(zip("01234", ("sun", "sea", "sky", "<b>", "dog"), strict=True))
    for before, after in zip(numbers, named, strict=True):
        name, _, rest = before.partition(", label")
        labels = rest.removeprefix("s").strip().split(", distance")[0].split(", ")
        assert after.startswith(f"{name}, {', '.join(words[label] for label in labels)}, distance")


def run_of(config=None, result=None):
    result = {"dataset": "image_lists", **(result or {})}
    return Run(None, {"dataset": result["dataset"], **(config or {})}, result)


def test_a_run_without_names_takes_those_of_a_run_on_the_same_data():
    data = {"lists": "0123", "data": {"seed": 0}}
    names = ["sun", "sea"]
    old, new = run_of(data), run_of(data, {"class_names": names})
    assert class_names(old, 2, [old, new]) == names
    assert class_names(new, 2) == names
    assert class_names(old, 3, [old, new]) == range(3)
    for other in ({"lists": "4567"}, {"data": {"seed": 1}}):
        assert class_names(old, 2, [run_of({**data, **other}, {"class_names": names})]) == range(2)
    assert class_names(run_of(data, {"class_names": ["a", "b"]}), 2, [new]) == ["a", "b"]


@pytest.fixture
def lists(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text(f"{name}.jpg 1 0\n")
    (tmp_path / "words.txt").write_text("sun\nsea\n")
    return tmp_path


def test_unchanged_lists_name_their_classes(lists):
    run = run_of({"lists_dir": str(lists), "lists": image_lists.digest(lists)})
    assert class_names(run, 2) == ["sun", "sea"]
    assert class_names(run, 3) == range(3)
    assert class_names(run_of({"lists_dir": str(lists), "lists": "0123"}), 2) == range(2)  # lists that have changed
    assert class_names(run_of({"lists_dir": str(lists / "gone"), "lists": "0123"}), 2) == range(2)
    (lists / "words.txt").write_bytes(b"\xff\n\xfe\n")
    assert class_names(run, 2) == range(2)


def test_the_embedded_data_set_names_its_classes():
    names = class_names(run_of(result={"dataset": "multi_digits"}), 10)
    assert names[0] == "zero" and names[9] == "nine" and len(names) == 10
