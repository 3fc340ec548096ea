"""Makes a search index of a run's database.

    python -m experiments.index --workdir=runs/x --out=photographs.index
    python -m experiments.index --workdir=runs/x --out=photographs.duckdb --engine=duckdb

The codes, ids and labels are read from the run folder; no image is encoded. experiments.search searches the index. Labels are
the names of the classes, or the numbers of their columns where the names are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.retrieval import codes_path, load_codes
from dseh_tf.retrieval.groups import distinct_codes
from dseh_tf.retrieval.search import ENGINES, new_index
from dseh_tf.runs import read_config, read_result
from experiments import program


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defined when the program is run, not when it is imported: other programs have flags of these names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", required=True, **own)
    program.DEFINE_path("out", None, "The file of the index. An existing file is replaced.", required=True, **own)
    flags.DEFINE_enum("engine", "exact", list(ENGINES), "What searches the index.", **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    workdir, out = Path(given.workdir), Path(given.out)
    config = read_config(workdir)
    codes = load_codes(codes_path(workdir), bits=config.get("bits"))
    names = read_result(workdir).get("class_names", []) if (workdir / "result.json").is_file() else []
    if len(names) != codes.database_labels.shape[1]:
        names = [str(column) for column in range(codes.database_labels.shape[1])]
    index = new_index(given.engine, bits=codes.bits, about=about(config))
    try:
        for packed, ids, labels in codes.pieces("database_codes", "database_ids", "database_labels"):
            index.add(packed, ids, [[names[k] for k in np.flatnonzero(row).tolist()] for row in labels])
        out.parent.mkdir(parents=True, exist_ok=True)
        index.save(out)
    finally:
        index.close()
    n, width = codes.database_codes.shape
    distinct, _ = distinct_codes(lambda: (packed for (packed,) in codes.pieces("database_codes")), n, width)
    print(f"{len(codes.database_ids):,} items with {distinct:,} distinct codes of {codes.bits} bits in {out}")


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """What an index says about the run that made its codes: `check_model` compares it with the model of a search."""
    kept = {
        name: config[name] for name in ("dataset", "method", "bits", "seed", "identity", "images") if name in config
    }
    backbone = {**config.get("features", {}), **config.get("trunk", {})}.get("backbone")
    return kept if backbone is None else {**kept, "backbone": backbone}


if __name__ == "__main__":
    define_flags()
    program.run(main)
