"""The registry of data sets. Loaders that need TensorFlow import it when they run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from dseh_tf.data.protocol import Protocol
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.base import DataSet, DrawOptions, Options
from dseh_tf.data.sets.cifar10 import CIFAR10, Cifar10Options
from dseh_tf.data.sets.image_folder import IMAGE_FOLDER, ImageFolderOptions
from dseh_tf.data.sets.image_lists import IMAGE_LISTS, ImageListsOptions
from dseh_tf.data.sets.imagenet_100 import IMAGENET_100, ImageNet100Options
from dseh_tf.data.sets.mirflickr25k import MIRFLICKR25K
from dseh_tf.data.sets.ms_coco import MS_COCO, MsCocoOptions
from dseh_tf.data.sets.multi_digits import MULTI_DIGITS
from dseh_tf.data.sets.nus_wide import NUS_WIDE_10, NUS_WIDE_21, NusWideOptions
from dseh_tf.data.sets.tfds_classification import PREFIX, tfds_classification
from dseh_tf.data.sets.wikipedia import WIKIPEDIA, WikipediaOptions
from dseh_tf.errors import InputError, brief

DATASETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        MULTI_DIGITS,
        IMAGE_LISTS,
        NUS_WIDE_21,
        NUS_WIDE_10,
        IMAGENET_100,
        MS_COCO,
        CIFAR10,
        MIRFLICKR25K,
        WIKIPEDIA,
        IMAGE_FOLDER,
    )
}


@dataclass(frozen=True)
class DataOptions(
    ImageListsOptions,
    ImageFolderOptions,
    NusWideOptions,
    MsCocoOptions,
    ImageNet100Options,
    Cifar10Options,
    WikipediaOptions,
):
    """The options of all data sets combined, for programs in which the data set is a flag.

    `load` refuses an option that differs from its default and that the data set does not read.
    """


def find(name: str) -> DataSet:
    """The data set `name`, or `tfds:NAME` for a classification set of TFDS. Raises InputError on an unknown name."""
    if name.startswith(PREFIX):
        return tfds_classification(name)
    if name not in DATASETS:
        raise InputError(f"dataset: found {name!r}, expected one of {', '.join(DATASETS)}, tfds:NAME")
    return DATASETS[name]


def load(name: str, options: Options | None = None, **given: Any) -> RetrievalDataset:
    """Loads a data set.

    Args:
        name: A name in `DATASETS`, or `tfds:NAME` for a classification data set of TFDS.
        options: An instance of the data set's own options class, or `DataOptions`. Default: all options at their defaults.
        **given: Options by name; they override those in `options`.

    Returns:
        The train, query and database rows.

    Raises:
        InputError: The name is unknown, the data set does not have an option, or its loader fails.
    """
    data_set = find(name)
    return data_set.load(_options(data_set, options, given))


def protocol_of(name: str, options: Options | None = None) -> Protocol | None:
    """The protocol that `load` draws by with these options; None if the files decide. Raises like `load`."""
    data_set = find(name)
    return data_set.protocol(_options(data_set, options, {}))


def readers_of(option: str) -> tuple[str, ...]:
    """The names of the data sets that have this option."""
    return tuple(name for name, data_set in DATASETS.items() if option in _defaults(data_set.options))


def own_options() -> tuple[str, ...]:
    """The options that only some data sets have, without those of the draw."""
    shared = _defaults(DrawOptions)
    return tuple(name for name in _defaults(DataOptions) if name not in shared)


def _options(data_set: DataSet, options: Options | None, given: dict[str, Any]) -> Options:
    known = _defaults(data_set.options)
    unknown = [name for name in given if name not in _defaults(DataOptions)]
    if unknown:
        raise InputError(f"{data_set.name}: found the option {unknown[0]!r}, expected one of {', '.join(known)}")
    options = DataOptions() if options is None else options
    if not isinstance(options, data_set.options):
        raise InputError(
            f"{data_set.name}: found {type(options).__name__}, expected {data_set.options.__name__} or DataOptions"
        )
    options = replace(options, **given)
    for name, default in _defaults(type(options)).items():
        value = getattr(options, name)
        if name in known or value == default:
            continue
        if name in _defaults(DrawOptions):
            flag = "split_seed" if name == "seed" else name
            raise InputError(f"{flag}: found {value}, but {data_set.name} comes with its split")
        shown = brief(value if isinstance(value, str) else str(value))
        raise InputError(
            f"{name}: found {shown}, which {data_set.name} does not read, expected it with "
            f"{' or '.join(readers_of(name))} only"
        )
    return options


def _defaults(options: type[Options]) -> dict[str, Any]:
    return {option.name: option.default for option in fields(options)}
