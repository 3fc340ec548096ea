"""A folder of images to codes, an index and answers by the programs, and what is refused in one line."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from dseh_tf import load_run
from dseh_tf.encoding import shallow
from dseh_tf.encoding.codes_folder import open_codes
from dseh_tf.encoding.folders import encode_folder
from dseh_tf.encoding.image_names import image_files
from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import open_index
from experiments import encode, index, program, search
from tests.encoding.encoded import Thresholds, by_hand, write_export, write_images, write_run

ROOT = Path(__file__).parents[2]
NAMES = [f"{'cat' if i % 2 else 'dog'}/{i:02d}.png" for i in range(9)] + ["alone.png"]


@pytest.fixture
def pixels(tmp_path, rng) -> dict[str, np.ndarray]:
    return write_images(tmp_path / "images", NAMES, rng)


@pytest.fixture
def workdir(tmp_path, tf) -> Path:
    """A run of 12 bits on raw images of 6 x 5."""
    write_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def codes(tmp_path, pixels) -> Path:
    """A folder of codes by `Thresholds`, without TensorFlow."""
    encode_folder(Thresholds(), image_files(tmp_path / "images"), tmp_path / "codes", chunk=4)
    return tmp_path / "codes"


def call(module, *arguments: str | Path) -> None:
    values = flags.FlagValues()
    module.define_flags(values)
    module.main(program.parsed(["program", *map(str, arguments)], values), values)


def test_from_a_folder_to_an_answer(workdir, pixels, tmp_path, capsys):
    images, out, file = tmp_path / "images", tmp_path / "codes", tmp_path / "x.index"
    (images / "cat" / "01.png").write_text("a text")
    arguments = (f"--model={workdir}", f"--images={images}", f"--out={out}", "--chunk=4", "--noprogress")
    for _ in range(2):
        call(encode, *arguments)
        said = f"9 of 10 images have a code in {out}\n1 could not be read: {out / 'bad_images.csv'}\n"
        assert capsys.readouterr().out == said
    good = [name for name in sorted(NAMES) if name != "cat/01.png"]
    expected = dict(zip(good, pack(load_run(workdir).encode([pixels[name] for name in good])), strict=True))
    found = {
        name: code for ids, rows in open_codes(out).chunks() for name, code in zip(ids.tolist(), rows, strict=True)
    }
    assert sorted(found) == good and all((found[name] == expected[name]).all() for name in good)
    call(index, f"--codes={out}", "--labels=folder", f"--out={file}")
    distinct = len({code.tobytes() for code in expected.values()})
    assert capsys.readouterr().out == f"9 items with {distinct} distinct codes of 12 bits in {file}\n"
    query = images / "dog" / "02.png"
    call(
        search,
        f"--index={file}",
        f"--model={workdir}",
        f"--query={query}",
        "--radius=0",
        f"--out={tmp_path / 'a.html'}",
    )
    assert "    0  dog/02.png  dog" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "a.html").read_text().count("base64,") >= 2  # the images are found where they were encoded
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "config.json").write_text(json.dumps({**config, "method": "itq"}))
    with pytest.raises(InputError, match=r"method: found itq, expected lsh"):
        call(search, f"--index={file}", f"--model={workdir}", f"--query={query}")
    with pytest.raises(
        InputError, match=r"encode.json: model: method: found 'lsh', expected 'itq'; choose another folder"
    ):
        call(encode, *arguments)


def test_an_export_gives_the_codes_of_its_run(workdir, pixels, tmp_path):
    """In another folder of codes: another model began the first one."""
    write_export(workdir, tmp_path / "export")
    for model in ("run", "export"):
        call(
            encode,
            f"--model={tmp_path / model}",
            f"--images={tmp_path / 'images'}",
            f"--out={tmp_path / f'{model}-codes'}",
        )
    ((ids, codes),), ((other_ids, other),) = (
        open_codes(tmp_path / f"{model}-codes").chunks() for model in ("run", "export")
    )
    assert (ids == other_ids).all() and (codes == other).all() and len(codes) == 10
    with pytest.raises(
        InputError, match=r"encode.json: model: digest: found '\w+', expected '\w+'; choose another folder"
    ):
        call(encode, f"--model={workdir}", f"--images={tmp_path / 'images'}", f"--out={tmp_path / 'export-codes'}")


def test_another_encoder_file_is_another_model(workdir, pixels, tmp_path):
    """Two runs may have one configuration."""
    arguments = (f"--model={workdir}", f"--images={tmp_path / 'images'}", f"--out={tmp_path / 'codes'}", "--noprogress")
    call(encode, *arguments)
    rows = shallow.Rows(False, np.full(90, 0.4))
    shallow.Projection(rows=rows, image_shape=(6, 5), weights=np.ones((90, 12))).save(workdir / "encoder.npz")
    with pytest.raises(InputError, match=r"encode.json: model: digest: found '\w+', expected '\w+'"):
        call(encode, *arguments)


def test_a_list_of_images(workdir, pixels, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("dog/04.png 0 1\nmissing.png 1 0\ncat/03.png 1 0\n")
    arguments = (f"--model={workdir}", f"--images={tmp_path / 'list.txt'}", f"--out={tmp_path / 'codes'}")
    call(encode, *arguments, f"--images_root={tmp_path / 'images'}", "--noprogress")
    assert capsys.readouterr().out.splitlines()[0].startswith("2 of 3 images have a code")
    ((ids, _),) = open_codes(tmp_path / "codes").chunks()
    assert ids.tolist() == ["dog/04.png", "cat/03.png"]
    assert (tmp_path / "codes" / "bad_images.csv").read_text() == "id,reason\nmissing.png,no such file\n"
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    call(index, f"--codes={tmp_path / 'codes'}", f"--labels={tmp_path / 'list.txt'}", f"--out={tmp_path / 'x'}")
    assert open_index(tmp_path / "x").labels_of(["cat/03.png", "dog/04.png"]) == [["cat"], ["dog"]]


def test_an_index_of_codes(codes, pixels, tmp_path):
    call(index, f"--codes={codes}", f"--out={tmp_path / 'x'}")
    held = open_index(tmp_path / "x")
    assert held.bits == 20 and held.about["images"] == {"kind": "files", "root": str(tmp_path / "images")}
    assert held.about["method"] == "thresholds" and held.labels_of(["cat/01.png"]) == [[]]
    query = np.frombuffer(by_hand(pixels["cat/05.png"]), np.uint8)[None]
    assert held.search(query, 1)[0].tolist() == [["cat/05.png"]] and held.search(query, 1)[1].tolist() == [[0]]
    call(index, f"--codes={codes}", f"--out={tmp_path / 'x'}", "--labels=folder")
    labels = open_index(tmp_path / "x").labels_of(["cat/01.png", "dog/00.png", "alone.png"])
    assert labels == [["cat"], ["dog"], []]


def test_an_index_of_several_folders(codes, pixels, tmp_path, capsys):
    """Lists encoded apart make the index of all images, in the order of the folders."""
    images, names = tmp_path / "images", sorted(NAMES)
    for part, own in (("a", names[6:]), ("b", names[:6])):
        (tmp_path / f"{part}.txt").write_text("".join(f"{name}\n" for name in own))
        encode_folder(Thresholds(), image_files(tmp_path / f"{part}.txt", images), tmp_path / part, chunk=4)
    a, b, out = f"--codes={tmp_path / 'a'}", f"--codes={tmp_path / 'b'}", f"--out={tmp_path / 'x'}"
    call(index, a, b, "--labels=folder", out)
    assert capsys.readouterr().out.startswith("10 items with ")
    held = open_index(tmp_path / "x")
    assert held.codes_of(names).tolist() == [list(by_hand(pixels[name])) for name in names]
    zeros = np.zeros((1, 3), np.uint8)
    found, distances = (array[0].tolist() for array in held.search(zeros, 10))
    added = names[6:] + names[:6]
    assert found == sorted(added, key=lambda name: (distances[found.index(name)], added.index(name)))
    assert held.about["images"]["root"] == str(images) and held.labels_of(["dog/00.png"]) == [["dog"]]
    encode_folder(Thresholds(seed=1), image_files(tmp_path / "b.txt", images), tmp_path / "seed")
    encode_folder(Thresholds(), image_files(images / "cat"), tmp_path / "cat")
    for other, line in (
        ("a", "ids: found .*, which is in the index already"),
        ("seed", "seed: seed: found 1, expected 0 as in .*a$"),
        ("cat", "cat: images: found '.*images/cat', expected '.*images' as in .*a$"),
    ):
        with pytest.raises(InputError, match=line):
            call(index, a, f"--codes={tmp_path / other}", out)
    assert len(open_index(tmp_path / "x")) == 10


def test_an_index_of_codes_loads_no_tensorflow(codes, tmp_path):
    script = (
        "import sys; from absl import flags; from experiments import index; index.define_flags();"
        "flags.FLAGS(sys.argv); index.main(sys.argv[:1]); assert 'tensorflow' not in sys.modules"
    )
    arguments = [f"--codes={codes}", f"--out={tmp_path / 'x'}"]
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, capture_output=True)


def test_what_is_refused(codes, workdir, tmp_path):
    out, images = f"--out={tmp_path / 'x'}", f"--images={tmp_path / 'images'}"
    (tmp_path / "labels.txt").write_text("dog/00.png 0 1\nalone.png 1 0\n")
    for module, arguments, line in (
        (index, [], r"--workdir, --codes: found none, expected one of them"),
        (index, [f"--codes={codes}", f"--workdir={codes}"], r"--workdir, --codes: found both, expected one of them"),
        (index, [f"--workdir={codes}", "--labels=folder"], r"--labels: found folder, but --workdir has labels"),
        (index, [f"--codes={tmp_path}"], r"encode.json: found no such file, expected a folder of codes"),
        (index, [f"--codes={codes}", f"--labels={tmp_path / 'no'}"], r"no: found no such file"),
        (
            index,
            [f"--codes={codes}", "--labels=~no-such-user/x"],
            r"--labels: found '~no-such-user/x', expected a path",
        ),
        (
            index,
            [f"--codes={codes}", f"--labels={tmp_path / 'labels.txt'}"],
            r"labels.txt: found no line of cat/01.png",
        ),
        (encode, [f"--model={workdir}", images, "--chunk=0"], r"--chunk: found '0', expected a positive integer"),
        (
            encode,
            [f"--model={workdir}", f"--images={tmp_path / 'no'}"],
            r"no: found no such file, expected a folder of",
        ),
        (encode, [f"--model={tmp_path}", images], r"config.json"),
        (encode, [f"--model={workdir}", images, "--", "--x=1"], r"arguments: found '--x=1', expected flags only"),
    ):
        with pytest.raises(InputError, match=line):
            call(module, out, *arguments)
    assert not (tmp_path / "x").exists()


def test_a_runner_needs_beam_and_an_export(workdir, pixels, tmp_path):
    line = r"--model: found .*run, expected with --runner an export: experiments.export makes one"
    if importlib.util.find_spec("apache_beam") is None:
        line = r"--runner: found no package apache_beam, expected it: pip install 'dseh_tf\[beam\]'"
    with pytest.raises(InputError, match=line):
        call(
            encode,
            f"--model={workdir}",
            f"--images={tmp_path / 'images'}",
            f"--out={tmp_path / 'x'}",
            "--runner=FnApiRunner",
        )


def test_the_commands_and_the_example_of_the_page(workdir, pixels, tmp_path, monkeypatch, capsys):
    """Those of Beam are in test_encode_beam."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "encode.md").read_text(encoding="utf-8")
    blocks = {
        kind: re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE) for kind in ("sh", "python")
    }
    own = {"exports/x": workdir, "PHOTOGRAPHS": "images", "photo.jpg": "images/cat/03.png"}
    modules = {"experiments.encode": encode, "experiments.index": index, "experiments.search": search}
    for line in blocks["sh"][0].splitlines():
        for theirs, mine in own.items():
            line = line.replace(theirs, str(mine))
        _, _, module, *arguments = line.split()
        call(modules[module], *arguments)
    assert {"CODES", "photographs.index", "page.html"} <= {path.name for path in tmp_path.iterdir()}
    assert open_index("photographs.index").labels_of(["cat/03.png"]) == [["cat"]]
    capsys.readouterr()
    exec(blocks["python"][0], {})
    assert capsys.readouterr().out == "12 10 (10, 2)\n"
