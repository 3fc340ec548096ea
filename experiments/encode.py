"""Encodes a folder of images into a folder of codes.

    python -m experiments.encode --model=exports/x --images=PHOTOGRAPHS --out=CODES
    python -m experiments.encode --model=runs/x --images=list.txt --images_root=PHOTOGRAPHS --out=CODES
    python -m experiments.encode --model=exports/x --images=PHOTOGRAPHS --out=CODES --runner=FnApiRunner -- --direct_num_workers=2

`--images` is a folder, in which all images at any depth are encoded, or a text file with one path per line. The folder
of codes has one Parquet file for every `--chunk` images, with the columns `id` (the path) and `code`. If the program is
stopped, the same command continues. Images that cannot be read are listed in bad_images.csv. experiments.index makes an
index of the codes.
"""

from __future__ import annotations

import hashlib
import logging as python_logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from dseh_tf.encoding.folders import BAD, CHUNK, Plan, Summary, encode_folder
from dseh_tf.encoding.image_names import ImageFiles, image_files
from dseh_tf.encoding.run_encoder import encoder_file
from dseh_tf.errors import InputError, brief
from dseh_tf.export.description import is_export, read
from experiments import own_layers, program

_TAKES = "after `--`, options of Apache Beam for --runner"


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("model", None, "Run folder or export that encodes the images.", required=True, **own)
    program.DEFINE_path("images", None, "A folder of images, or a list: one path per line.", required=True, **own)
    program.DEFINE_path(
        "images_root", None, "Folder that the paths of a list are relative to. Default: the folder of the list.", **own
    )
    program.DEFINE_path("out", None, "The folder of codes: a new one, or one to continue.", required=True, **own)
    runner = (
        "The runner of Apache Beam that does the work: FnApiRunner, FlinkRunner, SparkRunner, DataflowRunner or another"
    )
    flags.DEFINE_string("runner", None, f"{runner}. Default: this process, without Beam.", **own)
    flags.DEFINE_integer("chunk", CHUNK, "Number of images per file of codes.", lower_bound=1, **own)
    where = "File of the run's frozen backbone or its weights, if it has moved."
    program.DEFINE_path("backbone", None, where, **own)
    flags.DEFINE_bool("progress", True, "Show progress bars.", **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    images, out, options = image_files(given.images, given.images_root), Path(given.out), arguments[1:]
    if given.runner is None:
        if options:
            raise InputError(f"arguments: found {brief(' '.join(options))}, expected flags only without --runner")
        summary = encode(images, out, given)
    else:
        summary = encode_by_runner(images, out, given, options)
    print(f"{summary.rows:,} of {summary.images:,} images have a code in {out}")
    if summary.bad:
        print(f"{summary.bad:,} could not be read: {out / BAD}")


def encode(images: ImageFiles, out: Path, given: Any) -> Summary:
    """In this process."""
    from dseh_tf.export import open_model

    folder = Path(given.model)
    model = open_model(folder, given.backbone, own_layers.imported())
    with tqdm(total=len(images), desc="encode", unit="image", disable=not given.progress) as bar:
        return encode_folder(model, images, out, given.chunk, digest(folder), progress=bar.update)


def encode_by_runner(images: ImageFiles, out: Path, given: Any, options: Sequence[str]) -> Summary:
    """By Apache Beam."""
    from dseh_tf.export import open_model

    try:
        from dseh_tf.encoding.beam import encode_with_beam
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise InputError(
            "--runner: found no package apache_beam, which --runner needs: pip install 'dseh_tf[beam]' in a separate environment"
        ) from None
    folder = Path(given.model).absolute()
    if not is_export(folder):  # a run may need files that a worker does not have
        raise InputError(f"--model: found {folder}, expected an export (experiments.export), which --runner needs")
    python_logging.getLogger("apache_beam").setLevel(python_logging.WARNING)
    open_on_worker = partial(open_model, folder)
    plan = Plan.of(open_on_worker(), images, given.chunk, digest(folder))
    return encode_with_beam(plan, out, open_on_worker, given.runner, options)


def digest(folder: Path) -> str:
    """Of the files of an export, or of the file of a run's encoder."""
    if is_export(folder):
        return str(read(folder)["digest"])
    return hashlib.sha256(encoder_file(folder).read_bytes()).hexdigest()


if __name__ == "__main__":
    define_flags()
    program.run(main, takes=_TAKES)
