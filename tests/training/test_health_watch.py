"""When a collapse is said during training: once per phase, and not of a network that has just begun or recovers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dseh_tf.retrieval import code_health
from dseh_tf.training.health_watch import HealthWatch

CLASSES = np.eye(20, dtype=np.uint8)


@dataclass(frozen=True)
class StubPhase:
    name: str = "labnet"
    round: int = 0
    epochs: int = 20
    epoch_steps: int = 100


def health(distinct: int):
    codes = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (distinct, 32))
    return code_health(codes[np.arange(20) % distinct], CLASSES)


def said(caplog, watch: HealthWatch, phase: StubPhase, distinct: list[int]) -> list[str]:
    """The warnings of a phase whose epochs end with the given numbers of distinct codes."""
    caplog.clear()
    for epoch, count in enumerate(distinct, 1):
        watch.check(phase, epoch, health(count), label_codes=True)
    return [record.getMessage() for record in caplog.records]


def test_a_lasting_collapse_is_said_once_per_phase(caplog):
    watch = HealthWatch("try more")
    lines = said(caplog, watch, StubPhase(), [2] * 20)
    (line,) = lines
    assert line.startswith("warning: codes have collapsed: 2 distinct codes for 20 label vectors, ")
    assert line.endswith(" constant bits of 32 (round 0, labnet, epoch 2); try more")
    assert len(said(caplog, watch, StubPhase(round=1), [2] * 20)) == 1
    assert said(caplog, watch, StubPhase(round=1), [2] * 20) == []


@pytest.mark.parametrize(
    ("phase", "distinct", "epoch"),
    [
        (StubPhase(), [20] * 20, None),
        (StubPhase(), [1, 2, 4, 7, *[20] * 16], None),  # slow, but it recovers
        (StubPhase(), [20, 20, 20, 6, 5, *[2] * 15], 5),  # getting worse
        (StubPhase(epochs=40), [1] * 40, 4),  # not before a tenth of the phase
        (StubPhase(epoch_steps=10), [1] * 20, 20),  # not before 200 steps
        (StubPhase(epoch_steps=10), [*[1] * 19, 20], None),
        (StubPhase(epochs=1, epoch_steps=3), [1], 1),  # but at the end of the phase
    ],
)
def test_when_it_is_said(caplog, phase, distinct, epoch):
    lines = said(caplog, HealthWatch(""), phase, distinct)
    assert [line.rsplit("epoch ", 1)[1] for line in lines] == ([] if epoch is None else [f"{epoch})"])
