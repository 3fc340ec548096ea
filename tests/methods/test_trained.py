"""From settings and a data set to a recipe: the order of checks, and what `fit` returns."""

from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Fitted
from dseh_tf.methods.settings import Layer
from dseh_tf.methods.trained import TrainedMethod


class Recorded:
    """A recipe that keeps what it was made of; its trainer gives it back."""

    def __init__(self, method, dataset, runtime):
        self.made_of = method, dataset, runtime
        self.trainer = SimpleNamespace(run=lambda recipe: ("fitted by", recipe))


class Refusing(TrainedMethod[Recorded, Fitted]):
    name = "refusing"
    Recipe = Recorded
    refuses = False

    def layers(self, features):
        self.features = features
        return [Layer("features", {})] if features else []

    def check_data(self, dataset):
        assert hasattr(self, "features")  # the settings of this fit are known
        if self.refuses:
            raise InputError("rows: found 4, expected 5")


def dataset():
    labels = np.eye(4, dtype=np.uint8)
    return RetrievalDataset.from_arrays(
        (np.ones((4, 3), np.float32), labels), (np.ones((1, 3), np.float32), labels[:1])
    )


def test_a_recipe_is_made_of_method_data_and_runtime():
    method, data = Refusing(8), dataset()
    recipe = method.recipe(data)
    made_by, made_for, runtime = recipe.made_of
    assert made_by is method and made_for is data and runtime.strategy.num_replicas_in_sync == 1
    assert method.features is True  # resolved for a data set with features


def test_fit_returns_what_the_trainer_made_of_the_recipe():
    text, recipe = Refusing(8).fit(dataset())
    assert text == "fitted by" and isinstance(recipe, Recorded)


def test_data_is_checked_before_a_recipe_is_made():
    method = Refusing(8)
    method.refuses = True
    method.Recipe = None  # would raise a TypeError
    with pytest.raises(InputError, match="rows: found 4, expected 5"):
        method.fit(dataset())


def test_anything_but_a_data_set_is_one_line():
    with pytest.raises(InputError, match="dataset: found list, expected a RetrievalDataset"):
        Refusing(8).recipe([1, 2])
