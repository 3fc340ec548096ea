"""100 classes of ILSVRC 2012, from the records of TFDS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseh_tf.data.files import check_regular
from dseh_tf.data.labels import multi_hot
from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.readers import tfds_builders, tfds_records
from dseh_tf.data.readers.official_files import read_lines
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions
from dseh_tf.data.sets.drawing import drawn
from dseh_tf.errors import InputError
from dseh_tf.seeding import generator

RECORDS = "imagenet2012"
SOURCE = (
    "get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org/challenges/LSVRC/2012/ and put "
    "them into data_dir/downloads/manual"
)
CLASSES = 100
# DSEH, section 4.1.
PROTOCOL = Protocol("imagenet_100", every_class(50), every_class(100), classes=CLASSES)


@dataclass(frozen=True)
class ImageNet100Options(DrawOptions):
    """The options of ImageNet-100.

    Attributes:
        imagenet_classes: A file of 100 classes, one per line: names such as n01440764, or numbers 0 to 999. None draws
            them by the seed.
    """

    imagenet_classes: Path | None = None


def _protocol(options: ImageNet100Options) -> Protocol:
    return PROTOCOL.with_numbers(options.queries, options.train_rows)


def _load(options: ImageNet100Options) -> RetrievalDataset:
    """Queries come from the validation set; train and database from the training set."""
    builder = tfds_builders.prepared_builder(RECORDS, options.data_dir, SOURCE)
    records = tfds_records.read_splits(builder, ("train", "validation"), "file_name", "label")
    chosen = chosen_classes(options, records.class_names)
    names = tuple(records.class_names[index] for index in chosen)
    keep = np.flatnonzero(np.isin(records.labels, chosen))
    return drawn(
        _protocol(options),
        options,
        records.ids[keep],
        multi_hot(np.searchsorted(chosen, records.labels[keep]), len(chosen)),
        None if options.labels_only else records.images.take(keep),
        names,
        query_pool=keep >= builder.info.splits["train"].num_examples,
        notes={"classes": list(names)},
    )


def chosen_classes(options: ImageNet100Options, names: tuple[str, ...]) -> np.ndarray:
    """The 100 classes of the file, or drawn by the seed.

    Args:
        options: With `imagenet_classes` or `seed`.
        names: Names of all classes.

    Returns:
        int64 [100], sorted.

    Raises:
        InputError: A file that is missing, a line that is not a class, or a different number of classes.
    """
    if options.imagenet_classes is None:
        rng = generator(options.seed, "imagenet_100 classes")
        return np.sort(rng.permutation(len(names))[:CLASSES])
    file = options.imagenet_classes
    check_regular(file, f"{CLASSES} classes of ImageNet, one a line")
    known = {name: index for index, name in enumerate(names)} | {str(index): index for index in range(len(names))}
    chosen: list[int] = []
    for line, text in enumerate(read_lines(file), 1):
        word = text.split()[0] if text else ""
        if word not in known:
            raise InputError(f"{file}:{line}: found class {word!r}, expected a name such as {names[0]} or 0 to 999")
        chosen.append(known[word])
    if len(set(chosen)) != CLASSES:
        raise InputError(
            f"{file}: found {len(set(chosen))} different classes in {len(chosen)} lines, expected {CLASSES}"
        )
    return np.sort(np.array(chosen))


IMAGENET_100 = DataSet("imagenet_100", ImageNet100Options, _load, _protocol, SOURCE, RECORDS)
