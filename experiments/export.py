"""Exports the encoder of a finished run as a single model that takes images and returns codes.

    python -m experiments.export --workdir=runs/x --out=exports/x
    python -m experiments.export --workdir=runs/x --out=exports/phone --format=litert_int8
    python -m experiments.export --out=exports/x --verify

The folder contains the model (saved_model/, model.onnx or model.tflite), model.json and a few check images. Every
export is loaded in its own runtime and compared with the run's encoder on images of the run's data; an export that
differs is deleted. --verify encodes the check images of an existing export again. docs/export.md compares the formats.
"""

from __future__ import annotations

import logging as python_logging
from pathlib import Path
from typing import Any

from absl import flags

from dseh_tf.data.files import expanded
from dseh_tf.errors import InputError
from dseh_tf.export.description import MODELS
from dseh_tf.runs import read_result
from experiments import own_layers, program, run_data


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("workdir", None, "Run folder of a finished run.", **own)
    program.DEFINE_path(
        "out", None, "Folder of the export: new or empty, or an existing export with --verify.", required=True, **own
    )
    flags.DEFINE_enum("format", "saved_model", list(MODELS), "Format of the model.", **own)
    flags.DEFINE_bool("verify", False, "Check the export in --out instead of writing one.", **own)
    where = "File of the run's frozen backbone or its weights, if it has moved."
    program.DEFINE_path("backbone", None, where, **own)
    run_data.define_places(values)


def main(_: list[str], given: Any = flags.FLAGS) -> None:
    from dseh_tf.export import export_run, verify

    out = expanded(Path(given.out))
    if given.verify:
        print(f"{out}: {verify(out)} check images have the codes of model.json")
        return
    if given.workdir is None:
        raise InputError("--workdir: found none, expected the run folder to export")
    workdir = Path(given.workdir)
    from dseh_tf.data import catalog
    from dseh_tf.encoding import load_run
    from dseh_tf.export.exporting import check_free
    from dseh_tf.export.formats import check_packages
    from dseh_tf.export.model import image_shape

    check_free(out)  # what is wrong with the request is said before the data is read
    check_packages(given.format)
    python_logging.getLogger("tensorflow").addFilter(program.worth_telling)  # a line for every SavedModel
    run = load_run(workdir, given.backbone, own_layers.imported())
    image_shape(run)
    options = run_data.options_of(run.config, given)
    dataset = catalog.load(run.config["dataset"], options)
    names = read_result(workdir).get("class_names", []) if (workdir / "result.json").is_file() else []
    print("\n".join(lines(out, export_run(run, out, dataset, given.format, names))))


def lines(out: Path, found: dict[str, Any]) -> list[str]:
    """What was exported, for people."""
    result = found["check"]
    told = [
        f"{found['model_format']} of {found['bits']} bits, {found['sizes']['files'] / 1e6:.1f} MB, in {out}",
        f"{result['images']} images: {result['bits_differ']:.3%} of the bits and {result['codes_differ']:.1%} of the codes "
        f"differ from the run's encoder; {result['milliseconds_an_image']:.1f} ms an image",
    ]
    stored = result.get("bits_that_differ_from_codes_npz")
    if stored:
        told.append(
            f"codes.npz: {stored:.3%} of the bits of {result['stored_queries']} queries differ from the encoder's now"
        )
    if "map" in result:
        numbers = result["map"]
        told.append(
            f"MAP: {numbers['alone']:.4f} alone, {numbers['float32_database']:.4f} with a database of float32 codes, "
            f"{numbers['float32']:.4f} float32 ({numbers['queries']:,} queries, {numbers['database']:,} database rows)"
        )
    return told


if __name__ == "__main__":
    define_flags()
    program.run(main)
