"""The answers of experiments.search as a web page or a picture: each query with its nearest items."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from dseh_tf.data.decoding import decode_file, resize
from dseh_tf.errors import InputError
from dseh_tf.files import write_text
from dseh_tf.runs import read_config
from experiments import query_picture
from experiments.query_picture import SIZE, Source

_TEMPLATES = Path(__file__).parent / "templates"


def source(about: Mapping[str, Any], given: Any) -> Source:
    """The picture of an item by its id: from the folder of the images, or from the data set of the model's run."""
    root = given.images_root or about.get("images", {}).get("root")
    if root:
        return lambda name: _below(Path(root), name)
    if given.model is None:
        return lambda name: None
    places = SimpleNamespace(data_dir=None, lists_dir=None, images_root=None)
    return query_picture.source(read_config(Path(given.model)), places)


def _below(root: Path, name: str) -> np.ndarray | None:
    """The picture of a file below `root`. An index could name any file: others are not read."""
    try:
        path = (root / name).resolve()
        return resize(decode_file(path), SIZE) if path.is_relative_to(root.resolve()) else None
    except (InputError, OSError, ValueError):
        return None


def save(path: Path, answers: Sequence[Mapping[str, Any]], read: Source) -> None:
    """Writes one HTML file that holds its pictures. Every text in it is escaped."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    shown = [
        {
            "name": answer.get("image", answer["code"]),
            "picture": _address(_own(answer)),
            "nearest": [{**item, "picture": _address(read(item["id"]))} for item in answer["nearest"]],
        }
        for answer in answers
    ]
    write_text(path, environment.get_template("search.html").render(answers=shown, size=SIZE))


def save_picture(path: Path, answers: Sequence[Mapping[str, Any]], read: Source) -> None:
    """Draws the answers as experiments.query does; a query that is a code has its digits in place of a picture."""
    query_picture.save(path, [{"image": answer["code"], **answer} for answer in answers], read)


def _own(answer: Mapping[str, Any]) -> np.ndarray | None:
    return resize(decode_file(Path(answer["image"])), SIZE) if "image" in answer else None


def _address(pixels: np.ndarray | None) -> str | None:
    """The pixels as a `data:` address."""
    if pixels is None:
        return None
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
