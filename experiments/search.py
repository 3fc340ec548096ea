"""Searches an index with new images, or with codes.

    python -m experiments.search --index=photographs.index --model=runs/x --query=photo.jpg --top=20
    python -m experiments.search --index=photographs.index --code=1f00c3a9 --radius=4 --label=dog --out=answers.json
    python -m experiments.search --index='postgresql://me@host/photos?index=photographs' --code=1f00c3a9

Prints the nearest items of each query with their distances and labels, nearest first; items at the same distance are in
the order in which they were added. `--out` also writes the answers as JSON, as a web page (.html) or as a picture.
`--model` is the run folder that made the codes in the index, or an export of it (experiments.export). A code is given
in hexadecimal digits, byte by byte as in codes.npz; TensorFlow is then not loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.arrays import as_packed
from dseh_tf.errors import InputError, brief
from dseh_tf.files import write_json
from dseh_tf.retrieval.search import Index, open_index
from dseh_tf.retrieval.search.address import shown
from experiments import own_layers as _own_layers  # noqa: F401  # defines --import_module
from experiments import program
from experiments.outputs import check_answers

_PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
_SUFFIXES = (".json", ".html", *_PICTURES)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path(
        "index", None, "The file that experiments.index wrote, or the address of a database.", required=True, **own
    )
    program.DEFINE_path("model", None, "Run folder or export that encodes the images of --query.", **own)
    what = "An image, or a folder (all images in it, at any depth)."
    program.DEFINE_multi_path("query", [], what, **own)
    flags.DEFINE_multi_string("code", [], "A code in hexadecimal digits, instead of an image.", **own)
    top = "Number of answers per query. Default: 20, or all within --radius."
    flags.DEFINE_integer("top", None, top, lower_bound=1, **own)
    flags.DEFINE_integer("radius", None, "Maximum distance of an answer.", lower_bound=0, **own)
    flags.DEFINE_string("label", None, "Return only answers with this label.", **own)
    program.DEFINE_multi_path("out", [], f"A file to write: {', '.join(_SUFFIXES)}.", **own)
    program.DEFINE_path(
        "images_root", None, "Folder of the images in the index. Default: the one that the run used.", **own
    )
    where = "File of the run's frozen backbone or its weights, if it has moved."
    program.DEFINE_path("backbone", None, where, **own)
    mixed = "Allow an encoder whose precision differs from that of the index's codes, such as litert_int8."
    flags.DEFINE_bool("allow_mixed", False, mixed, **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    outputs = list(map(Path, given.out))
    for out in outputs:
        if out.suffix.lower() not in _SUFFIXES:
            raise InputError(f"--out: found {out}, expected a name that ends in {', '.join(_SUFFIXES)}")
        check_answers(out)
    if not given.query and not given.code:
        raise InputError("--query: found none, expected images (--query=FILE) or codes (--code=HEX)")
    index = open_index(given.index, read_only=True)
    try:
        answers = answered(index, given)
    finally:
        index.close()
    exactness = {} if index.recall is None else {"recall": index.recall}
    if exactness:
        print(f"answers are not exact: recall {index.recall:.3f} when the index was made")
    print("\n".join(line for answer in answers for line in lines(answer)))
    for out in outputs:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".json":
            write_json(out, {"index": shown(given.index), **exactness, "bits": index.bits, "answers": answers})
        else:
            from experiments import search_page

            read = search_page.source(index.about, given)
            (search_page.save if out.suffix.lower() == ".html" else search_page.save_picture)(out, answers, read)
        print(f"answers in {out}")


def answered(index: Index, given: Any) -> list[dict[str, Any]]:
    """The answers to all queries: images first, then codes."""
    if given.label is not None and given.label not in index.label_names():
        known = brief(", ".join(index.label_names()))
        raise InputError(f"--label: found {brief(given.label)}, expected a label of the index: {known}")
    codes = [parse_code(text, index.bits) for text in given.code]
    images: list[Path] = []
    if given.query:
        images, encoded = encode(index, given)
        codes = [*encoded, *codes]
    packed = np.stack(codes)
    if given.radius is None:
        found = list(zip(*index.search(packed, given.top or 20, given.label), strict=True))
    else:
        found = [
            (ids[: given.top], far[: given.top]) for ids, far in index.range(packed, given.radius, label=given.label)
        ]
    names = [{"image": str(path)} for path in images] + [{} for _ in given.code]
    answers = []
    for name, code, (ids, distances) in zip(names, packed, found, strict=True):
        nearest = zip(ids.tolist(), distances.tolist(), index.labels_of(ids), strict=True)
        answers.append(
            {
                **name,
                "code": code.tobytes().hex(),
                "nearest": [{"id": item, "distance": far, "classes": labels} for item, far, labels in nearest],
            }
        )
    return answers


def parse_code(text: str, bits: int) -> np.ndarray:
    """Packed uint8 [ceil(bits / 8)] of hexadecimal digits, two for each byte. Raises InputError on anything else."""
    try:
        code = np.frombuffer(bytes.fromhex(text), np.uint8)
        as_packed(code[None], bits, "codes")
    except ValueError as error:  # InputError is one
        why = f" ({str(error).partition(': ')[2]})" if isinstance(error, InputError) else ""
        raise InputError(
            f"--code: found {brief(text)}{why}, expected {2 * -(-bits // 8)} hexadecimal digits of {bits} bits"
        ) from None
    return code


def encode(index: Index, given: Any) -> tuple[list[Path], list[np.ndarray]]:
    """The query's image files, and their packed codes. Images are checked before the encoder is loaded."""
    from dseh_tf.retrieval import pack
    from experiments.query import check_image, image_files

    if given.model is None:
        raise InputError(
            "--model: found none, expected the run folder or the export that encodes the images of --query"
        )
    check_model(index, Path(given.model), given.allow_mixed)
    paths = image_files(given.query)
    for path in paths:
        check_image(path)
    for out in map(Path, given.out):
        check_answers(out, paths)
    return paths, list(pack(codes_of(Path(given.model), paths, given.backbone)))


def codes_of(model: Path, paths: Sequence[Path], backbone: str | None) -> np.ndarray:
    """int8 ±1 [n, K] of image files by the encoder of a run or of an export, after --import_module."""
    from experiments import query

    return query.encode(model, paths, backbone)


def check_model(index: Index, model: Path, allow_mixed: bool = False) -> None:
    """Raises InputError if the index holds the codes of another encoder than the model's: distances would mean nothing."""
    from dseh_tf.export import check_same

    note = check_same(model, {**index.about, "bits": index.bits}, "the index", allow_mixed)
    if note is not None:
        print(f"note: {note}", file=sys.stderr)


def lines(answer: dict[str, Any]) -> list[str]:
    """One query's answers, for people."""
    shown = [answer.get("image", answer["code"])]
    for item in answer["nearest"]:
        shown.append(f"  {item['distance']:3d}  {item['id']}  {', '.join(item['classes'])}".rstrip())
    return shown if answer["nearest"] else [*shown, "  no item within these limits"]


if __name__ == "__main__":
    define_flags()
    program.run(main)
