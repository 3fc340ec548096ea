"""What asymmetric methods share: the training rows are the database, and each of them has a separate code.

The network encodes queries, and database rows that are added later. The codes of the training rows are variables of the
optimisation.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.label_vectors import check_similarities, distinct_rows
from dseh_tf.devices.runtime import Runtime
from dseh_tf.errors import InputError
from dseh_tf.methods.deep.base import DeepMethod
from dseh_tf.methods.deep.recipe import DeepRecipe
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.training.batches import TrainingRows, resident
from dseh_tf.training.optimizers import VariableGroup
from dseh_tf.training.recipe import Phase, Tensors, Terms


class AsymmetricRecipe(DeepRecipe):
    """One fit of an asymmetric method. A subclass has stages, the phase of a round, and `learned_codes`."""

    def __init__(self, method: DeepMethod, dataset: RetrievalDataset, runtime: Runtime) -> None:
        self.dataset = dataset
        self.order = database_rows(dataset)
        self.distinct = distinct_rows(dataset.train.labels)
        check_similarities(self.distinct)
        super().__init__(method, dataset, runtime)
        self.shared = {"inputs": resident(self.inputs.plain), "labels": resident(self.labels)}
        self.shared_twins = {"inputs": None if self.inputs.flipped is None else resident(self.inputs.flipped)}

    def rows(self, name: str, round_: int, subset: np.ndarray | None = None) -> TrainingRows:
        """Permutations of the training rows, or of some of them."""
        batch, flipped = self.method.settings.batch, self.shared_twins if self.inputs.mirrors else {}
        return TrainingRows(self.shared, batch, self.method.seed, name, round_, flipped, subset, permuted=True)

    def phase_of(
        self,
        rows: TrainingRows,
        epochs: int,
        forward: Callable[[Tensors], Tensors],
        loss: Callable[[Tensors, Tensors], Terms],
        groups: list[VariableGroup],
    ) -> Phase:
        """The phase of a round, one of many with `epochs` epochs. The learning rate decreases over all rounds."""
        s = self.method.settings

        def rate(epoch: int) -> float:
            return s.learning_rate * s.decay ** ((rows.round * epochs + epoch) // s.decay_epochs)

        return Phase(rows.phase, rows.round, rows, epochs, forward, loss, groups, rate, saved=False)

    @abc.abstractmethod
    def learned_codes(self) -> np.ndarray:
        """int8 ±1 [n, K], the codes of the training rows."""

    def fitted(self) -> ImageEncoder:
        self._last = self.phase()
        encoder = super().fitted()
        encoder.database_codes, encoder.database_ids = self.learned_codes()[self.order], self.dataset.database.ids
        return encoder


def database_rows(dataset: RetrievalDataset) -> np.ndarray:
    """int64 [n]: the training row that each database row is.

    Raises:
        InputError: The training rows are not the whole database, by id, or have other labels there; or no row has a label.
    """
    train, database = dataset.train, dataset.database
    known = np.isin(train.ids, database.ids)
    if not known.all() or len(train) != len(database):
        raise InputError(
            f"train rows: found {known.sum()} of the {len(database)} database rows and {(~known).sum()} others, expected "
            "the whole database and no others: an asymmetric method learns a code for each database row (--whole_database)"
        )
    if not database.labels.any():
        raise InputError(
            f"database labels: found none in the {len(database)} rows, expected some: an asymmetric method learns the "
            "database's codes from them"
        )
    place = np.argsort(train.ids, kind="stable")
    rows = place[np.searchsorted(train.ids, database.ids, sorter=place)]
    changed = (train.labels[rows] != database.labels).any(axis=1)
    if changed.any():
        row = int(np.argmax(changed))
        raise InputError(
            f"database labels: found labels that differ from the training rows in row {row} ({database.ids[row]}), expected "
            "the same"
        )
    return rows
