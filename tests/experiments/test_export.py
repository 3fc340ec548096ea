"""The program that exports a run, and search and query with an export in place of the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.export import open_model
from dseh_tf.retrieval import load_codes
from experiments import export, index, program, query, search


def call(module, *arguments: str | Path) -> None:
    values = flags.FlagValues()
    module.define_flags(values)
    left = program.parsed(["program", *map(str, arguments)], values)
    module.main(left, values)


@pytest.fixture(scope="module")
def made(tf, lists, tmp_path_factory) -> tuple[Path, Path]:
    """A run of LSH on the pixels of image lists, and its export."""
    from experiments import run
    from tests.experiments.conftest import parsed

    root = tmp_path_factory.mktemp("made")
    data = [f"--lists_dir={lists}", f"--images_root={lists}", f"--data_dir={root}"]
    with parsed(
        "--noprogress", "--dataset=image_lists", "--method=lsh", "--bits=12", f"--workdir={root / 'run'}", *data
    ):
        run.main(["run"])
    call(export, f"--workdir={root / 'run'}", f"--out={root / 'export'}")
    return root / "run", root / "export"


def test_the_codes_of_the_run(made, lists, capsys):
    """All stored queries have their code in codes.npz; the description says what was compared."""
    workdir, folder = made
    stored = load_codes(workdir / "codes.npz")
    model = open_model(folder)
    np.testing.assert_array_equal(model.encode([lists / name for name in stored.query_ids]), stored.query_codes)
    content = json.loads((folder / "model.json").read_text())
    assert content["check"]["images"] == 172 and content["check"]["stored_queries"] == 12
    assert content["check"]["bits_that_differ_from_codes_npz"] == content["check"]["bits_differ"] == 0
    assert content["about"]["identity"] == json.loads((workdir / "config.json").read_text())["identity"]
    call(export, f"--out={folder}", "--verify")
    assert capsys.readouterr().out == f"{folder}: 5 check images have the codes of model.json\n"


def test_search_and_query_with_an_export(made, lists, tmp_path, capsys):
    """The same answers as with the run; an encoder of another precision only where it is allowed."""
    workdir, folder = made
    call(index, f"--workdir={workdir}", f"--out={tmp_path / 'x.index'}")
    capsys.readouterr()
    image = lists / "test3.png"
    answers = {}
    for model in made:
        call(search, f"--index={tmp_path / 'x.index'}", f"--model={model}", f"--query={image}", "--top=3")
        call(query, f"--workdir={workdir}", f"--model={model}", f"--images={image}", "--top=3")
        answers[model] = capsys.readouterr().out
    assert answers[workdir] == answers[folder] and answers[folder].count(str(image)) == 2
    content = json.loads((folder / "model.json").read_text())
    int8 = {**content, "model_format": "litert_int8", "encoder": "litert_int8"}
    int8["about"] = {**content["about"], "encoder": "litert_int8"}
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / "model.json").write_text(json.dumps(int8))
    for arguments in (
        [search, f"--index={tmp_path / 'x.index'}", f"--query={image}"],
        [query, f"--workdir={workdir}", image],
    ):
        with pytest.raises(InputError, match="int8: encoder: found litert_int8, expected float32 as in"):
            call(*arguments, f"--model={tmp_path / 'int8'}")
        with pytest.raises(InputError, match=r"model\.tflite: found no such file|saved_model"):
            call(*arguments, f"--model={tmp_path / 'int8'}", "--allow_mixed")
        assert "note: " in capsys.readouterr().err


def test_what_is_refused(made, tmp_path):
    workdir, folder = made
    for arguments, line in (
        ([f"--out={tmp_path / 'x'}"], "--workdir: found none, expected the run folder to export"),
        ([f"--workdir={workdir}", f"--out={folder}"], "export: found files, expected a new or empty folder"),
        ([f"--workdir={tmp_path}", f"--out={tmp_path / 'x'}"], r"config\.json: found no such file"),
        (
            [f"--workdir={workdir}", f"--out={tmp_path / 'x'}", "--format=torch"],
            "--format: found 'torch', expected one of",
        ),
        ([f"--workdir={workdir}", f"--out={tmp_path / 'x'}", "--backbone=x.keras"], r"backbone: found x\.keras, but"),
        ([f"--out={tmp_path}", "--verify"], r"model\.json: found no such file, expected the model\.json of an export"),
        ([f"--workdir={workdir}", f"--out={tmp_path / 'x'}", f"--images_root={tmp_path}"], r"\.png"),
    ):
        with pytest.raises(InputError, match=line) as caught:
            call(export, *arguments)
        assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_lines_for_people():
    """Numbers of an int8 encoder, and a run whose stored codes are not those that its encoder gives now."""
    found = {
        "model_format": "litert_int8", "bits": 32, "sizes": {"files": 4_100_000},
        "check": {
            "images": 512, "bits_differ": 0.0331, "codes_differ": 0.84, "milliseconds_an_image": 4.04,
            "bits_that_differ_from_codes_npz": 0.001, "stored_queries": 256,
            "map": {"alone": 0.389, "float32_database": 0.3895, "float32": 0.38908, "queries": 490, "database": 2000},
        },
    }  # fmt: skip
    assert export.lines(Path("x"), found) == [
        "litert_int8 of 32 bits, 4.1 MB, in x",
        "512 images: 3.310% of the bits and 84.0% of the codes differ from the run's encoder; 4.0 ms an image",
        "codes.npz: 0.100% of the bits of 256 queries differ from the encoder's now",
        "MAP: 0.3890 alone, 0.3895 with a database of float32 codes, 0.3891 float32 (490 queries, 2,000 database rows)",
    ]
