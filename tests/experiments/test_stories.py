"""docs/stories: every command and example runs, in the order of its page, on small images in place of the reader's."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from absl import flags
from PIL import Image

from dseh_tf.export import open_model
from dseh_tf.retrieval.search import open_index
from experiments import encode, program, serve
from tests.experiments.conftest import parsed

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "stories"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OF_DSEH = ["--rounds=1", "--labnet_epochs=6", "--imgnet_epochs=6", "--set=labnet_batch=32", "--set=imgnet_batch=32"]
ADDRESS = "postgresql://me@db.example/photos?index=photographs"


def write_photograph(path: Path, rng: np.random.Generator, bright: bool) -> None:
    """One colour with noise."""
    colour = rng.integers(0, 110, 3) + 110 * bright
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((colour + rng.integers(0, 35, (20, 24, 3))).astype(np.uint8)).save(path)


def write_all(folder: Path) -> None:
    """A small backbone of 72 features, a folder of photographs with two labels, and lists of other images."""
    import keras

    rng, inputs = np.random.default_rng(0), keras.Input((16, 16, 3))
    start = keras.initializers.RandomNormal(0, 0.02, seed=1)
    features = keras.layers.Conv2D(72, 5, strides=2, activation="relu", kernel_initializer=start)(inputs)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(features)).save(folder / "small.keras")
    for i in range(200):
        place = ("garden", "beach" if i % 4 == 1 else "beach/2019")[i % 2]
        write_photograph(folder / "PHOTOGRAPHS" / place / f"{i:04d}.jpg", rng, i % 2 == 1)
    lines = []
    for i in range(150):
        write_photograph(folder / "IMAGES" / f"{i % 3}" / f"{i:03d}.jpg", rng, i % 2 == 1)
        lines.append(f"{i % 3}/{i:03d}.jpg {i % 2} {1 - i % 2}\n")
    (folder / "LISTS").mkdir()
    for name, part in (("test", lines[:20]), ("train", lines[20:120])):  # 30 images have no labels
        (folder / "LISTS" / f"{name}.txt").write_text("".join(part))
    write_photograph(folder / "photo.jpg", rng, True)


@pytest.fixture(scope="module")
def trained(tf, tmp_path_factory) -> Path:
    """A folder with `runs/mine`, as the page on photographs makes it."""
    home = tmp_path_factory.mktemp("stories")
    write_all(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for line in blocks("photographs")[0][1].splitlines():
            start(line)
    return home


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))


def start(line: str, address: str = "") -> flags.FlagValues | None:
    """Runs one line of a page; returns the flags of experiments.serve, whose server is not started."""
    if not line.startswith("python -m "):
        subprocess.run(line, shell=True, check=True)
        return None
    _, _, name, *arguments = shlex.split(line.replace("resnet50", "small.keras --image_size=16"))
    arguments = [word.replace(ADDRESS, address) for word in arguments]
    if name == "experiments.evaluate":  # its flags have names of other programs; it loads no TensorFlow
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", name, *arguments], env=environment, check=True)
        return None
    module = importlib.import_module(name)
    if name == "experiments.run":
        if not any(word.startswith("--method") for word in arguments):
            arguments += OF_DSEH
        arguments += ["--noprogress", "--data_dir=data"]
    if not hasattr(module, "define_flags"):
        with parsed(*arguments):
            module.main([name])
        return None
    values = flags.FlagValues()
    module.define_flags(values)
    rest = program.parsed([name, *arguments], values)
    if name == "experiments.serve":
        serve.check(values)
        return values
    if values.flag_values_dict().get("runner"):
        assert rest[1:] == ["--flink_master=head:8081", "--environment_type=LOOPBACK"]
        assert encode.digest(Path(values.model))
        assert len(encode.image_files(values.images, values.images_root)) == 150
        return None
    module.main(rest, values)
    return None


def follow(page: str, skipped: int = 0, address: str = "") -> list[flags.FlagValues]:
    """Runs the blocks of a page after the first `skipped`; returns what servers it would start."""
    servers = []
    for kind, block in blocks(page)[skipped:]:
        if kind == "python":
            exec(block, {})
            continue
        for line in block.splitlines():
            if line.startswith("curl "):
                assert asked(servers[-1], shlex.split(line)[-1]).status_code == 200
            elif (server := start(line, address)) is not None:
                servers.append(server)
    return servers


def asked(given: flags.FlagValues, url: str):
    """The answer of the server with these flags."""
    testclient = pytest.importorskip("fastapi.testclient", reason="the extra serve is not installed")
    from experiments.serving.app import create_app
    from experiments.serving.limits import Limits

    limits = Limits()
    (served,) = serve.opened(given, limits)
    try:
        address = urlsplit(url)
        client = testclient.TestClient(create_app([served], limits, []), base_url=f"http://{address.netloc}")
        return client.get(f"{address.path}?{address.query}")
    finally:
        served.close()


def test_photographs(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    pages, added = blocks("photographs"), trained / "PHOTOGRAPHS" / "garden" / "new.jpg"
    real = subprocess.run

    def with_a_new_photograph(command, **options):
        """Just before the command that looks for new ones."""
        if "-newer" in command:
            write_photograph(added, np.random.default_rng(1), False)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", with_a_new_photograph)
    (server,) = follow("photographs", skipped=1)
    held = open_index("photographs.index")
    assert (
        len(pages) == 6
        and len(held) == 201
        and held.labels_of(["garden/new.jpg", "beach/2019/0003.jpg"])
        == [
            ["garden"],
            ["beach"],
        ]
    )
    assert Path("page.html").read_text().count("base64,") == 21 and server.index == ["photographs.index"]
    assert (
        json.loads(Path("runs/unlabelled/result.json").read_text())["map"] == 1
    )  # and means nothing, as the page says
    assert "201" in capsys.readouterr().out


def test_cluster(tf, tmp_path, monkeypatch, place):
    pytest.importorskip("psycopg", reason="the extra pgvector is not installed")
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    address = place("pgvector", "x")
    (server,) = follow("cluster", address=address)
    one, other = open_index("photographs.index"), open_index(address)
    assert len(one) == len(other) == 150 and server.index == [address]
    query = open_model("exports/large").encode(["photo.jpg"])
    for found, expected in zip(other.search(query, 150), one.search(query, 150), strict=True):
        np.testing.assert_array_equal(found, expected)
    other.close()


def test_phone(trained, monkeypatch, capsys):
    """The check images have their codes, and the app's files and functions give the distances of the index."""
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    from dseh_tf.export import check

    monkeypatch.setattr(check, "MAP_MOVES", 0.05)  # of few queries
    monkeypatch.chdir(trained)
    one, other = follow("phone")
    printed = capsys.readouterr()
    assert "note: " in printed.err and (one.allow_mixed, other.allow_mixed) == (False, True)
    codes = re.findall(r"^check/\d.png (\w+) expected (\w+)$", printed.out, flags=re.MULTILINE)
    assert len(codes) == 4 and all(found == expected for found, expected in codes)
    names: dict = {}
    exec(next(block for kind, block in blocks("phone") if "def distance" in block), names)
    model, held = open_model("exports/phone"), open_index("phone.index")
    query, logits = model.encode(["photo.jpg"]), model.logits(["photo.jpg"])[0]
    assert names["pack"](logits.tolist()) == query.tobytes()
    stored, ids = Path("codes.bin").read_bytes(), Path("ids.txt").read_text().splitlines()
    far = {name: names["distance"](stored[4 * i : 4 * i + 4], query.tobytes()) for i, name in enumerate(ids)}
    assert len(stored) == 4 * len(ids) == 4 * len(held)
    found, distances = (array[0].tolist() for array in held.search(query, len(ids)))
    assert [far[name] for name in found] == distances
