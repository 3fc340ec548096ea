"""The data sets by name. TensorFlow is imported by the loaders that need it, when they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data import protocols
from dseh_tf.data.files import check_regular, expanded
from dseh_tf.data.image_checks import check_images, without_bad_images
from dseh_tf.data.protocols import Protocol, draw, every_class
from dseh_tf.data.readers.image_folder import read_image_folder
from dseh_tf.data.readers.image_lists import UNLABELLED, load_image_lists
from dseh_tf.data.readers.mirflickr25k import read_mirflickr
from dseh_tf.data.readers.nus_wide import find_images, has_tags, read_nus_wide, read_tags
from dseh_tf.data.readers.official_files import read_lines
from dseh_tf.data.retrieval_dataset import ArrayImages, ImageSource, RetrievalDataset, Split, multi_hot
from dseh_tf.errors import InputError, positive
from dseh_tf.files import writing
from dseh_tf.seeding import generator

NUS_POOLS = {
    "nus_wide_21": {"labelled": 195_834, "tagged": 190_421},
    "nus_wide_10": {"labelled": 186_577, "tagged": 181_365},
}


@dataclass(frozen=True)
class DataOptions:
    """Where the data is and how a split is drawn; the papers leave some of it open.

    data_dir: built and prepared data sets, or the official distribution itself. A leading `~` is expanded here, and in
        the other paths.
    lists_dir, images_root: of image lists; images_root also of image folders and of NUS-WIDE's photographs.
    labels_only: images are not touched. skip_bad_images: images that cannot be read are left out and counted.
    unlabelled: what becomes of lines of image lists without a label: "refuse", "distractors" or "leave_out"
        (image_lists.load_image_lists).
    seed: of the draw. split: how "n images a class" is drawn from images with several labels (protocols.draw).
    queries, train_rows: other numbers than the protocol's, a class or in all as it has them, for a part of the data.
    nus_pool: "labelled" images (195,834 with 21 classes, 186,577 with 10: the paper), or those "tagged" too (190,421
    and 181,365: the sum of the sizes in the release's comments).
    coco_db: "minus_query" (117,218), or "hashnet_lists", where the queries are inside and the training images are not.
    imagenet_classes: a file of 100 classes (names such as n01440764, or numbers 0..999); None draws them by the seed.
    cifar10_train: "500_a_class", or "whole_database" (ADSH).
    """

    data_dir: Path = Path("data")
    lists_dir: Path | None = None
    images_root: Path | None = None
    labels_only: bool = False
    skip_bad_images: bool = False
    unlabelled: str = "refuse"
    seed: int = 0
    split: str = "sequential-class"
    queries: int | None = None
    train_rows: int | None = None
    nus_pool: str = "labelled"
    coco_db: str = "minus_query"
    imagenet_classes: Path | None = None
    cifar10_train: str = "500_a_class"

    def __post_init__(self) -> None:
        for name in ("data_dir", "lists_dir", "images_root", "imagenet_classes"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else expanded(value))
        choices = {
            "unlabelled": UNLABELLED,
            "split": protocols.SPLITS,
            "nus_pool": ("labelled", "tagged"),
            "coco_db": ("minus_query", "hashnet_lists"),
            "cifar10_train": ("500_a_class", "whole_database"),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise InputError(f"{name}: found {getattr(self, name)!r}, expected one of {', '.join(values)}")
        for name in ("queries", "train_rows"):
            number = getattr(self, name)
            if number is not None:
                positive(number, name)
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise InputError(f"seed: found {self.seed!r}, expected a whole number from 0 on")


def load(name: str, options: DataOptions | None = None) -> RetrievalDataset:
    """The data set `name`, or `tfds:NAME` for a classification set of TFDS.

    Raises InputError on an unknown name, and as the data set's loader says.
    """
    options = options or DataOptions()
    if name.startswith("tfds:"):
        return _tfds_classification(name, options)
    if name not in DATASETS:
        raise InputError(f"dataset: found {name!r}, expected one of {', '.join(DATASETS)}, tfds:NAME")
    if name in ("multi_digits", "image_lists"):
        for field, flag in {
            "queries": "queries",
            "train_rows": "train_rows",
            "seed": "split_seed",
            "split": "split",
        }.items():
            value = getattr(options, field)
            if value != getattr(DataOptions(), field):
                raise InputError(f"{flag}: found {value}, but {name} comes with its split")
    return DATASETS[name](options)


def protocol_of(name: str, options: DataOptions | None = None) -> Protocol | None:
    """The protocol that `load` draws by with these options; None where the data set is whatever it is given."""
    options = options or DataOptions()
    if name == "multi_digits":
        return protocols.MULTI_DIGITS
    if name in NUS_POOLS:
        paper = {"nus_wide_21": protocols.NUS_WIDE_21, "nus_wide_10": protocols.NUS_WIDE_10}[name]
        protocol = replace(paper, images=NUS_POOLS[name][options.nus_pool])
    elif name == "cifar10":
        protocol = protocols.CIFAR10_ADSH if options.cifar10_train == "whole_database" else protocols.CIFAR10
    elif name == "ms_coco":
        protocol = protocols.MS_COCO_HASHNET if options.coco_db == "hashnet_lists" else protocols.MS_COCO
    elif name == "imagenet_100":
        protocol = protocols.IMAGENET_100
    elif name == "mirflickr25k":
        protocol = protocols.MIRFLICKR25K
    else:
        return None
    return protocol.with_numbers(options.queries, options.train_rows)


def _multi_digits(options: DataOptions) -> RetrievalDataset:
    """The embedded data set, built into `data_dir` on first use; every split in memory."""
    import tensorflow_datasets as tfds

    from dseh_tf.data.builders.multi_digits import compose
    from dseh_tf.data.builders.multi_digits.multi_digits_dataset_builder import Builder

    builder = Builder(data_dir=options.data_dir)
    with writing(builder.data_dir):
        builder.download_and_prepare()
    splits = {}
    for part in ("train", "query", "database"):
        rows = tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1))
        images = None if options.labels_only else ArrayImages(rows["image"])
        splits[part] = Split(
            np.char.decode(rows["id"].astype("S"), "utf-8"), rows["labels"], images, texts=rows["text"]
        )
    return RetrievalDataset(
        "multi_digits",
        **splits,
        class_names=compose.DIGIT_WORDS,
        notes={"protocol": str(protocols.MULTI_DIGITS), "version": str(builder.version)},
    )


def _image_lists(options: DataOptions) -> RetrievalDataset:
    if options.lists_dir is None:
        raise InputError("lists_dir: found none, expected the folder of train.txt, test.txt and database.txt")
    return load_image_lists(
        options.lists_dir, options.images_root, options.labels_only, options.skip_bad_images, options.unlabelled
    )


def _nus_wide(name: str, classes: int, with_texts: bool, options: DataOptions) -> RetrievalDataset:
    """The most frequent concepts of NUS-WIDE; images stay in their files, labels and tags in memory.

    At its real size: 22 MB of labels while reading, 4 MB of the pool's afterwards; with tags another 190 MB as read
    and 760 MB as the float32 that the text networks take.
    """
    official = read_nus_wide(options.data_dir)
    columns = official.most_frequent(classes)
    labelled = official.labels[:, columns].any(axis=1)
    pool = np.flatnonzero(labelled & has_tags(official) if options.nus_pool == "tagged" else labelled)
    again = official.held_again()[pool]
    texts = None
    if with_texts:
        texts = read_tags(official, pool)
    images = None
    if not options.labels_only:
        images = find_images(official, pool, options.images_root, missing_ok=options.skip_bad_images)
    return _drawn(
        protocol_of(name, options),
        options,
        official.names[pool],
        official.labels[np.ix_(pool, columns)],
        images,
        tuple(official.concepts[column] for column in columns),
        texts,
        no_query=again,
        notes={"nus_pool": options.nus_pool, "held_again": int(again.sum())},
    )


def _mirflickr25k(options: DataOptions) -> RetrievalDataset:
    """The images of MIRFLICKR-25K that have a class and a common tag; tags as float32 [n, 1386]."""
    official = read_mirflickr(options.data_dir)
    pool = np.flatnonzero(official.labels.any(axis=1) & official.tags.any(axis=1))
    images = None if options.labels_only else official.images(pool)
    return _drawn(
        protocol_of("mirflickr25k", options),
        options,
        official.names[pool],
        official.labels[pool],
        images,
        official.classes,
        official.tags[pool],
    )


def _ms_coco(options: DataOptions) -> RetrievalDataset:
    """COCO 2014, train and validation together, without the images that show none of the 80 categories."""
    from dseh_tf.data.readers import tfds_records

    builder = tfds_records.prepared_builder("coco/2014", options.data_dir)
    records = _joined(builder, ("train", "validation"), "image/filename", "objects/label")
    keep = np.flatnonzero(records.labels.any(axis=1))
    images = None if options.labels_only else records.images.take(keep)
    return _drawn(
        protocol_of("ms_coco", options), options, records.ids[keep], records.labels[keep], images, records.class_names,
        notes={"coco_db": options.coco_db},
    )  # fmt: skip


def _cifar10(options: DataOptions) -> RetrievalDataset:
    from dseh_tf.data.readers import tfds_records

    builder = tfds_records.prepared_builder("cifar10", options.data_dir)
    records = _joined(builder, ("train", "test"), "id", "label")
    images = None if options.labels_only else records.images
    labels = multi_hot(records.labels, len(records.class_names))
    return _drawn(protocol_of("cifar10", options), options, records.ids, labels, images, records.class_names)


def _imagenet_100(options: DataOptions) -> RetrievalDataset:
    """100 classes of ILSVRC 2012: queries from its validation set, train and database from its training set."""
    from dseh_tf.data.readers import tfds_records

    builder = tfds_records.prepared_builder("imagenet2012", options.data_dir)
    records = _joined(builder, ("train", "validation"), "file_name", "label")
    chosen = _imagenet_classes(options, records.class_names)
    keep = np.flatnonzero(np.isin(records.labels, chosen))
    labels = multi_hot(np.searchsorted(chosen, records.labels[keep]), len(chosen))
    images = None if options.labels_only else records.images.take(keep)
    train_images = builder.info.splits["train"].num_examples
    return _drawn(
        protocol_of("imagenet_100", options),
        options,
        records.ids[keep],
        labels,
        images,
        tuple(records.class_names[index] for index in chosen),
        query_pool=keep >= train_images,
        notes={"classes": [records.class_names[index] for index in chosen]},
    )


def _imagenet_classes(options: DataOptions, names: tuple[str, ...]) -> np.ndarray:
    """int64 [100], sorted."""
    count = protocols.IMAGENET_100.classes
    if options.imagenet_classes is None:
        rng = generator(options.seed, "imagenet_100 classes")
        return np.sort(rng.permutation(len(names))[:count])
    file = options.imagenet_classes
    check_regular(file, f"{count} classes of ImageNet, one a line")
    known = {name: index for index, name in enumerate(names)} | {str(index): index for index in range(len(names))}
    chosen: list[int] = []
    for line, text in enumerate(read_lines(file), 1):
        word = text.split()[0] if text else ""
        if word not in known:
            raise InputError(f"{file}:{line}: found class {word!r}, expected a name such as {names[0]} or 0 to 999")
        chosen.append(known[word])
    if len(set(chosen)) != count:
        raise InputError(f"{file}: found {len(set(chosen))} different classes in {len(chosen)} lines, expected {count}")
    return np.sort(np.array(chosen))


def _image_folder(options: DataOptions) -> RetrievalDataset:
    """One folder a class under images_root: a tenth of the smallest class as queries of every class, and the rest
    trains and is searched, unless `queries` and `train_rows` say otherwise."""
    if options.images_root is None:
        raise InputError("images_root: found none, expected a folder of images with one folder a class")
    ids, labels, images, class_names = read_image_folder(options.images_root)
    protocol = Protocol("image_folder", every_class(_tenth(labels)), None)
    protocol = _with_class_numbers(protocol, options)
    dataset = _drawn(protocol, options, ids, labels, None if options.labels_only else images, class_names)
    if not options.labels_only and not options.skip_bad_images:
        check_images(dataset)
    return dataset


def _tfds_classification(name: str, options: DataOptions) -> RetrievalDataset:
    """Any set of TFDS with an image and a class label. Its test or validation split asks, its training split trains
    and is searched; where neither is there with labels, or `queries` is given, queries are drawn as from an image
    folder."""
    from dseh_tf.data.readers import tfds_records

    own_name = name.removeprefix("tfds:")
    builder = tfds_records.find_builder(own_name, options.data_dir)
    image, label = tfds_records.image_and_label(builder, name)
    tfds_records.prepare(builder, own_name, options.data_dir)
    if "train" not in builder.info.splits:
        raise InputError(f"dataset: {name} has splits {', '.join(builder.info.splits)}, expected train")
    asking = _asking_split(builder, name, label)
    parts = ("train", asking) if asking else ("train",)
    records = _joined(builder, parts, None, label)
    labels = multi_hot(records.labels, len(records.class_names))
    images = None if options.labels_only else replace(records.images, feature=image)
    pool = None
    if asking:
        pool = np.arange(len(labels)) >= builder.info.splits["train"].num_examples
        protocol = Protocol(name, protocols.in_all(int(pool.sum())), None)
        if options.queries is not None:
            protocol = Protocol(name, every_class(options.queries), None)
    else:
        protocol = Protocol(name, every_class(options.queries or _tenth(labels)), None)
    protocol = _with_class_numbers(protocol, options)
    notes = {"image_feature": image, "label_feature": label, "queries_from": asking or "train"}
    return _drawn(protocol, options, records.ids, labels, images, records.class_names, query_pool=pool, notes=notes)


def _asking_split(builder: Any, name: str, label: str) -> str | None:
    """The split that queries come from: test or validation, the first that has labels; None for the training split.

    Sets of competitions publish their test images without labels, which TFDS stores as -1.
    """
    from dseh_tf.data.readers import tfds_records

    present = [part for part in ("test", "validation") if part in builder.info.splits]
    for part in present:
        labels = tfds_records.read_split(builder, part, None, label, unlabelled_ok=True).labels
        missing = int((labels < 0).sum())
        if 0 < missing < len(labels):
            raise InputError(
                f"dataset: {name}: split {part!r}: found {missing:,} of {len(labels):,} images without a label (-1), "
                "expected labels for all or for none"
            )
        if len(labels) and not missing:
            return part
        rest = present[present.index(part) + 1 :]
        logging.warning(
            "%s: the %d images of %r have no label, so queries come from %r",
            name,
            len(labels),
            part,
            *(rest or ["train"])[:1],
        )
    return None


def _with_class_numbers(protocol: Protocol, options: DataOptions) -> Protocol:
    changes: dict[str, Any] = {}
    if options.queries is not None:
        changes["queries"] = every_class(options.queries)
    if options.train_rows is not None:
        changes["train"] = every_class(options.train_rows)
    return replace(protocol, **changes)


def _tenth(labels: np.ndarray) -> int:
    return max(1, int(labels.sum(axis=0).min()) // 10)


def _joined(builder: Any, parts: tuple[str, ...], id_feature: str | None, label_feature: str) -> Any:
    """Several splits of TFDS as one, in that order."""
    from dseh_tf.data.readers import tfds_records

    return tfds_records.join([tfds_records.read_split(builder, part, id_feature, label_feature) for part in parts])


def _drawn(
    protocol: Protocol,
    options: DataOptions,
    ids: np.ndarray,
    labels: np.ndarray,
    images: ImageSource | None,
    class_names: tuple[str, ...],
    texts: np.ndarray | None = None,
    query_pool: np.ndarray | None = None,
    no_query: np.ndarray | None = None,
    notes: dict[str, Any] | None = None,
) -> RetrievalDataset:
    """The pool split by its protocol. texts: 0/1 of any dtype [n, t]; they become float32 split by split."""
    rows = draw(labels, protocol, options.seed, options.split, class_names, query_pool, no_query)
    splits = {}
    for part in ("train", "query", "database"):
        chosen = getattr(rows, part)
        splits[part] = Split(
            ids[chosen],
            labels[chosen],
            None if images is None else images.take(chosen),
            texts=None if texts is None else texts[chosen].astype(np.float32),
        )
    dataset = RetrievalDataset(
        protocol.name,
        **splits,
        class_names=class_names,
        notes={
            "protocol": str(protocol),
            "split": options.split,
            "split_seed": options.seed,
            "pool": len(ids),
            **(notes or {}),
        },
    )
    if options.skip_bad_images and dataset.has_images:
        return without_bad_images(dataset)
    return dataset


DATASETS: dict[str, Callable[[DataOptions], RetrievalDataset]] = {
    "multi_digits": _multi_digits,
    "image_lists": _image_lists,
    "nus_wide_21": lambda options: _nus_wide("nus_wide_21", 21, False, options),
    "nus_wide_10": lambda options: _nus_wide("nus_wide_10", 10, True, options),
    "imagenet_100": _imagenet_100,
    "ms_coco": _ms_coco,
    "cifar10": _cifar10,
    "mirflickr25k": _mirflickr25k,
    "image_folder": _image_folder,
}
