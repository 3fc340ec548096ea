"""The parts of a method that is trained by gradient descent: its stages in order, and the fitted method at the end.

A stage is a `Phase` (gradient steps of one loss) or `Work` on the host between phases (sign codes, a bank refill, a discrete
solve, a report). DSEH repeats (memory, LabNet, targets, ImgNet); CNNH solves its targets, then trains one network. The
`Trainer` runs the stages in order and skips those that a checkpoint already includes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import tensorflow as tf

from dseh_tf.devices.replicas import gather, replica_count
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.optimizers import VariableGroup

Tensors = Mapping[str, tf.Tensor]
Terms = dict[str, tf.Tensor]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Phase:
    """Gradient steps on the batches of some rows.

    Attributes:
        name: "labnet", "imgnet", ... Phases of one name have one `forward` and one `loss`, which are traced once.
        round: From 0.
        rows: The training rows and how batches are drawn from them.
        epochs: Number of epochs of `epoch_steps` steps each.
        forward: The networks' outputs for this replica's rows of a batch, by name, each [b, ...].
        loss: The terms of the *global* batch, from the outputs and the batch of all replicas: "total", a scalar, is
            minimised; the other terms are recorded. The batch has "rows" int32 [B] among the training rows, "step" int64,
            and what `rows` has but for `private`. Every replica computes the same terms; a sum over the rows of a bank may
            be split (`dseh_tf.devices.replicas.split_sum`).
        groups: Variables and their optimisers.
        learning_rate: Maps an epoch to its base rate.
        on_epoch: Called after each epoch with the number of finished epochs.
        private: Entries of a batch that only `forward` reads. They are not exchanged between replicas.
        saved: Whether a checkpoint is written at its end. Recipes with many short phases set it to False; a checkpoint
            is then written every `Runtime.checkpoint_steps` steps, counted over all phases.
    """

    name: str
    round: int
    rows: TrainingRows
    epochs: int
    forward: Callable[[Tensors], Tensors]
    loss: Callable[[Tensors, Tensors], Terms]
    groups: Sequence[VariableGroup]
    learning_rate: Callable[[int], float]
    on_epoch: Callable[[int], None] | None = None
    private: Sequence[str] = ("inputs",)
    saved: bool = True

    @property
    def key(self) -> str:
        return f"{self.name}/{self.round}"

    @property
    def epoch_steps(self) -> int:
        return self.rows.epoch_steps

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps

    def share(self, local: Tensors) -> Terms:
        """This replica's equal share of the terms (in a replica context).

        Args:
            local: This replica's rows of the batch, and "step".

        Returns:
            The terms; over all replicas they add up to those of the global batch.
        """
        outputs = {name: gather(value) for name, value in self.forward(local).items()}
        batch = {name: gather(value) for name, value in local.items() if name not in ("step", *self.private)}
        terms = self.loss(outputs, {**batch, "step": local["step"]})
        count = replica_count()
        return dict(terms) if count == 1 else {name: value / count for name, value in terms.items()}


@dataclass(frozen=True)
class Work:
    """Work on the host between phases.

    Attributes:
        name: Name of the work; with `round`, unique in a recipe.
        round: From 0.
        run: Does it.
        derived: Its result follows from the checkpointed state and is not checkpointed itself. A resumed run does it
            again if a later stage needs it. Other work is done once.
        saved: Whether a checkpoint is written after it, as in a phase.
    """

    name: str
    round: int
    run: Callable[[], None]
    derived: bool = False
    saved: bool = True

    @property
    def key(self) -> str:
        return f"{self.name}/{self.round}"


Stage = Phase | Work


class Recipe(abc.ABC, Generic[Result]):
    """One fit of a method: its networks, banks and optimisers, its stages, and the fitted method."""

    @property
    @abc.abstractmethod
    def tracked(self) -> dict[str, object]:
        """Everything a checkpoint holds, by name."""

    @abc.abstractmethod
    def stages(self) -> Iterable[Stage]:
        """The stages in order. The list is the same in every session of a run."""

    @abc.abstractmethod
    def fitted(self) -> Result:
        """Called after the last stage."""

    def spread(self) -> None:
        """After a checkpoint was restored: makes every replica's copy of a bank equal to the first."""
