"""DSEH: Li et al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018. Release: lelan-li/DSEH at b40990a."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.label_vectors import check_similarities, distinct_rows
from dseh_tf.devices.runtime import Runtime
from dseh_tf.methods.dseh.label_codes import CodeTargets, LabelEmbedding, solve_label_codes, unit_rows
from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.methods.dseh.losses import imgnet_loss, labnet_loss
from dseh_tf.methods.dseh.networks import ImgNet, LabNet
from dseh_tf.methods.dseh.preset_method import PresetMethod
from dseh_tf.methods.dseh.reports import Reports
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.methods.trained import TrainedMethod
from dseh_tf.seeding import bank_seed
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.batches import TrainingRows
from dseh_tf.training.recipe import Phase, Recipe, Stage, Work
from dseh_tf.training.trainer import Trainer


class DSEHRecipe(Recipe[ImageEncoder]):
    """Algorithm 1: LabNet and ImgNet are trained in turns.

    In every round, LabNet learns from labels and its memory; an inference pass gives its features and sign codes of the
    training labels; ImgNet learns from both; and ImgNet's features and signs become LabNet's memory for the next round.
    Weights and optimiser slots carry over between rounds. The memory is the only influence of ImgNet on LabNet
    (lelan-li/DSEH:DSEH.py:train_label).
    """

    def __init__(self, method: DSEH, dataset: RetrievalDataset, runtime: Runtime) -> None:
        s = self.settings = method.settings
        self.bits, self.seed, self.dataset, self.runtime = method.bits, method.seed, dataset, runtime
        self.labels = dataset.train.labels.astype(np.float32)
        self.distinct = distinct_rows(dataset.train.labels)
        check_similarities(self.distinct)
        self.labnet = LabNet(dataset.classes, self.bits, s, self.seed, runtime)
        self.imgnet: ImgNet | None = None
        if method.needs_images:
            self.imgnet = ImgNet(dataset, self.bits, s, self.seed, method.trunk, runtime)
        # Not in the strategy's scope, which would mirror each replica's copy of the banks onto all replicas.
        dim, bits = (s.feature_dim, self.bits) if s.reads_banks else (0, 0)
        self.memory = SemanticMemory(runtime.strategy, dataset.train.labels, dim, bits)
        self.targets = LabelTargets(runtime.strategy, self.distinct, s.feature_dim, self.bits)
        self.trainer = Trainer(runtime, self.tracked, self.seed, self.spread)
        solved = s.label_codes == "solved"
        self.reports = Reports(dataset, self.distinct, self.labnet, self.targets, self.trainer, solved)

    def stages(self) -> Iterator[Stage]:
        for round_ in range(self.settings.rounds):
            yield Work("memory", round_, partial(self.open_round, round_))
            yield self.labnet_phase(round_)
            yield Work("labnet_report", round_, partial(self.reports.label_round, round_))
            if self.imgnet:
                yield Work("targets", round_, self.teach, derived=True)
                yield (phase := self.imgnet_phase(round_))
                report = partial(self.reports.image_round, phase, self.imgnet, self.runtime.evaluate_rounds)
                yield Work("imgnet_report", round_, report)

    def open_round(self, round_: int) -> None:
        """Fills LabNet's memory; in round 0 also solves the label codes if `label_codes` is "solved"."""
        s = self.settings
        if s.reads_banks and (round_ == 0 or s.bank_reinit == "random"):
            self.memory.fill_normal(bank_seed(self.seed, round_))
        elif s.reads_banks and s.bank_reinit == "imgnet":
            assert self.imgnet
            images = self.imgnet.outputs(keep_mean=not s.bank_reinit_mean_subtract)
            self.memory.fill(images.features, images.signs)
        if s.label_codes == "solved" and round_ == 0:
            train = self.dataset.train
            if self.imgnet and train.features is not None:
                embedded = LabelEmbedding(train.features, train.labels)(self.distinct.vectors)
            else:  # no image is known before training: near are vectors with many labels in common
                embedded = unit_rows(self.distinct.vectors)
            wanted = CodeTargets(s.code_similarity, s.code_affinity, s.code_distance, s.code_class_balance)
            self.targets.fill_codes(solve_label_codes(self.distinct, self.bits, wanted, embedded, seed=self.seed))

    def labnet_phase(self, round_: int) -> Phase:
        s = self.settings
        phase = Phase(
            name="labnet",
            round=round_,
            rows=TrainingRows({"labels": self.labels}, s.labnet_batch, self.seed, "labnet", round_, {}),
            epochs=s.labnet_epochs[round_],
            forward=lambda batch: self.labnet.network(batch["labels"], training=True),
            loss=partial(labnet_loss, s, self.memory, self.targets),
            groups=self.labnet.groups,
            learning_rate=lambda epoch: s.labnet_learning_rate * self._decay(epoch, round_),
            on_epoch=lambda done: self.reports.label_epoch(phase, done, self.runtime.label_report_epochs),
        )
        return phase

    def teach(self) -> None:
        """Sets LabNet's features and codes as the targets of ImgNet."""
        learnt = self.reports.label_outputs()
        self.targets.fill(learnt.features, learnt.signs)

    def imgnet_phase(self, round_: int) -> Phase:
        assert self.imgnet
        s, steps = self.settings, max(1, len(self.labels) // self.settings.imgnet_batch)
        epochs = s.imgnet_epochs[round_] and max(s.imgnet_epochs[round_], math.ceil(s.imgnet_least_steps / steps))

        def decay(epoch: int) -> float:
            if s.imgnet_schedule == "steps":
                return self._decay(epoch, round_)
            return 10.0 ** (-0.5 * round_) * 0.5 * (1.0 + math.cos(math.pi * (epoch + 0.5) / epochs))

        return Phase(
            name="imgnet",
            round=round_,
            rows=self.imgnet.rows(self.labels, s.imgnet_batch, self.seed, round_),
            epochs=epochs,
            forward=self.imgnet.forward,
            loss=partial(imgnet_loss, s, self.targets),
            groups=self.imgnet.groups,
            learning_rate=lambda epoch: s.imgnet_learning_rate * decay(epoch),
        )

    def _decay(self, epoch: int, round_: int) -> float:
        """10^-(idx / 2), idx = floor(epoch / 10) + round, as in lelan-li/DSEH:DSEH.py."""
        return 10.0 ** (-0.5 * (epoch // self.settings.decay_epochs + round_))

    @property
    def tracked(self) -> dict[str, object]:
        tracked = {**self.labnet.tracked, **(self.imgnet.tracked if self.imgnet else {}), **self.memory.checkpointed()}
        return tracked | (self.targets.checkpointed() if self.settings.label_codes == "solved" else {})

    def spread(self) -> None:
        self.memory.spread()
        self.targets.spread()

    def fitted(self) -> ImageEncoder:
        fitted = self.imgnet.encoder if self.imgnet else ImageEncoder(self.bits, None, None, self.runtime)
        self.reports.complete(fitted, self.imgnet)
        return fitted


class DSEH(PresetMethod, TrainedMethod[DSEHRecipe, ImageEncoder]):
    """LabNet and ImgNet, trained in turns: `DSEH(bits=32, seed=0).fit(dataset)`."""

    name = "dseh"
    Recipe = DSEHRecipe
