"""ADSH: Jiang, Li, "Asymmetric Deep Supervised Hashing", AAAI 2018. Release: jiangqy/ADSH-AAAI2018."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.methods.asymmetric.base import AsymmetricRecipe
from dseh_tf.methods.asymmetric.database_codes import objective, solve_codes
from dseh_tf.methods.asymmetric.sample import Sample
from dseh_tf.methods.asymmetric.sample_bank import SampleBank
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.seeding import generator
from dseh_tf.training.recipe import Phase, Stage, Tensors, Terms, Work


@dataclass(frozen=True)
class ADSHSettings(DeepSettings):
    """jiangqy/ADSH-AAAI2018:ADSH_matlab, whose trunk is CNN-F: rates logspace(-4, -6, 150), one an epoch of all rounds.

    Attributes:
        epochs: Number of epochs per round; each visits every sampled row once.
        rounds: Outer iterations: a sample, its epochs, a V-step.
        sample: m, the number of database rows drawn per round.
        gamma: Weight of the distance between codes and outputs of the sampled rows.
    """

    dropout: float = 0.0
    optimizer: str = "sgd"
    learning_rate: float = 1e-4
    decay: float = 10 ** (-2 / 149)
    decay_epochs: int = 1
    weight_decay: float = 5e-4
    batch: int = 64
    epochs: int = 3
    rounds: int = 50
    sample: int = 2000
    gamma: float = 200.0


class ADSHRecipe(AsymmetricRecipe):
    """Rounds of: draw a sample; train the network on it with V fixed; solve V bit by bit with the network fixed.

    The V-step uses the outputs that the batches of the last epoch gave before each step.
    """

    method: ADSH
    bank: SampleBank

    def __init__(self, method: ADSH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        super().__init__(method, dataset, runtime)
        self._sample: tuple[int, Sample] | None = None

    def learned_codes(self) -> np.ndarray:
        return self.bank.codes.numpy()

    def stages(self) -> Iterator[Stage]:
        rounds = self.method.settings.rounds
        for round_ in range(rounds):
            yield Work("sample", round_, partial(self.draw, round_), derived=True)
            yield self.phase(round_)
            yield Work("codes", round_, partial(self.solve, round_), saved=round_ + 1 == rounds)

    def sampled_rows(self, round_: int) -> np.ndarray:
        """int64 [m]: the rows of a round, drawn without replacement; a function of the seed and the round."""
        return generator(self.method.seed, "adsh sample", round_).permutation(len(self.labels))[
            : self.method.settings.sample
        ]

    def sample(self, round_: int) -> Sample:
        """The sample of a round with its similarities."""
        if self._sample is None or self._sample[0] != round_:
            self._sample = round_, Sample(self.distinct, self.sampled_rows(round_))
        return self._sample[1]

    def draw(self, round_: int) -> None:
        """Copies to the devices what the loss needs of the sample and of V."""
        self.bank.fill(self.sample(round_))

    def phase(self, round_: int | None = None) -> Phase:
        """The network's steps in a round; None for the last one."""
        s = self.method.settings
        round_ = s.rounds - 1 if round_ is None else round_
        rows = self.rows("network", round_, self.sampled_rows(round_))
        return self.phase_of(rows, s.epochs, self.forward, self.loss, self.groups)

    def forward(self, batch: Tensors) -> Tensors:
        return self.network(batch["inputs"], training=True)

    def solve(self, round_: int) -> None:
        """The V-step of a round."""
        sample, outputs, gamma = self.sample(round_), self.bank.outputs(), self.method.settings.gamma
        codes = solve_codes(self.learned_codes(), sample, outputs, gamma, self.pull(len(outputs)))
        self.bank.codes.assign(codes)
        value = objective(codes, sample, outputs, gamma)
        self.trainer.notes.setdefault("objective", []).append(value)
        self.trainer.summaries.scalars({"network/objective": value}, round_)

    def pull(self, sampled: int) -> np.ndarray | None:
        """Additional terms that attract codes of label vectors in the V-step, float [v, K]; none here."""
        return None

    def fitted(self) -> ImageEncoder:
        encoder = super().fitted()
        encoder.results["objective"] = self.trainer.notes["objective"]
        return encoder


class ADSH(DeepMethod):
    """A network for queries, and a separate code for every database row: `ADSH(bits=32, seed=0).fit(dataset)`.

    The training rows must be the whole database.
    """

    name = "adsh"
    Recipe: ClassVar[type[ADSHRecipe]] = ADSHRecipe
    learns_database = True
    Settings = ADSHSettings
    LEAST: ClassVar = {"epochs": 1, "rounds": 1, "sample": 1}
    # Of other trunks; epochs are those of a round.
    UNTUNED: ClassVar = {"batch": 64, "epochs": 3, "rounds": 30, "decay_epochs": 30, "sample": 1000}
    PUBLISHED: ClassVar = {
        "nus_wide": ADSHSettings(learning_rate=10**-4.5, decay=10 ** (-1.5 / 149)),
        "imagenet": ADSHSettings(),
        "ms_coco": ADSHSettings(),
    }

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> SampleBank:
        return SampleBank(strategy, len(labels), self.settings.sample, self.bits)

    def loss(self, outputs: Tensors, batch: Tensors, bank: SampleBank) -> Terms:
        """The batch's part of the objective, divided by n b; rows that do not count add nothing."""
        u, counted = tf.tanh(outputs["logits"]), batch["counted"]
        bank.write(batch["places"], u, counted)
        targets, squares, own = bank.of(batch["places"])
        rows, mask = tf.reduce_sum(counted), counted[:, None]
        pairs = losses.database_pairs(u, bank.gram, targets, squares, counted) / rows
        distance = losses.code_regression(mask * u, mask * own) / (bank.rows * rows)
        return {"total": pairs + self.settings.gamma * distance, "pairs": pairs, "codes": distance}

    def check_data(self, dataset: RetrievalDataset) -> None:
        sample, rows = self.settings.sample, len(dataset.database)
        if sample > rows:
            raise InputError(f"sample: found {sample}, expected at most the {rows} database rows (--set=sample=...)")
