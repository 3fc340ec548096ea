"""Makes a search index from a run's database or from folders of codes.

    python -m experiments.index --workdir=runs/x --out=photographs.index
    python -m experiments.index --workdir=runs/x --out=photographs.duckdb --engine=duckdb
    python -m experiments.index --workdir=runs/x --out='postgresql://me@host/photos?index=photographs' --engine=pgvector
    python -m experiments.index --codes=CODES --labels=folder --out=photographs.index
    python -m experiments.index --codes=CODES/0 --codes=CODES/1 --out=photographs.index

Codes, ids and labels are read from the run folder, or from the folders that experiments.encode wrote; no image is
encoded. experiments.search searches the index. The labels of a run are the names of its classes, or column numbers if
the names are not known. Codes of a folder have labels only if `--labels` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.encoding.codes_folder import CodesFolder, open_codes
from dseh_tf.errors import InputError
from dseh_tf.export import about
from dseh_tf.retrieval import codes_path, load_codes
from dseh_tf.retrieval.codes import naming
from dseh_tf.retrieval.groups import distinct_codes
from dseh_tf.retrieval.search import ENGINES, Index, new_index, replacing_index
from dseh_tf.retrieval.search.address import is_address, shown
from dseh_tf.retrieval.search.protocol import check_bits
from dseh_tf.runs import read_config, read_result
from experiments import program
from experiments.outputs import check_index

Part = tuple[np.ndarray, np.ndarray, list[list[str]]]  # packed codes, ids, labels


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", **own)
    codes = "Folder of codes that experiments.encode wrote. Repeat it to make one index of several folders."
    program.DEFINE_multi_path("codes", [], codes, **own)
    what = "Labels of --codes: folder (the first folder of each id), or an image list (`path 0 1 0 ...`)."
    flags.DEFINE_string("labels", None, what, **own)
    out = "The file of the index, or the address of a database (postgresql://...). An existing index is replaced."
    program.DEFINE_path("out", None, out, required=True, **own)
    flags.DEFINE_enum("engine", "exact", list(ENGINES), "Search engine of the index.", **own)
    hnsw = (
        "pgvector only: build a graph of the distinct codes. Searches are faster for millions of codes, but not exact."
    )
    flags.DEFINE_bool("hnsw", False, hnsw, **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    check(given)
    bits, facts, parts = of_codes(given) if given.codes else of_run(Path(given.workdir))
    added: list[np.ndarray] = []
    with made(given, bits, facts) as index:
        for codes, ids, labels in parts:
            index.add(codes, ids, labels)
            added.append(codes)
        if given.hnsw:
            print(f"answers are not exact: recall {index.build_hnsw():.3f} of 100 answers")  # type: ignore[attr-defined]
    items = sum(map(len, added))
    distinct, _ = distinct_codes(lambda: iter(added), items, -(-bits // 8))
    print(f"{items:,} items with {distinct:,} distinct codes of {bits} bits in {shown(given.out)}")


def check(given: Any) -> None:
    """Raises InputError if there is not one source of codes, or --out is no place for an index of --engine."""
    if (given.workdir is None) == (not given.codes):
        found = "both" if given.codes else "none"
        raise InputError(f"--workdir, --codes: found {found}, expected one of them")
    if given.labels is not None and not given.codes:
        raise InputError(f"--labels: found {given.labels}, but the run of --workdir has labels, expected --codes")
    if is_address(given.out) != (given.engine == "pgvector"):
        expected = "postgresql://user@host:port/database?index=name" if given.engine == "pgvector" else "a file"
        raise InputError(f"--out: found {shown(given.out)}, expected {expected} for --engine={given.engine}")
    if given.engine != "pgvector":
        check_index(Path(given.out))
    if given.hnsw and given.engine != "pgvector":
        raise InputError(f"--hnsw: found it with --engine={given.engine}, expected --engine=pgvector")


def of_run(workdir: Path) -> tuple[int, dict[str, Any], Iterator[Part]]:
    """Bits, facts and parts of the database of a run."""
    config = read_config(workdir)
    codes = load_codes(codes_path(workdir), bits=config.get("bits"))
    with naming(codes_path(workdir)):
        check_bits(codes.bits)
    names = read_result(workdir).get("class_names", []) if (workdir / "result.json").is_file() else []
    if len(names) != codes.database_labels.shape[1]:
        names = [str(column) for column in range(codes.database_labels.shape[1])]
    pieces = codes.pieces("database_codes", "database_ids", "database_labels")
    parts = (
        (packed, ids, [[names[k] for k in np.flatnonzero(row).tolist()] for row in labels])
        for packed, ids, labels in pieces
    )
    return codes.bits, about(config), parts


def of_codes(given: Any) -> tuple[int, dict[str, Any], Iterator[Part]]:
    """Bits, facts and parts of folders of codes. Parts are read as they are used.

    Raises InputError if two folders have codes of two models, or images of two folders.
    """
    first, *others = folders = [open_codes(folder) for folder in given.codes]
    with naming(first.folder):
        check_bits(first.bits)
    facts = _facts(first)
    for other in others:
        theirs = _facts(other)
        for field in (name for name in {**facts, **theirs} if theirs.get(name) != facts.get(name)):
            raise InputError(
                f"{other.folder}: {field}: found {theirs.get(field)!r}, expected {facts.get(field)!r} as in {first.folder}"
            )
    labels_of = labeller(given.labels)
    chunks = (chunk for folder in folders for chunk in folder.chunks())
    parts = ((codes, ids, [labels_of(name) for name in ids.tolist()]) for ids, codes in chunks)
    return first.bits, first.about, parts


def _facts(folder: CodesFolder) -> dict[str, Any]:
    """What folders of codes of one index have in common."""
    return {"bits": folder.bits, **folder.about, "images": folder.about["images"]["root"]}


def labeller(labels: str | None) -> Callable[[str], list[str]]:
    """The labels of an image by its id, as `--labels` says.

    Raises InputError if `labels` is a list that cannot be read, and when an image is asked for that is not in it.
    """
    if labels is None:
        return lambda name: []
    if labels == "folder":
        return lambda name: [part for part in name.split("/")[:-1] if part][:1]
    from dseh_tf.data.readers.class_names import read_class_names
    from dseh_tf.data.readers.image_lists import read_image_list

    file = Path(program.given_path(labels, "--labels"))
    entries = read_image_list(file, unlabelled="distractors")
    count = entries.labels.shape[1]
    names = read_class_names(file.parent, count) or tuple(map(str, range(count)))
    rows = {path: row for row, path in enumerate(entries.paths)}

    def of_list(name: str) -> list[str]:
        if name not in rows:
            raise InputError(f"{file}: found no line of {name}, expected the labels of every image that has a code")
        return [names[k] for k in np.flatnonzero(entries.labels[rows[name]]).tolist()]

    return of_list


@contextmanager
def made(given: Any, bits: int, described: dict[str, Any]) -> Iterator[Index]:
    """An empty index, which takes the place of the one in --out at the end of the block."""
    if given.engine == "pgvector":
        with replacing_index(given.out, bits=bits, about=described) as new:
            yield new
        return
    index, out = new_index(given.engine, bits=bits, about=described), Path(given.out)
    try:
        yield index
        out.parent.mkdir(parents=True, exist_ok=True)
        index.save(out)
    finally:
        index.close()


if __name__ == "__main__":
    define_flags()
    program.run(main)
