"""Your own images, one folder per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dseh_tf.data.image_checks import check_images
from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.readers.image_folder import read_image_folder
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions
from dseh_tf.data.sets.drawing import drawn, tenth, with_class_numbers
from dseh_tf.errors import InputError

SOURCE = "images_root is a folder of images with a subfolder for each class"


@dataclass(frozen=True)
class ImageFolderOptions(DrawOptions):
    """The options of an image folder; `queries` and `train_rows` count per class.

    Attributes:
        images_root: The folder that holds one folder per class. Required.
    """

    images_root: Path | None = None


def _protocol(_: ImageFolderOptions) -> None:
    """None: the smallest class decides."""


def _load(options: ImageFolderOptions) -> RetrievalDataset:
    """Draws the same number of queries from every class, a tenth of the smallest class; all other images are training
    rows and database.

    `queries` and `train_rows` change these numbers.
    """
    if options.images_root is None:
        raise InputError("images_root: found none, expected a folder of images with a subfolder for each class")
    ids, labels, images, class_names = read_image_folder(options.images_root)
    protocol = with_class_numbers(Protocol("image_folder", every_class(tenth(labels)), None), options)
    dataset = drawn(protocol, options, ids, labels, None if options.labels_only else images, class_names)
    if not options.labels_only and not options.skip_bad_images:
        check_images(dataset)
    return dataset


IMAGE_FOLDER = DataSet("image_folder", ImageFolderOptions, _load, _protocol, SOURCE)
