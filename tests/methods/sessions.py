"""What the trainer does in one session of a run, and a way to end the session at a step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from unittest import mock

from dseh_tf.training.recipe import Work
from dseh_tf.training.trainer import Trainer


class Interrupted(Exception):
    """Takes the place of a power cut, in the process of the test."""


class Session:
    """Notes what the trainer does while it is entered.

    Attributes:
        blocks: Phase and first step, from 0, of the steps that were taken together.
        works: Keys of the work on the host that was done, but for what is derived.
        saved: Steps by stage of the newest checkpoint.
    """

    def __init__(self, at: tuple[str, int] | None = None, act: Callable[[], None] | None = None) -> None:
        """at: a phase and a step of it; instead of noting it, or a later one, the session calls `act`."""
        self.blocks: list[tuple[str, int]] = []
        self.works: list[str] = []
        self.saved: dict[str, int] = {}
        self.at, self.act = at, act
        self._patches = ExitStack()

    def __enter__(self) -> Session:
        record, save, run = Trainer._record, Trainer.save, Trainer.run

        def noted_record(trainer, phase, step, terms, *others) -> None:
            if self.at and phase.key == self.at[0] and step >= self.at[1]:
                self.act()
            self.blocks.append((phase.key, step - len(terms["total"])))
            record(trainer, phase, step, terms, *others)

        def noted_save(trainer) -> None:
            save(trainer)
            self.saved = dict(trainer._done)

        def noted_run(trainer, recipe):
            stages = recipe.stages
            recipe.stages = lambda: [self._noted(stage) for stage in stages()]
            return run(trainer, recipe)

        for name, noted in (("_record", noted_record), ("save", noted_save), ("run", noted_run)):
            self._patches.enter_context(mock.patch.object(Trainer, name, noted))
        return self

    def __exit__(self, *error) -> None:
        self._patches.close()

    def _noted(self, stage):
        if not isinstance(stage, Work) or stage.derived:
            return stage

        def run() -> None:
            self.works.append(stage.key)
            stage.run()

        return replace(stage, run=run)
