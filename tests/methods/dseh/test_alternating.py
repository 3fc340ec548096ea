"""The order of the phases, and what passes between them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.data.label_vectors import distinct_rows


class Networks:
    """Stands for DSEH: records what the driver asks of it."""

    rounds, images = 3, True

    def __init__(self, bank_reinit: str = "imgnet") -> None:
        self.bank_reinit = bank_reinit
        self.calls: list[str] = []

    def open_round(self, round_):
        self.calls.append(f"open/{round_}")

    def _phase(self, name: str, round_: int) -> SimpleNamespace:
        return SimpleNamespace(name=name, round=round_)

    def labnet_phase(self, round_):
        return self._phase("labnet", round_)

    def imgnet_phase(self, round_):
        return self._phase("imgnet", round_)

    def labnet_outputs(self):
        from dseh_tf.methods.dseh.alternating import Outputs

        self.calls.append("signs")
        return Outputs(np.full((4, 3), 2.0), np.array([[0.0, -0.1], [0.3, -0.3], [-0.0, 1.0], [-1, -1]]))

    def imgnet_outputs(self, for_banks=False):
        from dseh_tf.methods.dseh.alternating import Outputs

        assert for_banks
        self.calls.append("banks")
        return Outputs(np.full((4, 3), 7.0), -np.ones((4, 2)))

    def report_labels(self, round_):
        return {"map_labels": 0.5}

    def report_images(self, round_):
        return {"map": 0.4}


class Trainer:
    def __init__(self, networks: Networks, started=()) -> None:
        self.networks, self.notes, self._started = networks, {}, set(started)

    def started(self, name, round_):
        return (name, round_) in self._started

    def run(self, phase):
        self.networks.calls.append(f"{phase.name}/{phase.round}")

    def save(self):
        pass


def _memories(tf):
    from dseh_tf.methods.dseh.label_targets import LabelTargets
    from dseh_tf.training.banks import SemanticMemory

    strategy, labels = tf.distribute.get_strategy(), np.eye(4, dtype=np.uint8)
    return SemanticMemory(strategy, labels, 3, 2), LabelTargets(strategy, distinct_rows(labels), 3, 2)


def test_phases_take_turns_and_banks_come_back(tf):
    from dseh_tf.methods.dseh.alternating import alternate

    networks, (memory, targets) = Networks(), _memories(tf)
    said: list[str] = []
    reports = alternate(networks, Trainer(networks), memory, targets, seed=0, say=said.append)
    assert networks.calls == [
        "open/0", "labnet/0", "signs", "imgnet/0",
        "banks", "open/1", "labnet/1", "signs", "imgnet/1",
        "banks", "open/2", "labnet/2", "signs", "imgnet/2",
    ]  # fmt: skip
    assert reports == [{"round": r, "map_labels": 0.5, "map": 0.4} for r in range(3)]
    assert said == [f"round {r}: {found}" for r in range(3) for found in ("map_labels 0.5000", "map 0.4000")]
    np.testing.assert_array_equal(memory.features.numpy(), np.full((4, 3), 7))
    np.testing.assert_array_equal(memory.codes.numpy(), -np.ones((4, 2)))
    np.testing.assert_array_equal(targets.codes.numpy(), [[1, -1], [1, -1], [1, 1], [-1, -1]])  # zero counts as +1


@pytest.mark.parametrize("reinit", ["keep", "random"])
def test_other_banks(tf, reinit):
    from dseh_tf.methods.dseh.alternating import alternate

    networks, (memory, targets) = Networks(reinit), _memories(tf)
    trainer = Trainer(networks, started=[("labnet", 0)])
    memory.fill(np.full((4, 3), 5.0), np.ones((4, 2)))
    alternate(networks, trainer, memory, targets, seed=0)
    assert "banks" not in networks.calls
    assert [call for call in networks.calls if "open" in call] == ["open/1", "open/2"]  # the first phase had begun
    kept = np.array_equal(memory.features.numpy(), np.full((4, 3), 5))
    assert kept == (reinit == "keep")


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
