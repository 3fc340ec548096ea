"""The interface of hashing methods: settings, `fit` on a data set, and a fitted encoder."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.encoding.inputs import check_features, input_matrix
from dseh_tf.encoding.known_codes import with_known_codes
from dseh_tf.errors import InputError, positive, whole
from dseh_tf.methods.settings import GIVEN, Layer, Resolved, check_choices, check_names, check_numbers, resolve
from dseh_tf.retrieval.health import CodeHealth

if TYPE_CHECKING:
    from dseh_tf.devices.runtime import Runtime


MAX_BITS = 65_536  # 8 KB per code; published codes have up to some thousand bits


@dataclass(frozen=True)
class NoSettings:
    """For a method without settings."""


class Fitted(abc.ABC):
    """A fitted method, which encodes the rows of any split.

    database_codes: int8 ±1 [n_database, K] for asymmetric methods, which learn them directly; otherwise None.
    database_ids: ids of those rows.
    train_seconds: training time over all sessions, if the method measures it itself.
    results: what the method adds to result.json. arrays: what it adds to the run folder, by file and array name.
    health: how well codes use their bits: "labnet" for a label network, "train" for the training images.
    advice: what to try if codes have collapsed.
    encoder_file: the file name for `save` in a run folder; empty if the encoder cannot be saved, so that runs cannot be
    queried.
    modalities: what `encode` accepts as `modality`.
    """

    database_codes: np.ndarray | None = None
    database_ids: np.ndarray | None = None
    train_seconds: float | None = None
    advice: str = ""
    encoder_file: ClassVar[str] = ""
    modalities: ClassVar[Sequence[str]] = ("image",)

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.results: dict[str, Any] = {}
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        self.health: dict[str, CodeHealth] = {}

    @abc.abstractmethod
    def encode(self, split: Split, modality: str = "image") -> np.ndarray:
        """Returns codes int8 ±1 [n, K] of a split; the methods here also accept features [n, d] or images [n, h, w, 3].

        `modality="text"` is for cross-modal methods only.
        """

    def encode_database(self, split: Split) -> np.ndarray:
        """int8 ±1 [n, K] of database rows: learned codes if there are any, known by id; those of `encode` elsewhere.

        Rows that were added after training have no learned code. A method that learns no codes encodes all rows.
        """
        if self.database_codes is None or self.database_ids is None:
            return self.encode(split)
        return with_known_codes(split, self.database_ids, self.database_codes, self.encode)

    def save(self, path: Path) -> None:
        """Writes the encoder to one file. Raises InputError if the method's encoder cannot be saved."""
        raise InputError(
            f"{path}: found {type(self).__name__}, whose encoder cannot be saved, expected one with a `save` method"
        )


class Method(abc.ABC):
    """A method with its settings, before fitting: `METHODS["itq"](bits=32, seed=0).fit(dataset)`.

    Attributes:
        name: In `METHODS` and in run folders.
        Settings: A frozen dataclass; its fields are keyword arguments of the constructor.
        OPTIONS: Arguments of the constructor other than `bits`, `seed` and settings, for example "trunk" for a method
            that trains a network. Programs pass only the options that a method lists.
        CHOICES: The allowed values of settings, by name.
        LEAST, POSITIVE: Ranges of numbers, as in `check_numbers`.
        learns_database: Whether `fit` learns a code for each database row. The training rows must then be the database.
        needs_texts: Whether `fit` also reads texts.
    """

    name: ClassVar[str]
    Settings: ClassVar[type] = NoSettings
    OPTIONS: ClassVar[Sequence[str]] = ()
    CHOICES: ClassVar[Mapping[str, Sequence[str]]] = {}
    LEAST: ClassVar[Mapping[str, float]] = {}
    POSITIVE: ClassVar[Sequence[str]] = ()
    learns_database: ClassVar[bool] = False
    needs_texts: ClassVar[bool] = False

    def __init__(self, bits: int, seed: int = 0, **settings: Any) -> None:
        check_names(self.name, self.Settings, settings)
        self.bits = positive(bits, "bits")
        if self.bits > MAX_BITS:
            raise InputError(f"bits: found {bits}, expected at most {MAX_BITS:,}")
        self.seed = whole(seed, "seed", 0, 2**63 - 1)
        self.given = settings
        self.resolved = self.resolve()

    @property
    def settings(self) -> Any:
        """The settings, of type `Settings`; after `fit` those that it used."""
        return self.resolved.settings

    @property
    def needs_images(self) -> bool:
        """Whether `fit` reads images or features of images, not labels alone."""
        return True

    def resolve(self, features: bool = False) -> Resolved[Any]:
        """The settings for a data set, and the source of each value.

        Args:
            features: Whether the data set has features, so that no trunk runs while a network trains.

        Raises:
            InputError: A setting is not of its type, in its range or one of its choices.
        """
        start, source = self.published()
        found = resolve(start, source, [*self.layers(features), Layer(GIVEN, self.given_changes)])
        settings = self.checked(found.settings)
        return Resolved(settings, found.origin)

    def published(self) -> tuple[Any, str]:
        """The settings that all others change, and their source."""
        return self.Settings(), "default"

    def layers(self, features: bool) -> Iterable[Layer]:
        """What changes the published settings, but for those that are given."""
        return ()

    def given_changes(self, settings: Any) -> Mapping[str, Any]:
        """The given settings in the form that `Settings` has, from the settings so far."""
        return self.given

    def checked(self, settings: Any) -> Any:
        """The settings if they are valid, else InputError."""
        check_choices(settings, self.CHOICES)
        check_numbers(settings, self.LEAST, positive=self.POSITIVE)
        return settings

    def config(self) -> dict[str, Any]:
        """What config.json records about the method in addition to its settings."""
        return {}

    @abc.abstractmethod
    def fit(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> Fitted:
        """Fits the method on `dataset.train`; query and database are only reported on, never used to choose
        anything."""


def training_split(dataset: RetrievalDataset) -> Split:
    """The training rows. Raises InputError on anything but a data set."""
    if not isinstance(dataset, RetrievalDataset):
        found = type(dataset).__name__
        raise InputError(
            f"dataset: found {found}, expected a RetrievalDataset (RetrievalDataset.from_arrays makes one)"
        )
    return dataset.train


__all__ = ["Fitted", "Method", "NoSettings", "check_features", "check_numbers", "input_matrix", "training_split"]
