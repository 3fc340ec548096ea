"""DAPH: Shen et al., "Deep Asymmetric Pairwise Hashing", ACM MM 2017, after swuxyj/DeepHash-pytorch:DAPH.py.

The authors released no code. The code that this follows describes itself as not completely implemented.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from dseh_tf import losses
from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.replicas import PerReplicaVariables, write_rows
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.methods.asymmetric.base import AsymmetricRecipe
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.methods.deep.recipe import build_network, variable_groups
from dseh_tf.retrieval import sign
from dseh_tf.seeding import generator, stream_seed
from dseh_tf.training.recipe import Phase, Stage, Tensors, Terms, Work

SIDES = ("query", "database")


@dataclass(frozen=True)
class DAPHSettings(DeepSettings):
    """swuxyj/DeepHash-pytorch:DAPH.py, but for gamma, which is 10 there.

    Attributes:
        epochs: Number of epochs of either network; after each the codes are updated.
        alpha: Weight of the distance between a network's outputs and its codes.
        gamma: Weight of the distance between the two networks' codes. It must be smaller than alpha: an output is
            within (-1, 1), so otherwise sign(alpha u + gamma h) is h, and the codes never leave their random start.
        decorrelation: Weight of the bits' correlation (lambda).
        balance: Weight of the bits' balance (beta). The term is the square of a sum over the batch; all others are
            means. With a small alpha, a weight as large as theirs shrinks the outputs to 0.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    batch: int = 128
    epochs: int = 150
    alpha: float = 10.0
    gamma: float = 3.0
    decorrelation: float = 0.01
    balance: float = 0.01


class TwinBank(tf.Module):
    """Outputs and codes of the training rows by side, "query" and "database": U, Z and B, H, each float32 [n, K]."""

    def __init__(self, strategy: tf.distribute.Strategy, rows: int, bits: int, seed: int) -> None:
        """Starts with random codes, as in the source."""
        super().__init__(name="twin_bank")
        rng = generator(seed, "daph codes")
        self._values = {}
        for side in SIDES:
            signs = np.where(rng.random((rows, bits)) < 0.5, -1.0, 1.0).astype(np.float32)
            self._values[f"{side}_codes"] = PerReplicaVariables(strategy, signs, f"{side}_codes")
            self._values[f"{side}_outputs"] = PerReplicaVariables(strategy, np.zeros_like(signs), f"{side}_outputs")

    def checkpointed(self) -> dict[str, tf.Variable]:
        """What a checkpoint has to hold."""
        return {name: value.primary for name, value in self._values.items()}

    def spread(self) -> None:
        """After a restore: every replica's copy equals the first."""
        for value in self._values.values():
            value.spread()

    def array(self, name: str) -> np.ndarray:
        """float32 [n, K] of "query_codes", "query_outputs", ..., outside of a step."""
        return self._values[name].primary.numpy()

    def update(self, alpha: float, gamma: float) -> None:
        """B = sign(alpha U + gamma H), then H = sign(alpha Z + gamma B) with the new B."""
        for side, other in (SIDES, SIDES[::-1]):
            value = alpha * self.array(f"{side}_outputs") + gamma * self.array(f"{other}_codes")
            self._values[f"{side}_codes"].assign(sign(value).astype(np.float32))

    # In a replica context

    def codes_of(self, side: str, rows: tf.Tensor) -> tf.Tensor:
        """float32 [b, K] of rows int32 [b]."""
        return tf.gather(tf.convert_to_tensor(self._values[f"{side}_codes"].local), rows)

    def write(self, side: str, rows: tf.Tensor, values: tf.Tensor) -> None:
        """Writes outputs of the global batch; no gradient flows through them."""
        write_rows(self._values[f"{side}_outputs"].local, rows, values)


class DAPHRecipe(AsymmetricRecipe):
    """An epoch of the query network, an epoch of the database network, then the codes of both; repeated."""

    method: DAPH
    bank: TwinBank

    def __init__(self, method: DAPH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        twin = copy.copy(method)
        twin.seed = stream_seed(method.seed, "daph", "database network") % 2**24  # of weights
        s, features = method.settings, dataset.train.features
        width = None if features is None else features.shape[1]
        with runtime.networks():
            backbone = None if dataset.has_features else method.trunk.build(twin.seed, s.dropout)
            self.database_network = build_network(twin, backbone, width)
            self.database_groups = variable_groups(self.database_network, backbone, s)
        super().__init__(method, dataset, runtime)

    @property
    def tracked(self) -> dict[str, object]:
        optimizers = {f"database_optimizer_{i}": g.optimizer for i, g in enumerate(self.database_groups)}
        return super().tracked | {"database_network": self.database_network} | optimizers

    def stages(self) -> Iterator[Stage]:
        rounds = self.method.settings.epochs
        for round_ in range(rounds):
            yield self.phase(round_)
            yield self.phase(round_, "database")
            yield Work("codes", round_, partial(self.solve, round_), saved=round_ + 1 == rounds)

    def phase(self, round_: int | None = None, side: str = "query") -> Phase:
        """An epoch of one of the networks; `round_` None for the last one."""
        round_ = self.method.settings.epochs - 1 if round_ is None else round_
        groups = self.groups if side == "query" else self.database_groups
        return self.phase_of(self.rows(f"{side}_net", round_), 1, self.forward, partial(self.side_loss, side), groups)

    def forward(self, batch: Tensors) -> Tensors:
        both = zip(SIDES, self.networks, strict=True)
        return {side: network(batch["inputs"], training=True)["logits"] for side, network in both}

    @property
    def networks(self) -> tuple[keras.Model, keras.Model]:
        return self.network, self.database_network

    def side_loss(self, side: str, outputs: Tensors, batch: Tensors) -> Terms:
        """The loss of a step of one network, with the outputs of the other network given."""
        terms = self.method.side_loss(side, outputs, batch, self.bank)
        if decay := self.method.settings.weight_decay:
            network = self.networks[SIDES.index(side)]
            kernels = [v for v in network.trainable_variables if len(v.shape) > 1]
            terms["total"] += decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(kernel)) for kernel in kernels])
        return terms

    def solve(self, round_: int) -> None:
        """Updates the codes after the epochs of a round."""
        s, before = self.method.settings, self.learned_codes()
        self.bank.update(s.alpha, s.gamma)
        changed = float((self.learned_codes() != before).mean())
        self.trainer.summaries.scalars({"codes/changed": changed}, round_)

    def learned_codes(self) -> np.ndarray:
        return self.bank.array("query_codes").astype(np.int8)


class DAPH(DeepMethod):
    """Two networks, and codes of the training rows for both: `DAPH(bits=32, seed=0).fit(dataset)`.

    Queries are encoded by the query network and searched in B, as in the paper; the code that this follows encodes both
    queries and database with one network. Database rows that are added later are also encoded by the query network. The
    training rows must be the whole database. The last batch of an epoch is filled up with its first rows.
    """

    name = "daph"
    Recipe: ClassVar[type[DAPHRecipe]] = DAPHRecipe
    learns_database = True
    Settings = DAPHSettings
    LEAST: ClassVar = {"epochs": 1}
    # The balance is about .01 / 128^2, the source's weight divided by the squared batch: it then acts like a mean.
    UNTUNED: ClassVar = {"alpha": 0.03, "gamma": 0.003, "balance": 6e-7}
    PUBLISHED: ClassVar = {"nus_wide": DAPHSettings()}

    def check(self, settings: DAPHSettings) -> None:
        if settings.gamma >= settings.alpha:
            raise InputError(
                f"gamma: found {settings.gamma} with alpha={settings.alpha}, expected less than alpha: the codes would "
                "never change"
            )

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> TwinBank:
        return TwinBank(strategy, len(labels), self.bits, self.seed)

    def loss(self, outputs: Tensors, batch: Tensors, bank: TwinBank) -> Terms:
        return self.side_loss("query", outputs, batch, bank)

    def side_loss(self, side: str, outputs: Tensors, batch: Tensors, bank: TwinBank) -> Terms:
        """Likelihood of the pairs within the batch under theta = <u, z> / 2, and regularisers of one side, all means."""
        s, labels = self.settings, batch["labels"]
        u, z = (tf.tanh(outputs[name]) for name in SIDES)
        own = {"query": u, "database": z}[side]
        size, bits = own.shape
        bank.write(side, batch["rows"], own)
        theta = losses.inner_products(u, z, 0.5)
        pairs = losses.pair_likelihood(theta, losses.similarity(labels, labels)) / size**2
        distance = losses.code_regression(own, bank.codes_of(side, batch["rows"])) / (size * bits)
        decorrelation, balance = losses.bit_correlation(own) / bits**2, losses.bit_balance(own) / bits
        total = pairs + s.alpha * distance + s.decorrelation * decorrelation + s.balance * balance
        return {
            "total": total,
            "pairs": pairs,
            "codes": distance,
            "decorrelation": decorrelation,
            "balance": balance,
        }
