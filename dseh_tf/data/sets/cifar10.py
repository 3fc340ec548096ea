"""CIFAR-10, from the records of TFDS."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dseh_tf.data.labels import multi_hot
from dseh_tf.data.protocol import Protocol, every_class
from dseh_tf.data.readers import tfds_builders, tfds_records
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions, choice
from dseh_tf.data.sets.drawing import drawn

RECORDS = "cifar10"
SOURCE = (
    "TFDS downloads it from https://www.cs.toronto.edu/~kriz/cifar.html once; without a network, copy a prepared cifar10 "
    "folder into data_dir"
)
TRAINING = ("500_a_class", "whole_database")
# The 5,000 training images of the deep methods.
PROTOCOL = Protocol("cifar10", every_class(100), every_class(500), images=60_000, classes=10)
# ADSH trains on the whole database (jiangqy/ADSH-AAAI2018:ADSH_matlab).
ADSH = replace(PROTOCOL, train=None)


@dataclass(frozen=True)
class Cifar10Options(DrawOptions):
    """The options of CIFAR-10.

    Attributes:
        cifar10_train: "500_a_class", or "whole_database" (ADSH).
    """

    cifar10_train: str = choice(*TRAINING)


def _protocol(options: Cifar10Options) -> Protocol:
    protocol = ADSH if options.cifar10_train == "whole_database" else PROTOCOL
    return protocol.with_numbers(options.queries, options.train_rows)


def _load(options: Cifar10Options) -> RetrievalDataset:
    builder = tfds_builders.prepared_builder(RECORDS, options.data_dir, SOURCE)
    records = tfds_records.read_splits(builder, ("train", "test"), "id", "label")
    labels = multi_hot(records.labels, len(records.class_names))
    images = None if options.labels_only else records.images
    return drawn(_protocol(options), options, records.ids, labels, images, records.class_names)


CIFAR10 = DataSet("cifar10", Cifar10Options, _load, _protocol, SOURCE, RECORDS)
