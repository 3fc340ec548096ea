"""Warns during training when codes have collapsed, once per phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import logging

from dseh_tf.retrieval.collapse import findings, warning
from dseh_tf.retrieval.health import CodeHealth

if TYPE_CHECKING:
    from dseh_tf.training.trainer import Phase

_FIRST_STEPS = 200  # before that a network may have one code for all rows because it has hardly begun


class HealthWatch:
    """Checks codes repeatedly, and logs a warning if they stay collapsed.

    At the start of training, a network often has the same code for all rows. A finding therefore counts only if the
    previous check also had it and it has not become smaller, after a tenth of the phase and 200 steps; or at the end of
    the phase.

    Args:
        advice: what to try, at the end of the warning.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice
        self._before: dict[str, dict[str, float]] = {}
        self._said: set[str] = set()

    def check(
        self, phase: Phase, epoch: int, health: CodeHealth, label_codes: bool = False, sampled: bool = False
    ) -> None:
        """Checks the codes after `epoch` epochs of the phase; the last two arguments are those of `findings`."""
        key = f"{phase.name}/{phase.round}"
        if key in self._said:
            return
        found = findings(health, label_codes, sampled)
        before, self._before[key] = self._before.get(key, {}), {f.name: f.size for f in found}
        if epoch < phase.epochs:
            begun = 10 * epoch >= phase.epochs and epoch * phase.epoch_steps >= _FIRST_STEPS
            found = [f for f in found if begun and f.size >= before.get(f.name, float("inf"))]
        line = warning([(f"round {phase.round}, {phase.name}, epoch {epoch}", found)], self.advice)
        if line:
            self._said.add(key)
            logging.warning("%s", line)
