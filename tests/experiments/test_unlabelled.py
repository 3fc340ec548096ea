"""--unlabelled in the programs: recorded in config.json, another run where it differs, and derived lists."""

import json
from pathlib import Path

import pytest
from absl import flags

from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.data.readers.image_lists import read_image_list
from dseh_tf.data.readers.image_texts import read_image_texts
from dseh_tf.errors import InputError
from experiments import check_split, derive_lists
from tests.data import miniatures
from tests.experiments.conftest import parsed


@pytest.fixture
def partly(tmp_path):
    """Lists with one line without a label in each; the images are there."""
    folder = tmp_path / "lists"
    miniatures.write_image_lists(folder)
    for name in ("train", "test", "database"):
        miniatures.write_image(folder / f"{name}_none.png", name)
        with (folder / f"{name}.txt").open("a") as lines:
            lines.write(f"{name}_none.png 0 0 0 0 0\n")
    return folder


def test_a_run_records_it(run, result, partly, tmp_path, capsys):
    common = ["--dataset=image_lists", f"--lists_dir={partly}", "--method=lsh", "--bits=8", "--image_size=8",
              f"--workdir={tmp_path / 'run'}"]  # fmt: skip
    with pytest.raises(InputError, match=r"train\.txt:41: found train_none\.png without a label"):
        run(*common)
    run(*common, "--unlabelled=distractors")
    assert "1 queries have no relevant item and count 0" in capsys.readouterr().out
    found = result(tmp_path / "run")
    assert (found["n_train"], found["n_query"], found["n_database"]) == (40, 11, 81)
    assert found["queries_without_relevant"] == 1
    assert found["data"]["unlabelled"] == {"lines": "distractors", "train": 1, "query": 1, "database": 1}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["unlabelled"] == "distractors"
    with pytest.raises(
        InputError, match=r"config\.json: data: found unlabelled='distractors', expected unlabelled='leave_out'"
    ):
        run(*common, "--unlabelled=leave_out")


def test_config_of_runs_that_refuse_is_as_before_the_flag(run):
    from experiments import data_flags

    with parsed():
        assert "unlabelled" not in data_flags.config()
    with parsed("--dataset=image_lists", "--unlabelled=leave_out"):
        assert data_flags.config()["unlabelled"] == "leave_out"


def test_check_split_prints_the_counts(partly, capsys):
    with parsed("--dataset=image_lists", f"--lists_dir={partly}", "--unlabelled=distractors"):
        check_split.main(["check_split"])
    printed = capsys.readouterr().out
    assert "unlabelled: lines distractors, train 1, query 1, database 1" in printed
    assert "images without label               0           1           1" in printed


@pytest.mark.parametrize(("unlabelled", "rows"), [("distractors", (41, 11, 81)), ("leave_out", (40, 10, 80))])
@pytest.mark.parametrize("tail", ["1.0", "0.1"])
def test_derived_lists(partly, tmp_path, unlabelled, rows, tail):
    out = tmp_path / "out"
    given = flags.FlagValues()
    derive_lists.define_flags(given)
    command = ["derive", f"--lists_dir={partly}", f"--out={out}", "--classes=5", f"--long_tail={tail}"]
    given(command)
    with pytest.raises(InputError, match="without a label"):
        derive_lists.main([], given)
    assert not out.exists()
    given.unparse_flags()
    given([*command, f"--unlabelled={unlabelled}"])
    derive_lists.main([], given)
    found = [read_image_list(out / f"{name}.txt", "distractors") for name in ("train", "test", "database")]
    assert [len(entries.paths) for entries in found[1:]] == list(rows[1:])
    assert [entries.without_label for entries in found] == [int(unlabelled == "distractors")] * 3
    assert len(found[0].paths) == rows[0] if tail == "1.0" else 1 < len(found[0].paths) < rows[0]


def test_derived_lists_keep_the_texts_of_their_images(tmp_path):
    source, out = tmp_path / "lists", tmp_path / "out"
    miniatures.write_image_lists(source)
    entries = [read_image_list(source / f"{name}.txt") for name in ("train", "test", "database")]
    paths = sorted({path for part in entries for path in part.paths})
    (source / "texts.txt").write_text("".join(f"./{path}\tword{i % 3} word{i % 3}\n" for i, path in enumerate(paths)))
    (source / "vocabulary.txt").write_text("word2\nword0\nword1\n")
    given = flags.FlagValues()
    derive_lists.define_flags(given)
    given(["derive", f"--lists_dir={source}", f"--out={out}", "--classes=2"])
    derive_lists.main([], given)
    kept = {path for name in ("train", "test", "database") for path in read_image_list(out / f"{name}.txt").paths}
    assert 0 < len(kept) < len(paths)
    texts = read_image_texts(out / "texts.txt")
    assert set(texts) == kept
    assert all(texts[path][1] == [f"word{i % 3}"] * 2 for i, path in enumerate(paths) if path in kept)
    assert (out / "vocabulary.txt").read_text() == "word2\nword0\nword1\n"


@pytest.fixture
def derived(tmp_path):
    """derived() derives lists of two classes from lists of three, and returns their folder."""
    source, out = tmp_path / "lists", tmp_path / "out"
    source.mkdir()
    for name, lines in (("train", ["a 1 0 0", "b 0 1 0", "c 0 0 1"]), ("test", ["d 1 0 0", "e 0 1 1"])):
        (source / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))

    def call() -> Path:
        given = flags.FlagValues()
        derive_lists.define_flags(given)
        given(["derive", f"--lists_dir={source}", f"--out={out}", "--classes=2"])
        derive_lists.main([], given)
        return out

    return call


@pytest.mark.parametrize(("count", "kept"), [(3, ("n0", "n1")), (5, ())])
def test_names_of_the_derived_classes(derived, tmp_path, count, kept):
    """The first names; none where the file does not name the classes one by one, as for every reader."""
    (tmp_path / "lists" / "classes.txt").write_text("\ufeff" + "".join(f"n{k}\n\n" for k in range(count)))
    assert read_class_names(derived(), 2) == kept


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("words.txt", b"caf\xe9\nb\nc\n", r"words\.txt: found bytes that are not UTF-8"),
        ("test.txt", None, r"test\.txt: found no such file"),
        ("test.txt", b"d 1 0\n", r"test\.txt: found 2 labels in a line, expected 3 as in .*train\.txt$"),
        ("texts.txt", b"no tab\n", r"texts\.txt"),
    ],
)
def test_nothing_is_written_where_an_input_is_refused(derived, tmp_path, name, content, line):
    """The same command then works once the input is mended."""
    file = tmp_path / "lists" / name
    before = file.read_bytes() if file.exists() else None
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=line):
        derived()
    assert not (tmp_path / "out").exists()
    file.unlink(missing_ok=True)
    if before is not None:
        file.write_bytes(before)
    assert (derived() / "test.txt").read_text() == "d 1 0\ne 0 1\n"
