"""What methods that train networks share: how settings, data set and runtime become a recipe, and how `fit` runs it."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
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
