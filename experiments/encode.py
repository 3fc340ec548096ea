"""Encodes a folder of images into a folder of codes.

    python -m experiments.encode --model=runs/x --images=PHOTOGRAPHS --out=CODES
    python -m experiments.encode --model=runs/x --images=list.txt --images_root=PHOTOGRAPHS --out=CODES

`--images` is a folder, whose images are encoded at any depth, or a text file with one path per line. The folder of codes has
one Parquet file for each `--chunk` images, with the columns `id` (the path) and `code`. A process that was stopped goes on
where it was when it is started again. Images that cannot be read are listed in bad_images.csv. experiments.index makes an
index of the codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from dseh_tf.encoding.folders import BAD, CHUNK, Model, Summary, encode_folder
from dseh_tf.encoding.image_files import ImageFiles, image_files
from experiments import own_layers, program

_TAKES = "after `--`, options of Apache Beam for --runner"


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defined when the program is run, not when it is imported: other programs have flags of these names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("model", None, "Run folder, or export, that encodes the images.", required=True, **own)
    program.DEFINE_path("images", None, "A folder of images, or a list: one path per line.", required=True, **own)
    program.DEFINE_path("images_root", None, "Where the paths of a list start. Default: the list's folder.", **own)
    program.DEFINE_path("out", None, "The folder of codes: a new one, or one to go on with.", required=True, **own)
    flags.DEFINE_integer("chunk", CHUNK, "Images of one file of codes.", lower_bound=1, **own)
    where = "The run's frozen backbone, or its weights, as a file. Default: where the run had it."
    program.DEFINE_path("backbone", None, where, **own)
    flags.DEFINE_bool("progress", True, "Progress bars.", **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> None:
    images, out = image_files(given.images, given.images_root), Path(given.out)
    summary = encode(images, out, given)
    print(f"{summary.rows:,} of {summary.images:,} images have a code in {out}")
    if summary.bad:
        print(f"{summary.bad:,} could not be read: {out / BAD}")


def encode(images: ImageFiles, out: Path, given: Any) -> Summary:
    model, digest = opened(Path(given.model), given.backbone)
    with tqdm(total=len(images), desc="encode", unit="image", disable=not given.progress) as bar:
        return encode_folder(model, images, out, given.chunk, digest, progress=bar.update)


def opened(folder: Path, backbone: str | None) -> tuple[Model, str]:
    """The encoder of a run folder or of an export, and the digest of its files."""
    from dseh_tf.encoding.run_model import open_run_model, run_digest

    return open_run_model(folder, backbone, own_layers.imported()), run_digest(folder)


if __name__ == "__main__":
    define_flags()
    program.run(main, takes=_TAKES)
