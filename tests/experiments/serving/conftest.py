"""A folder of images, an index of them, and a model whose codes can be computed by hand."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import new_index

BITS = 12
LEVELS = np.arange(20, 260, 20)
WORDS = {"dark": 30, "bright": 230}


def code_of(level: float) -> np.ndarray:
    """±1 [BITS]: bit k says whether the level is above the k-th one."""
    return np.where(level > LEVELS, 1, -1).astype(np.int8)


class Model:
    """The code of an image is that of its mean value; a text is a word of `WORDS`."""

    bits, reads_words = BITS, True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pause, self.running, self.most = 0.0, 0, 0

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(self.pause)
        self.running -= 1
        return pack(np.stack([code_of(float(image.mean())) for image in images]))

    def encode_texts(self, lines: Sequence[str]) -> np.ndarray:
        for line in lines:
            if line not in WORDS:
                raise InputError(f"text: found the word {line!r}, expected one of the vocabulary")
        return pack(np.stack([code_of(WORDS[line]) for line in lines]))


def image_of(level: int, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(file, kind)
    return file.getvalue()


class Place:
    """Images `<level>.png` below a folder; `labels` by level."""

    def __init__(self, folder: Path, engine: str = "exact", first: int = 0, step: int = 17) -> None:
        self.folder, self.images = folder, folder / "images"
        self.images.mkdir(parents=True)
        self.index, self.engine = folder / "photographs.index", engine
        self.about = {"method": "lsh", "bits": BITS, "images": {"kind": "files", "root": str(self.images)}}
        self.levels = list(range(first, 256, step))
        for level in self.levels:
            (self.images / f"{level}.png").write_bytes(image_of(level))
        self.write()
        (folder / "run").mkdir()
        self.configure()
        self.model = Model(folder / "run")

    @staticmethod
    def labels(level: int) -> list[str]:
        return ["<night>"] if level < 60 else ["day", "<b>noon"] if level > 180 else []

    def write(self, more: Sequence[str] = ()) -> None:
        """The index, anew; further ids have the code of level 0."""
        held = new_index(self.engine, bits=BITS, about=self.about)
        held.add(np.stack([code_of(level) for level in self.levels]), [f"{level}.png" for level in self.levels],
                 [self.labels(level) for level in self.levels])  # fmt: skip
        if more:
            held.add(np.stack([code_of(0)] * len(more)), list(more))
        self.index.unlink(missing_ok=True)
        held.save(self.index)
        held.close()

    def configure(self, **changes: object) -> None:
        (self.folder / "run" / "config.json").write_text(json.dumps({**self.about, **changes}))

    def expected(self, level: float, most: int, radius: int = BITS, label: str | None = None) -> list[tuple[str, int]]:
        """(id, distance) of the nearest items, from the levels alone."""
        far = [(abs(sum(level > x for x in LEVELS) - sum(own > x for x in LEVELS)), own) for own in self.levels]
        found = sorted((d, own) for d, own in far if d <= radius and (label is None or label in self.labels(own)))
        return [(f"{own}.png", int(d)) for d, own in found][:most]


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path / "a")


@pytest.fixture
def client(place) -> Callable:
    """client(...) is a client of the application over `place`, or the given places."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from fastapi.testclient import TestClient

    from experiments.serving.app import create_app
    from experiments.serving.limits import Limits
    from experiments.serving.served import Served

    def make(
        *places: Place,
        models: bool = True,
        roots: Sequence[str | None] = (None, None),
        allow_mixed: bool = False,
        **limits: float,
    ):
        bounds = Limits(**limits)
        runs = [
            Served(number, str(one.index), one.model if models else None, roots[number], bounds, allow_mixed)
            for number, one in enumerate(places or [place])
        ]
        app = create_app(runs, bounds, ["photographs.lan"])
        return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)

    return make


def found(response, run: int = 0) -> list[tuple[str, int]]:
    assert response.status_code == 200, response.text
    return [(item["id"], item["distance"]) for item in response.json()["answers"][run]["nearest"]]


def refused(response, status: int, line: str) -> None:
    """The status, one line of JSON, and the beginning of the line."""
    assert response.status_code == status, response.text
    (text,) = response.json().values()
    assert text.startswith(line) and "\n" not in text, text
