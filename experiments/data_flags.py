"""The flags that select the data set, its files and its split; shared by the programs that load one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from dseh_tf.data import catalog
from dseh_tf.data.draw import SPLITS
from dseh_tf.data.files import expanded
from dseh_tf.data.readers.image_lists import UNLABELLED
from dseh_tf.data.sets import cifar10, ms_coco, nus_wide
from dseh_tf.errors import InputError
from experiments import program, run_data

DATASET = flags.DEFINE_string("dataset", "multi_digits", "Data set, by its name in dseh_tf.data.catalog, or tfds:NAME.")
DATA_DIR = program.DEFINE_path("data_dir", "data", "Folder of data sets, or the official distribution itself.")
LISTS_DIR = program.DEFINE_path("lists_dir", None, "image_lists: folder of train.txt, test.txt and database.txt.")
IMAGES_ROOT = program.DEFINE_path("images_root", None, "Folder of the images. Default for image_lists: lists_dir.")
SKIP_BAD = flags.DEFINE_bool("skip_bad_images", False, "Leave out images that cannot be read, and count them.")
_UNLABELLED = flags.DEFINE_enum(
    "unlabelled",
    "refuse",
    UNLABELLED,
    "image_lists, lines without a label: refuse them, keep them as distractors in the database (not used for training; as "
    "queries they count 0), or leave_out.",
)
_SKIP_UNPAIRED = flags.DEFINE_bool(
    "skip_unpaired", False, "Leave out images without text and texts without image, and count them."
)
_SPLIT_SEED = flags.DEFINE_integer("split_seed", 0, "Seed of the split; independent of --seed.")
_SPLIT = flags.DEFINE_enum("split", "sequential-class", SPLITS, "How to draw per class if images have several labels.")
_QUERIES = flags.DEFINE_integer(
    "queries", None, "Number of queries, per class or in total as in the protocol. Default: the protocol's."
)
_TRAIN = flags.DEFINE_integer(
    "train_rows", None, "Number of training images, counted likewise. Default: the protocol's."
)
_NUS_POOL = flags.DEFINE_enum(
    "nus_pool", "labelled", nus_wide.POOLS, "NUS-WIDE: images with a label, or those with tags too."
)
_COCO_DB = flags.DEFINE_enum("coco_db", "minus_query", ms_coco.DATABASES, "MS-COCO: the database.")
_CLASSES = program.DEFINE_path(
    "imagenet_classes", None, "imagenet_100: file with 100 classes. Default: classes drawn with --split_seed."
)
_CIFAR10 = flags.DEFINE_enum("cifar10_train", "500_a_class", cifar10.TRAINING, "CIFAR-10: the training images.")


def options(labels_only: bool) -> catalog.DataOptions:
    """The flags as the catalog takes them.

    Raises:
        InputError: On a flag that the data set does not read: another --dataset was meant.
    """
    for name, readers in run_data.READ_BY.items():
        flag = flags.FLAGS[name]
        if flag.present and flag.value != flag.default and DATASET.value not in readers:
            raise InputError(
                f"{name}: found {flag.value!r}, which --dataset={DATASET.value} does not read, expected "
                f"--dataset={' or '.join(readers)}"
            )
    return catalog.DataOptions(
        data_dir=expanded(DATA_DIR.value),
        lists_dir=_path(LISTS_DIR.value),
        images_root=_path(IMAGES_ROOT.value),
        labels_only=labels_only,
        skip_bad_images=SKIP_BAD.value,
        unlabelled=_UNLABELLED.value,
        skip_unpaired=_SKIP_UNPAIRED.value,
        seed=_SPLIT_SEED.value,
        split=_SPLIT.value,
        queries=_QUERIES.value,
        train_rows=_TRAIN.value,
        nus_pool=_NUS_POOL.value,
        coco_db=_COCO_DB.value,
        imagenet_classes=_path(_CLASSES.value),
        cifar10_train=_CIFAR10.value,
    )


def config() -> dict[str, Any]:
    """The flags that determine the rows, for config.json; the place of the data does not.

    `unlabelled` and `skip_unpaired` are recorded if they are given: runs from before these flags resume, and refused
    such lines.
    """
    places = ("data_dir", "lists_dir", "images_root", "labels_only")
    found = {name: value for name, value in dataclasses.asdict(options(False)).items() if name not in places}
    if found["unlabelled"] == "refuse":
        del found["unlabelled"]
    if not found["skip_unpaired"]:
        del found["skip_unpaired"]
    return found


def _path(value: str | None) -> Path | None:
    return expanded(value) if value else None
