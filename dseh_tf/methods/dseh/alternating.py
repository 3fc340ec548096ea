"""The alternating driver of DSEH (section 3.4 and Algorithm 1 of the paper, lelan-li/DSEH:DSEH.py:train).

In every round: LabNet learns from labels and its memory -> a clean pass gives its features and sign codes of the training
labels -> ImgNet learns from both -> ImgNet's features and signs become LabNet's memory. Weights and moments of the optimisers
carry over between rounds. Re-initialising the memory is all that ImgNet does to LabNet (DSEH.py:train_label).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.trainer import Phase, Trainer


@dataclass(frozen=True)
class Outputs:
    """A clean pass over rows: features float32 [n, d], activations float32 [n, K] whose signs are the codes."""

    features: np.ndarray
    activations: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """float32 ±1 [n, K]; zero counts as +1."""
        return np.where(self.activations >= 0, 1.0, -1.0).astype(np.float32)


class Alternation(Protocol):
    """What the driver asks of a method with two networks."""

    rounds: int
    bank_reinit: str
    images: bool

    def open_round(self, round_: int) -> None:
        """What happens before LabNet's phase; not repeated where a checkpoint holds a part of that phase."""
        ...

    def labnet_phase(self, round_: int) -> Phase: ...
    def imgnet_phase(self, round_: int) -> Phase: ...
    def labnet_outputs(self) -> Outputs:
        """LabNet on the distinct label vectors of the training rows, in the order of `targets`."""
        ...

    def imgnet_outputs(self, for_banks: bool = False) -> Outputs:
        """ImgNet on the training images, dropout off."""
        ...

    def report_labels(self, round_: int) -> dict[str, Any]: ...
    def report_images(self, round_: int) -> dict[str, Any]: ...


def alternate(
    method: Alternation,
    trainer: Trainer,
    memory: SemanticMemory,
    targets: LabelTargets,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Trains both networks; returns one report a round, as `rounds` of result.json.

    memory: LabNet's banks, part of the checkpoint. targets: ImgNet's, LabNet's features and signs of the distinct label
    vectors. Phases that a restored checkpoint holds are
    not repeated. say: takes a line a report; rounds count from 0 there too.
    """
    reports: list[dict[str, Any]] = trainer.notes.setdefault("rounds", [])
    for round_ in range(method.rounds):
        phase = method.labnet_phase(round_)
        if not trainer.started(phase.name, round_):
            _open_memory(method, memory, round_, seed)
            method.open_round(round_)
        trainer.run(phase)
        if len(reports) <= round_:
            reports.append({"round": round_, **method.report_labels(round_)})
            say(f"round {round_}: " + _line(reports[round_]))
            trainer.save()
        if not method.images:
            continue
        learnt = method.labnet_outputs()
        targets.fill(learnt.features, learnt.signs)
        trainer.run(method.imgnet_phase(round_))
        if "images" not in reports[round_]:
            found = method.report_images(round_)
            reports[round_] |= {**found, "images": True}
            if found:
                say(f"round {round_}: " + _line(found))
            trainer.save()
    return [{name: value for name, value in report.items() if name != "images"} for report in reports]


def _open_memory(method: Alternation, memory: SemanticMemory, round_: int, seed: int) -> None:
    """What the banks hold when LabNet's phase of a round begins."""
    if round_ == 0 or method.bank_reinit == "random":
        memory.fill_normal(seed + 1_000_003 * round_)
    elif method.bank_reinit == "imgnet":
        outputs = method.imgnet_outputs(for_banks=True)
        memory.fill(outputs.features, outputs.signs)


def _line(report: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.items()
        if isinstance(value, (int, float)) and name != "round"
    )
