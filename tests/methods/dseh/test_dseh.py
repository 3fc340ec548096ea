"""The stages of Algorithm 1, and what passes between them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset

SMALL = {"labnet_batch": 4, "imgnet_batch": 4, "labnet_width": 16, "feature_dim": 3, "labnet_epochs": (1, 1, 1)}


@pytest.fixture
def made(tf):
    """made(**settings): the recipe of DSEH on twelve rows of features."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH

    labels = np.eye(4, dtype=np.uint8)[np.arange(12) % 4]
    x = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    dataset = RetrievalDataset.from_arrays((x, labels), (x[:4], labels[:4]))

    def make(**settings):
        method = DSEH(2, preset="release", **{**SMALL, **settings})
        return method.recipe(dataset, Runtime(progress=False))

    return make


def test_phases_take_turns_and_signs_pass_between_them(made):
    keys = [stage.key for stage in made().stages()]
    one = ["memory", "labnet", "labnet_report", "targets", "imgnet", "imgnet_report"]
    assert keys == [f"{name}/{round_}" for round_ in range(3) for name in one]
    keys = [stage.key for stage in made(phases="labnet").stages()]
    assert keys == ["memory/0", "labnet/0", "labnet_report/0"]


def test_imgnet_learns_labnets_features_and_signs(made):
    from dseh_tf.methods.dseh.networks import Outputs

    recipe = made()
    activations = np.array([[0.0, -0.1], [0.3, -0.3], [-0.0, 1.0], [-1, -1]], np.float32)
    recipe.labnet.outputs = lambda vectors: Outputs(np.full((4, 3), 2.0), activations)
    (targets,) = (stage for stage in recipe.stages() if stage.key == "targets/0")
    assert targets.derived
    targets.run()
    # zero counts as +1
    np.testing.assert_array_equal(recipe.targets.codes_array(), [[1, -1], [1, -1], [1, 1], [-1, -1]])


@pytest.mark.parametrize("reinit", ["imgnet", "keep", "random"])
def test_what_labnets_memory_holds_in_later_rounds(made, reinit):
    recipe = made(bank_reinit=reinit)
    memory, opened = recipe.memory, {s.round: s.run for s in recipe.stages() if s.name == "memory"}
    opened[0]()
    first = memory.features.numpy().copy()
    assert first.std() > 0.3  # standard normal, whatever bank_reinit says
    memory.fill(np.full((12, 3), 5.0), np.ones((12, 2)))
    images = SimpleNamespace(features=np.full((12, 3), 7.0), signs=-np.ones((12, 2)))
    recipe.imgnet.outputs = lambda keep_mean: images
    opened[1]()
    if reinit == "random":
        assert memory.features.numpy().std() > 0.3 and not np.array_equal(memory.features, first)
    else:
        value, sign = {"imgnet": (7.0, -1.0), "keep": (5.0, 1.0)}[reinit]
        np.testing.assert_array_equal(memory.features, np.full((12, 3), value))
        np.testing.assert_array_equal(memory.codes, np.full((12, 2), sign))


def test_first_banks_are_standard_normal_and_seeded(tf):
    from dseh_tf.training.banks import SemanticMemory

    memory = SemanticMemory(tf.distribute.get_strategy(), np.zeros((500, 2), np.uint8), 64, 8)
    memory.fill_normal(3)
    first = memory.features.numpy().copy()
    assert abs(first.mean()) < 0.02 and abs(first.std() - 1) < 0.02
    memory.fill_normal(4)
    assert not np.array_equal(memory.features.numpy(), first)
    memory.fill_normal(3)
    np.testing.assert_array_equal(memory.features.numpy(), first)


def test_a_report_that_is_made_again_replaces_the_first(made, caplog):
    recipe = made(imgnet_epochs=(1, 1, 1))
    reports = recipe.reports
    for _ in range(2):
        reports._note(0, {"round": 0, "map_labels": 0.5})
        reports._note(0, {"map": 0.4})
    assert recipe.trainer.notes["rounds"] == [{"round": 0, "map_labels": 0.5, "map": 0.4}]
    reports._note(1, {"round": 1, "map_labels": 0.6})
    assert recipe.trainer.notes["rounds"][1:] == [{"round": 1, "map_labels": 0.6}]
