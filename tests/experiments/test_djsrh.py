"""A run of DJSRH on image lists with texts: its files, its queries by words, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes
from experiments import program, query
from experiments.evaluation import print_report

pytestmark = pytest.mark.usefixtures("tf")

WORDS = ("red", "green", "blue", "grey")
QUICK = ("--image_size=16", "--bits=8", "--set=epochs=2", "--set=batch=32", "--set=text_hidden=8")


@pytest.fixture(scope="module")
def with_texts(lists, tmp_path_factory):
    """The lists with a word for each class and a common one."""
    folder = tmp_path_factory.mktemp("texts") / "lists"
    shutil.copytree(lists, folder)
    lines = []
    for name in ("train.txt", "test.txt"):
        for line in (folder / name).read_text().splitlines():
            path, *labels = line.split()
            lines.append(f"{path}\t{WORDS[labels.index('1')]} picture")
    (folder / "texts.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def finished(with_texts, tmp_path_factory):
    from experiments import run as module
    from tests.experiments.conftest import parsed

    workdir = tmp_path_factory.mktemp("runs") / "djsrh"
    arguments = ("--noprogress", "--dataset=image_lists", "--method=djsrh", f"--lists_dir={with_texts}", *QUICK)
    with parsed(*arguments, f"--workdir={workdir}"):
        module.main(["run"])
    return workdir, arguments


def ask(workdir, *arguments):
    values = flags.FlagValues()
    query.define_flags(values)
    query.main(program.parsed(["query", f"--workdir={workdir}", *map(str, arguments)], values), values)


def test_in_shards(finished, run, tmp_path):
    """The trained run without its codes and numbers: they are made again, in shards."""
    from tests.experiments.test_shard_rows import same_folder

    workdir, arguments = finished
    shutil.copytree(workdir, tmp_path / "run")
    for name in ("result.json", "codes.npz", "counts.npz"):
        (tmp_path / "run" / name).unlink()
    run(*arguments, f"--workdir={tmp_path / 'run'}", "--shard_rows=50")
    same_folder(tmp_path / "run", workdir)


def test_the_files_of_the_run(finished, capsys):
    workdir, _ = finished
    result, config = (json.loads((workdir / f"{name}.json").read_text()) for name in ("result", "config"))
    codes = load_codes(workdir / "codes.npz", 8)
    assert codes.query_codes_text.shape == (12, 1) and codes.database_codes_text.shape == (160, 1)
    labels = codes.query_labels, codes.database_labels
    report = evaluate(codes.query_codes, codes.database_codes_text, *labels, bits=8)
    assert result["directions"]["image->text"]["map"] == pytest.approx(report.map)
    assert result["directions"]["image->image"]["map"] == result["map"]
    assert {"train", "train_text", "database", "database_text"} <= set(result["code_health"])
    assert (workdir / "vocabulary.txt").read_text().split() == sorted([*WORDS, "picture"])
    assert len(config["texts"]) == 16 and config["settings"]["ablation"] == "full"
    assert "skip_unpaired" not in config["data"]
    print_report(workdir)
    assert "  text->image  MAP " in capsys.readouterr().out


def test_other_texts_are_another_run(finished, with_texts, tmp_path):
    from experiments import run as module
    from tests.experiments.conftest import parsed

    workdir, arguments = finished
    other = tmp_path / "lists"
    shutil.copytree(with_texts, other)
    (other / "texts.txt").write_text((with_texts / "texts.txt").read_text().replace("red", "rose"))
    changed = [a if not a.startswith("--lists_dir") else f"--lists_dir={other}" for a in arguments]
    with parsed(*changed, f"--workdir={workdir}"), pytest.raises(InputError, match=r"texts: found '.*', expected '.*'"):
        module.main(["run"])


def test_words_search_images_and_texts(finished, tmp_path, capsys):
    workdir, _ = finished
    ask(workdir, "--text=red picture", "--text=blue", "--top=3", f"--out={tmp_path / 'a.json'}")
    assert "words: red picture\n" in capsys.readouterr().out
    found = json.loads((tmp_path / "a.json").read_text())["answers"]
    assert [answer["text"] for answer in found] == ["red picture", "blue"] and len(found[0]["nearest"]) == 3
    ask(workdir, "--text=red picture", "--search=text", "--top=1", f"--out={tmp_path / 'b.json'}")
    (answer,) = json.loads((tmp_path / "b.json").read_text())["answers"]
    assert answer["nearest"][0]["distance"] == 0  # texts of the same words have the same code
    for arguments, message in (
        (("--text=red sofa",), "text: found the word 'sofa', expected one of the 5 words"),
        (("--text=red", f"--out={tmp_path / 'a.png'}"), "--out: found a picture for words"),
        ((), "images: found none"),
    ):
        with pytest.raises(InputError, match=message):
            ask(workdir, *arguments)


def test_image_methods_have_the_files_of_before(with_texts, run, tmp_path):
    run("--dataset=image_lists", "--method=lsh", f"--lists_dir={with_texts}", "--bits=8", f"--workdir={tmp_path / 'lsh'}",
        "--backbone=compact", "--image_size=16")  # fmt: skip
    with np.load(tmp_path / "lsh" / "codes.npz") as stored:
        assert not [name for name in stored if "text" in name]
    result, config = (json.loads((tmp_path / "lsh" / f"{name}.json").read_text()) for name in ("result", "config"))
    assert "directions" not in result and "texts" not in config
    with pytest.raises(InputError, match=r"--search: found text, but .* has no codes of texts"):
        ask(tmp_path / "lsh", "--text=red", "--search=text")
    with pytest.raises(InputError, match="--text: found a run without a text encoder"):
        ask(tmp_path / "lsh", "--text=red")


def test_lists_without_texts_are_refused(lists, run, tmp_path):
    with pytest.raises(InputError, match=r"texts: found none in image_lists, but djsrh learns from images and texts"):
        run("--dataset=image_lists", "--method=djsrh", f"--lists_dir={lists}", *QUICK, f"--workdir={tmp_path / 'x'}")
