"""Making an index of a run and searching it: what is printed and written, and what is refused before networks load."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from dseh_tf import load_run
from dseh_tf.encoding import shallow
from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, pack, save_codes
from dseh_tf.retrieval.search import open_index
from experiments import index, program, search
from tests.retrieval.search.oracle import engine_parameters

ROOT = Path(__file__).parents[2]
CODES = np.ones((5, 12), np.int8)
CODES[1, 0] = CODES[2, 11] = CODES[4, :6] = -1  # at distances 0, 1, 1, 0 and 6 of all ones
ONES = "ff0f"


@pytest.fixture
def workdir(tmp_path) -> Path:
    """A finished run of 12 bits, with five images as its database and an encoder file."""
    folder, images = tmp_path / "run", tmp_path / "images"
    folder.mkdir()
    images.mkdir()
    for name in "abcde":
        Image.new("RGB", (20, 20), (40 * ord(name) % 256, 90, 10)).save(images / f"{name}.png")
    save_codes(
        folder / "codes.npz",
        query_codes=pack(CODES[:1]),
        database_codes=pack(CODES),
        query_labels=np.ones((1, 2), np.uint8),
        database_labels=np.array([[1, 0], [0, 1], [1, 1], [1, 0], [0, 1]], np.uint8),
        query_ids=np.array(["q"]),
        database_ids=np.array([f"{name}.png" for name in "abcde"]),
        bits=12,
    )
    config = {"bits": 12, "method": "itq", "dataset": "image_folder", "images": {"kind": "files", "root": str(images)}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps({"class_names": ["sea", "<dog>"]}))
    return folder


def call(module, *arguments: str | Path) -> None:
    values = flags.FlagValues()
    module.define_flags(values)
    module.main(program.parsed(["program", *map(str, arguments)], values), values)


@pytest.fixture
def made(workdir, tmp_path, capsys) -> Path:
    path = tmp_path / "new" / "run.index"
    call(index, f"--workdir={workdir}", f"--out={path}")
    assert capsys.readouterr().out == f"5 items with 4 distinct codes of 12 bits in {path}\n"
    return path


@pytest.mark.parametrize("engine", engine_parameters())
def test_an_index_holds_the_database_of_the_run(workdir, place, engine):
    path = place(engine, "x")
    for _ in range(2):  # the second one replaces the first
        call(index, f"--workdir={workdir}", f"--out={path}", f"--engine={engine}")
    held = open_index(path)
    assert held.search(CODES[:1], 9)[0].tolist() == [["a.png", "d.png", "b.png", "c.png", "e.png"]]
    assert held.labels_of(["c.png", "a.png"]) == [["sea", "<dog>"], ["sea"]] and held.about["method"] == "itq"
    held.close()


@pytest.mark.parametrize("engine", engine_parameters("pgvector"))
def test_a_database_is_searched_and_its_password_is_not_shown(workdir, tmp_path, place, capsys, engine):
    address, out, page = place(engine, "x"), tmp_path / "a.json", tmp_path / "a.html"
    call(index, f"--workdir={workdir}", f"--out={address}", "--engine=pgvector", "--hnsw")
    call(search, f"--index={address}", f"--code={ONES}", "--top=3", f"--out={out}", f"--out={page}")
    recall, _, *printed = capsys.readouterr().out.splitlines()
    assert recall == "answers are not exact: recall 1.000 of 100 answers" and printed[:-2] == [
        "answers are not exact: recall 1.000 when the index was made",
        *(ONES, "    0  a.png  sea", "    0  d.png  sea", "    1  b.png  <dog>"),
    ]
    answers = json.loads(out.read_text())
    assert answers["index"].startswith("postgresql://postgres@/postgres?index=") and answers["recall"] == 1
    for bad in (address.replace("postgres?", "none?"), address.replace("index=", "index=un"), f"{address}%00"):
        with pytest.raises(InputError, match="expected") as caught:
            call(search, f"--index={bad}", f"--code={ONES}")
        printed.append(str(caught.value))
        assert "\n" not in printed[-1]
    line = r"--out: found postgresql://postgres@/.*, expected a file for --engine=exact"
    with pytest.raises(InputError, match=line) as caught:
        call(index, f"--workdir={workdir}", f"--out={address}")
    everything = [recall, *printed, out.read_text(), page.read_text(), str(caught.value)]
    assert not re.search("pass(%20| )word", "".join(everything))


def test_where_an_index_can_be(workdir, tmp_path):
    for engine, out, line in (
        ("pgvector", tmp_path / "x", "--out: found .*x, expected postgresql://user@host:port/database.index=name for"),
        (
            "duckdb",
            "postgresql://h/d",
            "--out: found postgresql://h/d.index=dseh_tf, expected a file for --engine=duckdb",
        ),
        (
            "exact",
            "postgresql://u:pa/ss@h/d",
            "path: found an address that cannot be read, expected postgresql://user@",
        ),
    ):
        with pytest.raises(InputError, match=line):
            call(index, f"--workdir={workdir}", f"--out={out}", f"--engine={engine}")
    with pytest.raises(InputError, match="--hnsw: found it with --engine=exact, expected --engine=pgvector"):
        call(index, f"--workdir={workdir}", f"--out={tmp_path / 'x'}", "--hnsw")


def test_files_of_a_run_and_images_are_not_replaced(made, workdir, tmp_path):
    """An index replaces an index, and answers replace answers; nothing else is lost."""
    photo, notes = tmp_path / "images" / "a.png", tmp_path / "notes"
    notes.write_text("mine")
    kept = {path: path.read_bytes() for path in (photo, notes, *workdir.iterdir())}
    for out in (notes, photo, workdir / "codes.npz", workdir / "config.json"):
        with pytest.raises(
            InputError, match=f"--out: found {out}, which is not an index, expected an index to replace"
        ):
            call(index, f"--workdir={workdir}", f"--out={out}")
    for out in (workdir / "config.json", workdir / "result.json"):
        with pytest.raises(InputError, match=f"--out: found {out}, a file of a run, an export or codes, expected"):
            call(search, f"--index={made}", f"--code={ONES}", f"--out={out}")
    with pytest.raises(InputError, match=f"--out: found {photo}, which is one of the images, expected another name"):
        call(search, f"--index={made}", f"--model={workdir}", f"--query={photo}", f"--out={photo}")
    assert {path: path.read_bytes() for path in kept} == kept
    call(index, f"--workdir={workdir}", f"--out={workdir / 'run.index'}")
    for _ in range(2):
        call(search, f"--index={made}", f"--code={ONES}", f"--out={workdir / 'answers.json'}")


def test_codes_that_no_index_takes(workdir, tmp_path):
    codes, ids, labels = np.zeros((1, 1), np.uint8), np.array(["a"]), np.ones((1, 2), np.uint8)
    arrays = {
        f"{part}_{name}": values
        for part in ("query", "database")
        for name, values in (("codes", codes), ("labels", labels), ("ids", ids))
    }
    save_codes(workdir / "codes.npz", **arrays, bits=5)
    (workdir / "config.json").write_text(json.dumps({"bits": 5, "method": "itq"}))
    with pytest.raises(InputError, match=r"run/codes\.npz: bits: found 5, expected 8 to 1024"):
        call(index, f"--workdir={workdir}", f"--out={tmp_path / 'x'}")


def test_a_database_that_is_no_index_is_not_replaced(workdir, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(tmp_path / "mine.duckdb") as mine:
        mine.execute("create table letters (text varchar)")
    with pytest.raises(InputError, match=r"mine\.duckdb, which is not an index"):
        call(index, f"--workdir={workdir}", f"--out={tmp_path / 'mine.duckdb'}", "--engine=duckdb")


def test_answers_to_codes(made, tmp_path, capsys):
    call(search, f"--index={made}", f"--code={ONES}", "--top=3")
    expected = [ONES, "    0  a.png  sea", "    0  d.png  sea", "    1  b.png  <dog>"]
    assert capsys.readouterr().out.splitlines() == expected
    out = tmp_path / "there" / "a.json"
    call(search, f"--index={made}", f"--code={ONES}", "--radius=1", "--label=<dog>", f"--out={out}")
    assert capsys.readouterr().out.splitlines()[1:3] == ["    1  b.png  <dog>", "    1  c.png  sea, <dog>"]
    (answer,) = json.loads(out.read_text())["answers"]
    assert answer["code"] == ONES and answer["nearest"][0] == {"id": "b.png", "distance": 1, "classes": ["<dog>"]}
    call(search, f"--index={made}", f"--code={ONES}", "--code=0000", "--radius=5", "--top=1")
    printed = capsys.readouterr().out.splitlines()
    assert printed == [ONES, "    0  a.png  sea", "0000", "  no item within these limits"]


def test_answers_to_images_as_page_and_picture(made, workdir, tmp_path, monkeypatch):
    """The page holds the images themselves, and no text of the index becomes markup."""
    monkeypatch.setattr(search, "codes_of", lambda model, paths, backbone: CODES[[4] * len(paths)])
    query, page, picture = tmp_path / "images" / "e.png", tmp_path / "a.html", tmp_path / "a.png"
    call(search, f"--index={made}", f"--model={workdir}", f"--query={query}", f"--code={ONES}", "--top=2",
         f"--out={page}", f"--out={picture}")  # fmt: skip
    text = page.read_text()
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]*)\"", text)]
    assert [p.size for p in pictures] == [(160, 160)] * 5  # the query and two answers; two of the code
    first = np.asarray(pictures[0].convert("RGB")).astype(int)
    assert np.abs(first - [40 * ord("e") % 256, 90, 10]).max() < 9
    assert "&lt;dog&gt;" in text and "<dog>" not in text and text.count("distance") == 4
    assert Image.open(picture).size[0] > 300
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.png", "images", "new", "run"]


def test_only_files_of_the_images_folder_are_shown(made, workdir, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "secret.png")
    held = open_index(made)
    held.add(CODES[:1], ["../secret.png"])
    held.save(made)
    call(search, f"--index={made}", f"--code={ONES}", "--radius=0", f"--out={tmp_path / 'a.html'}")
    text = (tmp_path / "a.html").read_text()
    assert "../secret.png" in text and text.count("base64,") == 2


def test_what_is_refused(made, workdir, tmp_path):
    (tmp_path / "x.png").write_text("no image")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    for arguments, line in (
        (
            [f"--query={tmp_path / 'large.png'}", f"--model={workdir}"],
            r"large.png: found 10000 x 10000 pixels \(100 million\), expected at most 64 million; make it smaller",
        ),
        ([], "--query: found none, expected images"),
        ([f"--query={tmp_path / 'x.png'}"], "--model: found none, expected the run folder"),
        ([f"--query={tmp_path / 'x.png'}", f"--model={workdir}"], "x.png: found"),
        ([f"--query={tmp_path / 'y.png'}", f"--model={workdir}"], "y.png: found no such file"),
        (["--code=ff"], r"--code: found 'ff' \(found 1 bytes per code, .*\), expected 4 hexadecimal digits of 12 bits"),
        (["--code=xy"], "--code: found 'xy', expected 4 hexadecimal digits of 12 bits"),
        (["--code=ffff"], "--code: found 'ffff' .*found a padding bit that is set"),
        ([f"--code={ONES}", "--label=cat"], "--label: found 'cat', expected a label of the index: '<dog>, sea'"),
        ([f"--code={ONES}", "--top=0"], "--top: found '0', expected a positive integer"),
        ([f"--code={ONES}", "--out=a.txt"], "--out: found a.txt, expected a name that ends in .json, .html"),
        ([f"--code={ONES}", f"--index={tmp_path / 'none'}"], "none: found no such file"),
        ([f"--code={ONES}", f"--index={workdir / 'codes.npz'}"], "codes.npz: found no array 'engine'"),
    ):
        with pytest.raises(InputError, match=line):
            call(search, f"--index={made}", *arguments)
    for field, value in (("bits", 16), ("method", "lsh"), ("dataset", "nus_wide"), ("trunk", {"backbone": "cnn_f"})):
        config = json.loads((workdir / "config.json").read_text())
        (workdir / "config.json").write_text(json.dumps({**config, field: value}))
        held = open_index(made)
        held.about["backbone"] = "compact"
        with pytest.raises(InputError, match=rf"run: {field if field != 'trunk' else 'backbone'}: found .* as in the"):
            search.check_model(held, workdir)
        (workdir / "config.json").write_text(json.dumps(config))


def test_a_code_is_searched_without_tensorflow(made):
    code = (
        "import sys\nfrom experiments import program, search\nsearch.define_flags()\n"
        f"sys.argv = ['search', '--index={made}', '--code={ONES}', '--top=1']\n"
        "try:\n    program.run(search.main)\nfinally:\n    assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines() == [ONES, "    0  a.png  sea"], done.stderr


def test_images_are_encoded_by_the_run(workdir, tmp_path, capsys):
    """Nothing replaced: the projection of a shallow run is read from its folder."""
    rng = np.random.default_rng(0)
    encoder = shallow.Projection(
        rows=shallow.Rows(False, np.full(90, 0.5)), image_shape=(6, 5), weights=rng.normal(size=(90, 12))
    )
    encoder.save(workdir / "encoder.npz")
    config = json.loads((workdir / "config.json").read_text())
    trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
    (workdir / "config.json").write_text(json.dumps({**config, "seed": 0, "method": "lsh", "trunk": trunk}))
    files = [tmp_path / "images" / f"{name}.png" for name in "abcde"]
    for path in files:
        Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).save(path)
    codes = load_run(workdir).encode(files)
    held = load_codes(workdir / "codes.npz")
    save_codes(workdir / "codes.npz", **{**vars(held), "database_codes": codes})
    call(index, f"--workdir={workdir}", f"--out={tmp_path / 'x'}")
    capsys.readouterr()
    call(search, f"--index={tmp_path / 'x'}", f"--model={workdir}", f"--query={files[3]}", "--top=1")
    assert capsys.readouterr().out.splitlines() == [str(files[3]), "    0  d.png  sea"]


def blocks(kind: str) -> list[str]:
    """The code blocks of docs/search.md."""
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_page(workdir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "codes_of", lambda model, paths, backbone: CODES[[4] * len(paths)])
    own = {"runs/x": workdir, "photo.jpg": "images/e.png", "1f00c3a9": ONES, "three": "sea"}
    (block,) = blocks("sh")
    for line in block.splitlines():
        for theirs, mine in own.items():
            line = line.replace(theirs, str(mine))
        _, _, module, *arguments = line.split()
        call({"experiments.index": index, "experiments.search": search}[module], *arguments)
    assert {"photographs.index", "answers.json", "page.html"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("engine", engine_parameters("pgvector"))
def test_the_commands_of_the_page_for_a_database(workdir, tmp_path, place, monkeypatch, capsys, engine):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "codes_of", lambda model, paths, backbone: CODES[[4] * len(paths)])
    own = {
        "runs/x": workdir,
        "photo.jpg": "images/e.png",
        "postgresql://me@db.example/photos?index=photographs": place(engine, "x"),
    }
    (block,) = blocks("text")
    for line in block.splitlines():
        _, _, module, *arguments = shlex.split(line)
        for theirs, mine in own.items():
            arguments = [argument.replace(theirs, str(mine)) for argument in arguments]
        call({"experiments.index": index, "experiments.search": search}[module], *arguments)
    assert capsys.readouterr().out.splitlines()[1:3] == ["images/e.png", "    0  e.png  <dog>"]


def test_the_example_of_the_page(tmp_path, monkeypatch):
    """Five lines, as promised."""
    monkeypatch.chdir(tmp_path)
    codes = np.where(np.random.default_rng(0).random((30, 64)) < 0.5, -1, 1)
    names = {"codes": codes, "ids": [f"i{i}" for i in range(30)], "labels": ["dog", "sea"] * 15, "query_codes": codes}
    (block,) = blocks("python")
    exec(block, names)
    assert len([line for line in block.splitlines() if line]) == 5
    assert names["ids"].shape == (30, 15) and names["ids"][::2, 0].tolist() == [f"i{i}" for i in range(0, 30, 2)]
    assert len(names["open_index"]("photographs.index")) == 30
