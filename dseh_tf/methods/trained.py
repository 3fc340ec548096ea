"""What methods that train networks share: how a recipe is built from settings, data set and runtime, and how `fit` runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.trunk import Trunk
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Fitted, Method, training_split

RecipeType = TypeVar("RecipeType")
FittedType = TypeVar("FittedType", bound=Fitted)


class TrainedMethod(Method, Generic[RecipeType, FittedType]):
    """A method that trains networks with a recipe.

    Attributes:
        Recipe: The recipe's class, called with the method, a data set and a runtime.
    """

    Recipe: ClassVar[type[Any]]

    def check_data(self, dataset: RetrievalDataset) -> None:
        """Raises InputError for a data set that the method cannot train on. `settings` are already those of this fit."""

    def recipe(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> RecipeType:
        """What `fit` runs: networks, banks and stages, before the first step."""
        training_split(dataset)
        self.resolved = self.resolve(dataset.has_features)
        self.check_data(dataset)
        recipe: RecipeType = self.Recipe(self, dataset, runtime or Runtime())
        return recipe

    def fit(self, dataset: RetrievalDataset, runtime: Runtime | None = None) -> FittedType:
        """Trains on `dataset.train` alone, from its features if it has any, else from its images.

        Query and database rows are only reported on, never used to choose.
        """
        recipe: Any = self.recipe(dataset, runtime)
        fitted: FittedType = recipe.trainer.run(recipe)
        return fitted


class PublishedMethod(TrainedMethod[RecipeType, FittedType]):
    """A method that trains above a backbone. Its settings start from those published for a data set.

    Attributes:
        PUBLISHED: Settings by row, for example "nus_wide".
        ROWS: The values that `preset_dataset` can have. A row without published settings falls back to nus_wide.
    """

    PUBLISHED: ClassVar[Mapping[str, Any]]
    ROWS: ClassVar[Sequence[str]]
    OPTIONS = ("trunk", "preset_dataset")

    def __init__(
        self, bits: int, seed: int = 0, preset_dataset: str | None = None, trunk: Trunk | None = None, **settings: Any
    ) -> None:
        """Checks the settings.

        Args:
            bits: Code length K.
            seed: Seed of weights, batches and augmentation.
            preset_dataset: The row of `PUBLISHED` that the settings start from. Default: nus_wide.
            trunk: The backbone below the method's own layers, if the data set has images and no features.
            **settings: Fields of `Settings`.
        """
        if preset_dataset not in (None, *self.ROWS):
            raise InputError(f"preset_dataset: found {preset_dataset!r}, expected one of {', '.join(self.ROWS)}")
        self.preset_dataset = preset_dataset or "nus_wide"
        self.trunk = trunk or Trunk()
        super().__init__(bits, seed, **settings)

    def published(self) -> tuple[Any, str]:
        row = self.preset_dataset if self.preset_dataset in self.PUBLISHED else "nus_wide"
        return self.PUBLISHED[row], f"published: {row}"

    def config(self) -> dict[str, Any]:
        return {"preset_dataset": self.preset_dataset}
