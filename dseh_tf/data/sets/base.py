"""What all data sets share: their common options, and the entry of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dseh_tf.data.draw import SPLITS
from dseh_tf.data.files import expanded
from dseh_tf.data.protocol import Protocol
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.errors import InputError, positive


def choice(*values: str) -> Any:
    """A field of a dataclass of options that must be one of `values`; the first is the default."""
    return field(default=values[0], metadata={"values": values})


@dataclass(frozen=True)
class Options:
    """The options of every data set. A leading `~` of a path is expanded.

    Attributes:
        data_dir: Folder of prepared or downloaded data sets, or the official distribution itself.
        labels_only: Do not read the images.
        skip_bad_images: Leave out images that cannot be read, and count them.

    Raises:
        InputError: A value that its field does not allow.
    """

    data_dir: Path = Path("data")
    labels_only: bool = False
    skip_bad_images: bool = False

    def __post_init__(self) -> None:
        for own in fields(self):
            value = getattr(self, own.name)
            if "Path" in str(own.type) and value is not None:
                object.__setattr__(self, own.name, expanded(value))
            values = own.metadata.get("values")
            if values and value not in values:
                raise InputError(f"{own.name}: found {value!r}, expected one of {', '.join(values)}")


@dataclass(frozen=True)
class DrawOptions(Options):
    """The options of a data set whose split is drawn at random.

    Attributes:
        seed: Seed of the draw, a whole number from 0 on.
        split: How "n images per class" is drawn from images with several labels (`dseh_tf.data.draw.draw`).
        queries: Number of queries, per class or in total as in the protocol. Default: the protocol's number.
        train_rows: Number of training rows, counted in the same way. Default: the protocol's number.
    """

    seed: int = 0
    split: str = choice(*SPLITS)
    queries: int | None = None
    train_rows: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("queries", "train_rows"):
            number = getattr(self, name)
            if number is not None:
                positive(number, name)
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise InputError(f"seed: found {self.seed!r}, expected a whole number from 0 on")


@dataclass(frozen=True)
class DataSet:
    """An entry of the catalog of data sets.

    Attributes:
        name: The name for `--dataset` and `load`.
        options: Class of its options.
        load: Reads the files and returns the three splits. Raises InputError on files that are missing or bad.
        protocol: The protocol that `load` draws by, or None if the files or the folder decide.
        source: Where to get the files and where to put them, for messages. Empty if no files are needed.
        records: What TFDS calls its records, for data sets that TFDS prepares.
    """

    name: str
    options: type[Options]
    load: Callable[[Any], RetrievalDataset]
    protocol: Callable[[Any], Protocol | None]
    source: str = ""
    records: str | None = None
