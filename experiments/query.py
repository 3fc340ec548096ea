"""Searches new images in the database of a finished run.

    python -m experiments.query --workdir=runs/x --images=a.jpg,b.png --top=10

Prints the nearest database items of each image, nearest first, at one distance in the database's order; then how many items
of the database stand at the last distance, some of which may be left out. For runs of methods that train a network on
images (it is kept as imgnet.keras).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from dseh_tf.data import FileImages, Split
from dseh_tf.errors import InputError
from dseh_tf.retrieval import HammingIndex, hamming, load_codes, pack, sign
from dseh_tf.runs import read_config
from experiments import program, run_data


def define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Run folder of a finished run.", required=True)
    flags.DEFINE_list("images", [], "Image files to search with.")
    flags.DEFINE_integer("top", 10, "So many answers an image.")


def main(_: list[str], given: Any = flags.FLAGS) -> None:
    workdir, paths = Path(given.workdir), tuple(map(Path, given.images))
    if not paths:
        raise InputError("images: found none, expected image files separated by commas")
    for path in paths:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise InputError(f"images: {path}: found {found}, expected an image file")
    codes = load_codes(workdir / "codes.npz")
    index = HammingIndex(codes.bits)
    index.add(codes.database_codes, codes.database_ids)
    queries = encode(workdir, paths)
    for path, code, ids, distances in zip(paths, pack(queries), *index.search(queries, given.top), strict=True):
        print(path)
        for name, distance in zip(ids, distances, strict=True):
            print(f"  {distance:3d}  {name}")
        last = distances[-1]
        held = int((hamming(code[None], codes.database_codes) == last).sum())
        print(
            f"  {held} item{'' if held == 1 else 's'} at distance {last}, {(distances == last).sum()} shown; "
            "ties in the database's order"
        )


def encode(workdir: Path, paths: tuple[Path, ...]):
    """int8 ±1 [n, K] of image files by the network of a run. Raises InputError where the run has none."""
    import numpy as np

    from dseh_tf.data.pixels import image_batches
    from dseh_tf.methods.image_encoder import load_network

    config = read_config(workdir, ("seed", "trunk"))
    file = workdir / "imgnet.keras"
    if not file.is_file():
        raise InputError(f"{file}: found no such file, expected the network of a finished run on images")
    network = load_network(file)
    trunk = run_data.trunk_of(config)
    images = Split(np.array(list(map(str, paths))), np.zeros((len(paths), 1), np.uint8), FileImages(paths))
    batches = image_batches(images.images, trunk.image_size, 64)
    frozen = run_data.frozen_trunk(config, trunk).model if trunk.kind == "features" else None

    def logits(batch: np.ndarray) -> np.ndarray:
        pixels = batch.astype(np.float32)
        inputs = pixels if frozen is None else frozen(pixels, training=False)
        return np.asarray(network(inputs, training=False)["logits"])

    return sign(np.concatenate([logits(batch) for batch in batches]))


if __name__ == "__main__":
    define_flags()
    program.run(main)
