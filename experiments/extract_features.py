"""Extracts the features of a frozen backbone once, into a folder that all methods can be trained on.

    python -m experiments.extract_features --dataset=nus_wide_21 --data_dir=/data/nus_wide --backbone=cnn_f \\
        --backbone_weights=imagenet-vgg-f.mat --out=features/nus_wide_21
    python -m experiments.run --dataset=nus_wide_21 --data_dir=/data/nus_wide --features=features/nus_wide_21 --method=itq

The folder contains memory-mappable arrays, the ids of their rows, and features.json (see dseh_tf.encoding.features). If
the program is stopped, the same command continues with the unfinished splits; a finished folder is not changed.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from dseh_tf.data.files import expanded
from dseh_tf.errors import InputError
from experiments import backbone_flags, data_flags, program


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    program.DEFINE_path("out", None, "The folder to write.", **own)
    flags.DEFINE_bool(
        "mirrored",
        None,
        "Also extract features of mirrored training images. Default: yes, except for multi_digits.",
        **own,
    )
    flags.DEFINE_integer("seed", 0, "Seed of random weights (--backbone_weights=random).", **own)
    flags.DEFINE_bool("progress", True, "Show progress bars.", **own)


def main(_: list[str], given: flags.FlagValues = flags.FLAGS) -> None:
    if given.out is None:
        raise InputError("out: found none, expected the folder to write")
    trunk = backbone_flags.trunk()
    if trunk.kind != "features":
        why = "is trained from scratch" if trunk.kind == "compact" else "is to be fine-tuned (--train_backbone)"
        raise InputError(
            f"backbone: found {trunk.backbone}, which {why}, expected a frozen one such as cnn_f or resnet50"
        )

    from dseh_tf.data import catalog
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import float32_products
    from dseh_tf.encoding.features import write_features

    float32_products()
    strategy = make_strategy()
    backbone = trunk.build(given.seed)
    dataset = catalog.load(data_flags.DATASET.value, data_flags.options(labels_only=False))
    facts = {
        "dataset": data_flags.DATASET.value,
        "protocol": dataset.notes.get("protocol"),
        "split_seed": dataset.notes.get("split_seed"),
        "trunk": trunk.backbone,
        "backbone_weights": trunk.weights,
        "backbone_scaling": trunk.scaling,
    }
    mirrored = trunk.mirror if given.mirrored is None else given.mirrored
    folder = expanded(given.out)
    if write_features(dataset, backbone, folder, facts, mirrored, strategy, given.progress):
        print(f"{folder}: these features were already extracted")
    rows = ", ".join(f"{len(getattr(dataset, part)):,} {part}" for part in ("train", "query", "database"))
    print(f"{folder}: {backbone.dim} features of {rows}; {trunk.backbone} at {trunk.image_size} pixels")


if __name__ == "__main__":
    define_flags()
    program.run(main)
