"""Makes a search index of a run's database.

    python -m experiments.index --workdir=runs/x --out=photographs.index
    python -m experiments.index --workdir=runs/x --out=photographs.duckdb --engine=duckdb
    python -m experiments.index --workdir=runs/x --out='postgresql://me@host/photos?index=photographs' --engine=pgvector

The codes, ids and labels are read from the run folder; no image is encoded. experiments.search searches the index. Labels are
the names of the classes, or the numbers of their columns where the names are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.export import about
from dseh_tf.retrieval import load_codes
from dseh_tf.retrieval.search import ENGINES, Index, new_index, replacing_index
from dseh_tf.retrieval.search.address import is_address, shown
from dseh_tf.runs import read_config, read_result
from experiments import program


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defined when the program is run, not when it is imported: other programs have flags of these names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", required=True, **own)
    out = "The file of the index, or the address of a database (postgresql://...). An existing index is replaced."
    program.DEFINE_path("out", None, out, required=True, **own)
    flags.DEFINE_enum("engine", "exact", list(ENGINES), "What searches the index.", **own)
    hnsw = "Of pgvector: a graph of the distinct codes. Searches are faster for millions of codes, and no longer exact."
    flags.DEFINE_bool("hnsw", False, hnsw, **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    workdir = Path(given.workdir)
    check(given)
    config = read_config(workdir)
    codes = load_codes(workdir / "codes.npz", bits=config.get("bits"))
    names = read_result(workdir).get("class_names", []) if (workdir / "result.json").is_file() else []
    if len(names) != codes.database_labels.shape[1]:
        names = [str(column) for column in range(codes.database_labels.shape[1])]
    labels = [[names[k] for k in np.flatnonzero(row).tolist()] for row in codes.database_labels]
    with made(given, codes.bits, about(config)) as index:
        index.add(codes.database_codes, codes.database_ids, labels)
        if given.hnsw:
            print(f"answers are not exact: recall {index.build_hnsw():.3f} of 100 answers")  # type: ignore[attr-defined]
    distinct = len(np.unique(codes.database_codes, axis=0))
    print(
        f"{len(codes.database_ids):,} items with {distinct:,} distinct codes of {codes.bits} bits in {shown(given.out)}"
    )


def check(given: Any) -> None:
    """Raises InputError where --out is no place for an index of --engine."""
    if is_address(given.out) != (given.engine == "pgvector"):
        expected = "postgresql://user@host:port/database?index=name" if given.engine == "pgvector" else "a file"
        raise InputError(f"--out: found {shown(given.out)}, expected {expected} for --engine={given.engine}")
    if given.hnsw and given.engine != "pgvector":
        raise InputError(f"--hnsw: found it with --engine={given.engine}, expected --engine=pgvector")


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
