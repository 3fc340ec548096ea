"""Compares the MAP of a finished run's codes with the MAP of its encoder's real-valued outputs.

    python -m experiments.quantization_gap --workdir=runs/x

Encodes the run's data set again, from the paths in config.json unless flags give new ones. A large gap means that the
outputs rank well, but that their signs do not. If both numbers are low, the network has not learned.

The database codes of an asymmetric method are learned; they are not the signs of outputs. Both numbers are then of a
database that the network encodes, and the MAP with the learned codes is printed next to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from dseh_tf.encoding.run_encoder import encoder_file, load_run
from dseh_tf.errors import InputError
from dseh_tf.retrieval import codes_path, cosine_average_precision, evaluate, evaluate_shards, load_codes, pack
from dseh_tf.runs import read_config, read_result
from experiments import own_layers, program, run_data
from experiments.results import difference

if TYPE_CHECKING:
    from dseh_tf.data import RetrievalDataset


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", **own)
    program.DEFINE_path("features", None, "Folder of the extracted features that the run was trained on.", **own)
    run_data.define_places(values)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    if given.workdir is None:
        raise InputError("workdir: found none, expected a run folder")
    workdir = Path(given.workdir)
    encoder_file(workdir, read_config(workdir))
    config = read_config(workdir, ("dataset", "method", "bits", "seed", "data", "trunk"))
    codes = load_codes(codes_path(workdir), bits=config.get("bits"))
    modules = own_layers.imported()
    dataset = _dataset(config, given)
    for part in ("query", "database"):
        if not np.array_equal(getattr(codes, f"{part}_ids"), getattr(dataset, part).ids):
            raise InputError(
                f"{codes_path(workdir)}: {part}_ids: found other rows than the data set's, expected the same"
            )
    encoder = load_run(workdir, import_modules=modules)
    query, database = encoder.outputs(dataset.query), encoder.outputs(dataset.database)
    labels = codes.query_labels, codes.database_labels
    report = evaluate_shards(
        codes.query_codes, codes.query_labels, codes.pieces("database_codes", "database_labels"), codes.bits
    )
    before = read_result(workdir) if (workdir / "result.json").exists() else {}
    told = difference(before, {"bits": codes.bits, "map": report.map})
    if told:
        raise InputError(
            f"{workdir / 'result.json'}: {told} as in {codes_path(workdir).name}; the files are from different runs"
        )
    outputs = cosine_average_precision(query, database, *labels).mean()
    distinct = len(np.unique(codes.database_codes, axis=0))
    print(f"{config['dataset']}  {config['method']}  {codes.bits} bits  seed {config['seed']}")
    learned, of_signs = "", report.map
    if "map_encoded_database" in before:
        signs = pack(np.where(database >= 0, 1, -1).astype(np.int8))
        of_signs = evaluate(codes.query_codes, signs, *labels, codes.bits).map
        learned = f"; {report.map:.4f} with the learned database codes"
    print(f"  MAP of the codes    {of_signs:.4f}  (expected over tied orders{learned})")
    print(f"  MAP of the outputs  {outputs:.4f}  (by cosine; ties in database order)")
    print(f"  mean of |output|    {np.abs(database).mean():.3f}")
    print(f"  distinct codes      {distinct:,} of {len(database):,} in the database")


def _dataset(config: Mapping[str, Any], given: Any) -> RetrievalDataset:
    if "features" in config and given.features is None:
        raise InputError("features: found none, expected the folder that the run trained on")
    share = config["data"]["validation"]
    trunk = run_data.trunk_of(config)
    if trunk.kind == "features" and not given.features:
        run_data.check_trunk_files(config, trunk)
    features = Path(given.features) if given.features else None
    dataset = run_data.load(
        config["dataset"],
        run_data.options_of(config, given),
        trunk,
        features,
        seed=config["seed"],
        mirrored=False,
        progress=False,
    )
    if config.get("whole_database"):
        dataset = dataset.trained_on_database()
    return dataset.validation(share, config["seed"]) if share else dataset


if __name__ == "__main__":
    define_flags()
    program.run(main)
