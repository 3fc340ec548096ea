"""Prints and proves a data set's split: sizes, labels, classes, relevant pairs, what overlaps what.

    python -m experiments.check_split --dataset=nus_wide_21 --data_dir=/data/nus_wide

Exit code 2 and one line on standard error where the protocol is broken or the data is not as it should be. The images
are not decoded; with `--images` the files must be there.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from dseh_tf.data import catalog, protocols
from experiments import program

_DATASET = flags.DEFINE_string("dataset", "multi_digits", "Data set, by its name in dseh_tf.data.catalog.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where data sets are kept, or the official distribution itself.")
_LISTS_DIR = flags.DEFINE_string("lists_dir", None, "image_lists: folder of train.txt, test.txt and database.txt.")
_IMAGES_ROOT = flags.DEFINE_string("images_root", None, "Where the images are, if not where the data set has them.")
_IMAGES = flags.DEFINE_bool("images", False, "Ask for the image files too, not only for labels.")
_SKIP_BAD = flags.DEFINE_bool("skip_bad_images", False, "With --images: decode all, leave out what cannot be read.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw.")
_SPLIT = flags.DEFINE_enum("split", "sequential-class", protocols.SPLITS, "How images are drawn class by class.")
_QUERIES = flags.DEFINE_integer(
    "queries", None, "Another number of queries than the protocol's (a class or in all, as it has)."
)
_TRAIN = flags.DEFINE_integer("train_rows", None, "Another number of training images than the protocol's.")
_NUS_POOL = flags.DEFINE_enum(
    "nus_pool", "labelled", ["labelled", "tagged"], "NUS-WIDE: images with a label, or with tags too."
)
_COCO_DB = flags.DEFINE_enum(
    "coco_db", "minus_query", ["minus_query", "hashnet_lists"], "MS-COCO: what the database is."
)
_CLASSES = flags.DEFINE_string(
    "imagenet_classes", None, "imagenet_100: file of 100 classes. Default: drawn by the seed."
)
_CIFAR10 = flags.DEFINE_enum(
    "cifar10_train", "500_a_class", ["500_a_class", "whole_database"], "CIFAR-10: what trains."
)


def main(_: list[str]) -> None:
    options = catalog.DataOptions(
        data_dir=Path(_DATA_DIR.value),
        lists_dir=_path(_LISTS_DIR.value),
        images_root=_path(_IMAGES_ROOT.value),
        labels_only=not _IMAGES.value,
        skip_bad_images=_SKIP_BAD.value,
        seed=_SEED.value,
        split=_SPLIT.value,
        queries=_QUERIES.value,
        train_rows=_TRAIN.value,
        nus_pool=_NUS_POOL.value,
        coco_db=_COCO_DB.value,
        imagenet_classes=_path(_CLASSES.value),
        cifar10_train=_CIFAR10.value,
    )
    dataset = catalog.load(_DATASET.value, options)
    report = protocols.check_split(dataset, catalog.protocol_of(_DATASET.value, options))
    print(report)
    for name, value in dataset.notes.items():
        if name != "protocol":
            print(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    print("split: as the protocol says")


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


if __name__ == "__main__":
    program.run(main)
