"""Searching with new images: which are taken, what is printed and written, and what is refused before networks load."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from dseh_tf.errors import InputError, refusal
from dseh_tf.retrieval import pack, save_codes
from experiments import program, query, query_picture

DATABASE = np.array([[1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, -1]], np.int8)


def picture(path: Path, colour: tuple[int, int, int] = (200, 30, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), colour).save(path)
    return path


@pytest.fixture
def workdir(tmp_path) -> Path:
    """A finished run: 3 bits, a database a to e whose classes are not named."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_codes(
        folder / "codes.npz",
        query_codes=pack(DATABASE[:1]),
        database_codes=pack(DATABASE),
        query_labels=np.ones((1, 2), np.uint8),
        database_labels=np.array([[1, 0], [0, 1], [1, 1], [1, 0], [0, 1]], np.uint8),
        query_ids=np.array(["q"]),
        database_ids=np.array(list("abcde")),
        bits=3,
    )
    (folder / "config.json").write_text(json.dumps({"bits": 3, "method": "dseh"}))
    (folder / "result.json").write_text("{}")
    (folder / "imgnet.keras").write_text("")
    return folder


@pytest.fixture
def ask(workdir, monkeypatch):
    """ask("--top=3", ...) is the program on that run, with a network that gives the codes of b and e in turn."""

    def call(*arguments: str | Path) -> None:
        values = flags.FlagValues()
        query.define_flags(values)
        left = program.parsed(["query", f"--workdir={workdir}", *map(str, arguments)], values)
        query.main(left, values)

    monkeypatch.setattr(query, "encode", lambda _, paths, __: DATABASE[[1, 4] * len(paths)][: len(paths)])
    return call


def test_answers_and_what_is_left_out(ask, tmp_path, capsys):
    """Two queries against items at distances 1, 0, 1, 1, 3 of the first and 2, 3, 2, 2, 0 of the second."""
    images = [picture(tmp_path / "x.png"), picture(tmp_path / "y.png")]
    ask(f"--images={images[0]},{images[1]}", "--top=3")
    assert capsys.readouterr().out.splitlines() == [
        str(images[0]), "    0  b", "    1  a", "    1  c", "  3 items at distance 1, 2 shown; ties in the database's order",
        str(images[1]), "    0  e", "    2  a", "    2  c", "  3 items at distance 2, 2 shown; ties in the database's order",
    ]  # fmt: skip
    ask(images[0], "--top=1")
    assert "  1 item at distance 0, 1 shown;" in capsys.readouterr().out


def test_images_that_came_later_are_searched_too(ask, workdir, tmp_path, capsys):
    """One query at distance 0 of b; of two added images the first is at distance 3, the second at distance 0."""
    config = {"bits": 3, "method": "dseh", "images": {"kind": "files", "root": str(tmp_path)}}
    (workdir / "config.json").write_text(json.dumps(config))
    image, later = picture(tmp_path / "x.png"), [picture(tmp_path / "new" / name) for name in ("u.png", "v.png")]
    out = tmp_path / "answers.json"
    ask(image, f"--add={tmp_path / 'new'}", "--top=3", f"--out={out}", f"--out={tmp_path / 'answers.png'}")
    assert capsys.readouterr().out.splitlines()[:5] == [
        str(image), "    0  b", f"    0  {later[1]}  (added)", "    1  a",
        "  3 items at distance 1, 1 shown; ties in the database's order",
    ]  # fmt: skip
    (answer,) = json.loads(out.read_text())["answers"]
    assert answer["nearest"][1] == {"id": str(later[1]), "distance": 0, "added": True}
    pixels = np.asarray(Image.open(tmp_path / "answers.png").convert("RGB")).astype(int)
    columns = np.flatnonzero((np.abs(pixels - (200, 30, 30)).max(axis=2) < 10).sum(axis=0) > 50)
    assert len(columns) > pixels.shape[1] / 3  # the query and the added image, of four pictures
    with pytest.raises(InputError, match=r"^add: .*gone: found no such file, expected an image file or a folder"):
        ask(image, f"--add={tmp_path / 'gone'}")


def test_which_images_are_taken(tmp_path, capsys):
    """Files, folders at any depth, names with commas, several with commas; each image once, hidden ones not at all."""
    for name in ("f/b.png", "f/deep/a.jpg", "f/.hidden.png", "f/.thumbs/c.png", "f/__MACOSX/d.png", "g,h.png", "i.png"):
        picture(tmp_path / name)
    (tmp_path / "f" / "notes.txt").write_text("")
    take = lambda *names: [str(p.relative_to(tmp_path)) for p in query.image_files([f"{tmp_path}/{n}" for n in names])]  # noqa: E731
    assert take("f") == ["f/b.png", "f/deep/a.jpg"]
    assert capsys.readouterr().err == f"note: {tmp_path}/f: skipped 1 other file (.txt 1), 3 hidden names\n"
    assert take("g,h.png", "i.png", "i.png") == ["g,h.png", "i.png"]
    assert take(f"i.png,{tmp_path}/f/b.png") == ["i.png", "f/b.png"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("", "images: found '', expected a path"),
        (" ", "images: found ' ', expected a path"),
        ("~no-such-user/x.png", "images: found '~no-such-user/x.png', expected a path of a user of this machine"),
        ("a.png,~no-such-user", "images: found '~no-such-user', expected a path of a user of this machine"),
    ],
)
def test_arguments_are_paths(tmp_path, monkeypatch, name, line):
    """As the values of path flags are: an empty one is not the current folder, and a home that is none is one line."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(InputError) as told:
        query.image_files([name])
    assert str(told.value).startswith(line)


def test_a_picture_that_cannot_be_written_is_told_by_its_own_name(ask, tmp_path, capsys):
    """And letters that the font lacks are one note, not a warning each."""
    image, out = picture(tmp_path / "\u65e5\u672c.png"), tmp_path / "answers.png"
    out.mkdir()
    with pytest.raises(OSError) as told:
        ask(image, f"--out={out}")
    assert refusal(told.value) == f"{out}: found a folder in its place, expected a file"
    assert not [entry for entry in tmp_path.iterdir() if "partial" in entry.name]
    out.rmdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(image, f"--out={out}")
    assert out.is_file()
    told = capsys.readouterr().err
    assert "note: the picture has no database images: config.json: dataset: found none, expected that of a run" in told
    assert f"note: {out}: some letters are boxes: matplotlib's font DejaVu Sans lacks them" in told


def test_files_of_the_run_and_images_are_not_replaced(ask, workdir, tmp_path):
    image = picture(tmp_path / "a.png")
    before = image.read_bytes(), (workdir / "config.json").read_bytes()
    for out, line in ((workdir / "config.json", "a file of a run"), (image, "which is one of the images")):
        with pytest.raises(InputError, match=f"^--out: found {out}, {line}"):
            ask(image, f"--out={out}")
    assert (image.read_bytes(), (workdir / "config.json").read_bytes()) == before


def test_names_that_are_not_utf8_are_refused(tmp_path):
    """A page, a picture and a JSON file cannot hold them."""
    try:
        picture(tmp_path / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this disk has names in UTF-8 only")
    with pytest.raises(InputError, match=r"caf.udce9\.png': found a name that is not UTF-8, expected one in UTF-8"):
        query.image_files([str(tmp_path)])


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_answers_as_json_and_picture(ask, workdir, tmp_path, capsys, suffix):
    """The classes by name; the picture has a row a query with as many database images as there are, else their ids."""
    result = {"class_names": ["sea", "sky"]}
    (workdir / "result.json").write_text(json.dumps(result))
    root = tmp_path / "images"
    root.mkdir()
    for name, colour in (("a", (0, 0, 250)), ("b", (0, 250, 0))):  # c is gone
        Image.new("RGB", (9, 9), colour).save(root / name, "PNG")
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "config.json").write_text(json.dumps({**config, "images": {"kind": "files", "root": "elsewhere"}}))
    image, out = picture(tmp_path / "x.png"), tmp_path / "new" / f"answers{suffix}"
    ask(image, "--top=3", f"--out={out}", f"--out={out.with_suffix('.json')}", f"--images_root={root}")
    assert "    1  c  sea, sky" in capsys.readouterr().out
    (answer,) = json.loads(out.with_suffix(".json").read_text())["answers"]
    assert answer == {
        "image": str(image),
        "nearest": [
            {"id": "b", "distance": 0, "classes": ["sky"]},
            {"id": "a", "distance": 1, "classes": ["sea"]},
            {"id": "c", "distance": 1, "classes": ["sea", "sky"]},
        ],
        "last_distance": {"distance": 1, "items": 3, "shown": 2},
    }
    assert sorted(p.name for p in out.parent.iterdir()) == ["answers.json", f"answers{suffix}"]
    if suffix == ".png":
        pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
        left = []
        for colour in ((200, 30, 30), (0, 250, 0), (0, 0, 250), (235, 235, 235)):  # the query, b, a, and c by its id
            columns = np.flatnonzero((np.abs(pixels - colour).max(axis=2) < 10).sum(axis=0) > 50)
            assert len(columns) > pixels.shape[1] / 6
            left.append(columns[0])
        assert left == sorted(left)


def test_a_picture_where_the_images_are_gone(tmp_path, capsys):
    config = {"dataset": "image_lists", "data": {}, "lists_dir": str(tmp_path / "gone")}
    read = query_picture.source(config, type("G", (), dict.fromkeys(("data_dir", "lists_dir", "images_root"))))
    assert read("a") is None and f"note: the picture has no database images: {tmp_path}/gone" in capsys.readouterr().err


def test_a_damaged_image_is_told_before_networks_load(ask, workdir, tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(whole, "JPEG")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.getvalue()[:900])
    code = (
        "import sys\nfrom experiments import program, query\nquery.define_flags()\n"
        f"sys.argv = ['query', '--workdir={workdir}', '{cut}']\n"
        "try:\n    program.run(query.main, takes='x')\nfinally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {cut}: found a truncated or damaged image") and done.stderr.count("\n") == 1


def test_what_is_refused(ask, workdir, tmp_path):
    image, empty = picture(tmp_path / "x.png"), tmp_path / "empty"
    (empty / ".git").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    for arguments, line in (
        ([], "images: found none, expected image files"),
        ([empty], f"images: {empty}: found no image but 1 hidden name"),
        ([tmp_path / "a.png"], "a.png: found no such file, expected an image file"),
        ([f"{image},{tmp_path}/b.png"], "b.png: found no such file, expected an image file"),
        ([tmp_path / "pipe"], "pipe: found no file with pixels"),
        ([image, "--top=0"], "--top: found '0', expected a positive integer"),
        ([image, "--out=answers.txt"], "--out: found answers.txt, expected a name that ends in .json"),
        ([image, f"--workdir={tmp_path}"], "config.json: found no such file"),
    ):
        with pytest.raises(InputError, match=line):
            ask(*arguments)
    (workdir / "imgnet.keras").unlink()
    with pytest.raises(
        InputError, match=r"found neither imgnet.keras nor encoder.npz \(a run of dseh by an earlier version, or"
    ):
        ask(image)
