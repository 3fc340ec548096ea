"""Searches the database of a finished run with new images.

    python -m experiments.query --workdir=runs/x photo.jpg holiday/*.png --top=10
    python -m experiments.query --workdir=runs/x --images=FOLDER --out=answers.json --out=answers.png
    python -m experiments.query --workdir=runs/x photo.jpg --add=NEW_FOLDER
    python -m experiments.query --workdir=runs/x --text="mountain sky"

Works with runs of every method on images. Prints the nearest database items of each image with their distances and, if
known, their classes: nearest first, ties in database order. A last line says how many items of the database have the
last distance, because some of them may be left out. `--model` names an export of the run that encodes the images
instead. `--add` names images that were added after training; they are encoded and searched together with the codes of
the run's database, which an asymmetric method has learned. For runs of cross-modal methods, `--text` searches with
words, and `--search=text` searches the codes of the database's texts. `--out` also writes the answers as JSON or as a
picture. The images are checked before the encoder is loaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from dseh_tf.data.decoding import check_header, decode_file, readable_suffixes
from dseh_tf.data.files import check_utf8, is_there, list_below
from dseh_tf.encoding.run_encoder import encoder_file
from dseh_tf.errors import InputError
from dseh_tf.export import about, check_same
from dseh_tf.files import write_json
from dseh_tf.retrieval import CodesFile, codes_path, load_codes, nearest_rows, pack, rows_at, unpack
from dseh_tf.runs import read_config, read_result
from experiments import own_layers, program, run_data
from experiments.outputs import check_answers

_TAKES = "the images to search with, as --images"
_PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
MOST_PIXELS = 64 * 10**6  # of an image, as experiments.serve accepts


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", required=True, **own)
    what = "An image, a folder (all images in it, at any depth), or several of them separated by commas."
    program.DEFINE_multi_path("images", [], what, **own)
    later = (
        "Images to search in addition to the run's database: files or folders, as in --images. They have no classes."
    )
    program.DEFINE_multi_path("add", [], later, **own)
    words = "Words to search with, separated by spaces; may be repeated. For runs of cross-modal methods."
    flags.DEFINE_multi_string("text", [], words, **own)
    codes = "Which codes of the database to search."
    flags.DEFINE_enum("search", "image", ("image", "text"), codes, **own)
    flags.DEFINE_integer("top", 10, "Number of answers per query.", lower_bound=1, **own)
    program.DEFINE_multi_path("out", [], f"A file to write: .json, or a picture ({', '.join(_PICTURES)}).", **own)
    where = "File of the run's frozen backbone or its weights, if it has moved."
    program.DEFINE_path("backbone", None, where, **own)
    model = "Export of the run, used to encode the images. Default: the run's own encoder."
    program.DEFINE_path("model", None, model, **own)
    mixed = "Allow an export whose precision differs from that of the run's codes, such as litert_int8."
    flags.DEFINE_bool("allow_mixed", False, mixed, **own)
    run_data.define_places(values)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    workdir, outputs = Path(given.workdir), list(map(Path, given.out))
    for out in outputs:
        if out.suffix.lower() not in (".json", *_PICTURES):
            raise InputError(f"--out: found {out}, expected a name that ends in .json, {', '.join(_PICTURES)}")
    named = [*given.images, *arguments[1:]]
    paths = image_files(named) if named or not given.text else []
    added = image_files(given.add, "add") if given.add else []
    for out in outputs:
        check_answers(out, [*paths, *added])
    if given.text and any(out.suffix.lower() != ".json" for out in outputs):
        raise InputError("--out: found a picture for words to search with, expected a name that ends in .json")
    if added and given.search == "text":
        raise InputError("--add: found images, but --search=text searches texts, expected --search=image")
    config, names = check_run(workdir)
    if given.model is not None:
        note = check_same(given.model, about(config), str(workdir), given.allow_mixed)
        if note is not None:
            print(f"note: {note}", file=sys.stderr)
    codes = load_codes(codes_path(workdir), bits=config.get("bits"))
    for path in [*paths, *added]:
        check_image(path)
    for out in outputs:
        out.parent.mkdir(parents=True, exist_ok=True)
    searched = "database_codes_text" if given.search == "text" else "database_codes"
    if getattr(codes, searched) is None:
        raise InputError(
            f"--search: found text, but {workdir} has no codes of texts, expected a run of a cross-modal method"
        )
    encoded = (
        encode(given.model or workdir, [*paths, *added], given.backbone)
        if paths or added
        else np.empty((0, codes.bits), np.int8)
    )
    queries = encoded[: len(paths)]
    if given.text:
        queries = np.concatenate([queries, encode_words(workdir, given.text)])
    asked = [{"image": str(path)} for path in paths] + [{"text": words} for words in given.text]

    def parts() -> Iterator[np.ndarray]:
        yield from (packed for (packed,) in codes.pieces(searched))
        if added:
            yield pack(encoded[len(paths) :])

    nearest = nearest_rows(queries, parts(), given.top, codes.bits)
    sizes = rows_at(pack(queries), parts(), nearest[1][:, -1], codes.bits)
    answers = []
    for query, size, rows, distances in zip(asked, sizes, *nearest, strict=True):
        last = distances[-1]
        answers.append(
            {
                **query,
                "nearest": [
                    {**_item(codes, names, added, int(row)), "distance": int(distance)}
                    for row, distance in zip(rows, distances, strict=True)
                ],
                "last_distance": {
                    "distance": int(last),
                    "items": int(size),
                    "shown": int((distances == last).sum()),
                },
            }
        )
    print("\n".join(line for answer in answers for line in lines(answer)))
    for out in outputs:
        if out.suffix.lower() == ".json":
            write_json(out, {"run": str(workdir), "bits": codes.bits, "answers": answers})
        else:
            from experiments import query_picture

            query_picture.save(out, answers, query_picture.source(config, given))
        print(f"answers in {out}")


def image_files(named: Sequence[str], flag: str = "images") -> list[Path]:
    """The image files of the given names: a file, a folder, or several of them with commas.

    A name that exists is taken as it is, commas and all. `flag` is named in errors.

    Raises:
        InputError: A name is neither a file nor a folder or is not UTF-8, or there is no image at all.
    """
    found: list[Path] = []
    for name in named:
        if name.strip() and is_there(Path(name)):  # an empty path would be the current folder
            paths = [Path(name)]
        else:
            parts = [part for part in name.split(",") if part.strip() or part == name]
            paths = [Path(program.given_path(part, flag)) for part in parts]
        for path in paths:
            if path.is_dir():
                found += _in_folder(path, flag)
            elif path.is_file():
                found.append(path)
            else:
                what = "found no file with pixels" if path.exists() else "found no such file"
                raise InputError(f"{flag}: {path}: {what}, expected an image file or a folder of them")
    for path in found:
        check_utf8(path)  # pictures, pages and JSON hold the names
    if not found:
        raise InputError("images: found none, expected image files or folders (--images=FILE, or as arguments)")
    return list(dict.fromkeys(found))


def check_image(path: Path) -> None:
    """Raises InputError on a file that is not an image, damaged, or has more than `MOST_PIXELS`, by its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the line below says it
        width, height = check_header(path)
    if width * height > MOST_PIXELS:
        found = f"{width} x {height} pixels ({width * height / 1e6:.3g} million)"
        raise InputError(f"{path}: found {found}, expected at most {MOST_PIXELS / 1e6:.3g} million; make it smaller")
    decode_file(path)


def _in_folder(folder: Path, flag: str) -> list[Path]:
    """The images below a folder by their suffix, in alphabetical order; hidden names are skipped."""
    suffixes = readable_suffixes()
    found = list_below(folder, lambda name: Path(name).suffix.lower() in suffixes)
    if not found.files:
        others = f" but {found.passed_over()}" if found.passed_over() else ""
        raise InputError(f"{flag}: {folder}: found no image{others}, expected some (.jpg, .png, ...)")
    if found.passed_over():
        print(f"note: {folder}: skipped {found.passed_over()}", file=sys.stderr)
    return found.files


def check_run(workdir: Path) -> tuple[dict[str, Any], list[str]]:
    """config.json and the names of the classes (empty if they are not known) of a run that has an encoder.

    Raises:
        InputError: There is no such run. TensorFlow is not loaded.
    """
    config = read_config(workdir)
    encoder_file(workdir, config)
    finished = (workdir / "result.json").is_file()
    return config, read_result(workdir).get("class_names", []) if finished else []


def _item(codes: CodesFile, names: Sequence[str], added: Sequence[Path], row: int) -> dict[str, Any]:
    """The id and the classes of a database row; rows after the run's database are added images."""
    rows = len(codes.database_ids)
    if row >= rows:
        return {"id": str(added[row - rows]), "added": True}
    return {"id": str(codes.database_ids[row]), **_classes(codes.database_labels[row], names)}


def _classes(labels: np.ndarray, names: Sequence[str]) -> dict[str, list[str]]:
    """{"classes": [...]} of a multi-hot row; empty if the names are not known."""
    return {"classes": [names[k] for k in np.flatnonzero(labels).tolist()]} if len(names) == len(labels) else {}


def lines(answer: dict[str, Any]) -> list[str]:
    """One image's answers, for people."""
    shown = [answer["image"] if "image" in answer else f"words: {answer['text']}"]
    for item in answer["nearest"]:
        classes = f"  {', '.join(item['classes'])}" if "classes" in item else ""
        shown.append(f"  {item['distance']:3d}  {item['id']}{classes}{'  (added)' if 'added' in item else ''}")
    last = answer["last_distance"]
    items = f"{last['items']} item{'' if last['items'] == 1 else 's'}"
    return [*shown, f"  {items} at distance {last['distance']}, {last['shown']} shown; ties in the database's order"]


def encode(model: Path | str, paths: Sequence[Path], backbone: str | None = None) -> np.ndarray:
    """int8 ±1 [n, K] of image files by the encoder of a run or of an export."""
    from dseh_tf.export import open_model

    opened = open_model(model, backbone, own_layers.imported())
    return unpack(opened.encode(list(paths)), opened.bits)


def encode_words(workdir: Path, lines: Sequence[str]) -> np.ndarray:
    """int8 ±1 [n, K] of strings of words by the text encoder of a run.

    Raises InputError on a run without one, and on a word outside its vocabulary.
    """
    from dseh_tf.encoding.text import load_text_encoder

    encoder = load_text_encoder(workdir)
    if encoder is None:
        raise InputError(
            f"--text: found a run without a text encoder in {workdir}, expected one of a cross-modal method"
        )
    return encoder.encode_words(lines)


if __name__ == "__main__":
    define_flags()
    program.run(main, takes=_TAKES)
