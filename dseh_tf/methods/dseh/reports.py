"""Reports of a DSEH run: codes and MAP of labels after LabNet's phase, and of images after ImgNet's."""

from __future__ import annotations

from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.label_vectors import DistinctRows, distinct_rows
from dseh_tf.data.thumbnails import answer_sheet, thumbnails
from dseh_tf.devices.divided import evaluate_divided
from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.methods.dseh.networks import ImgNet, LabNet, Outputs
from dseh_tf.methods.image_encoder import ImageEncoder
from dseh_tf.retrieval import evaluate, pack, sign
from dseh_tf.retrieval.health import CodeHealth, code_health
from dseh_tf.training.health_watch import HealthWatch
from dseh_tf.training.recipe import Phase
from dseh_tf.training.trainer import Trainer

ADVICE = "try --preset=modern, a larger labnet_code_similarity and labnet_feature_similarity, or smaller learning rates"
_ENCODED_ROWS = 1 << 20  # database rows whose codes are not packed yet; a multiple of the batches


class Reports:
    """Numbers of both networks, in the trainer's notes and in TensorBoard.

    Attributes:
        solved: Whether label vectors of training rows have solved codes.
    """

    def __init__(
        self,
        dataset: RetrievalDataset,
        distinct: DistinctRows,
        labnet: LabNet,
        targets: LabelTargets,
        trainer: Trainer,
        solved: bool,
    ) -> None:
        self.dataset, self.distinct, self.labnet, self.targets = dataset, distinct, labnet, targets
        self.trainer, self.solved = trainer, solved
        self.watch = HealthWatch(ADVICE)

    # LabNet

    def label_outputs(self) -> Outputs:
        """LabNet on the distinct label vectors of the training rows; its codes are the solved ones if there are any."""
        out = self.labnet.outputs(self.distinct.vectors)
        return Outputs(out.features, self.targets.codes_array()) if self.solved else out

    def label_health(self, outputs: Outputs) -> CodeHealth:
        """Of LabNet's codes and features of the distinct training label vectors."""
        return code_health(outputs.signs, self.distinct.vectors, features=outputs.features)

    def label_numbers(self) -> dict[str, Any]:
        """n_h and map_l, as in Table 2 of the paper."""
        data = self.dataset
        rest = data.database.take(~data.database_is_train())
        where, rest = ("database_minus_train", rest) if len(rest) else ("database", data.database)
        report = evaluate_divided(
            self.trainer.runtime.workers,
            self._label_codes(data.query.labels),
            self._label_codes(rest.labels),
            data.query.labels,
            rest.labels,
        )
        return {
            "map_labels": float(report.map),
            "map_labels_database": where,
            "distinct_label_codes": len(np.unique(self._label_codes(data.train.labels), axis=0)),
            "distinct_label_vectors": len(self.distinct.vectors),
        }

    def _label_codes(self, labels: np.ndarray) -> np.ndarray:
        """int8 ±1 [n, K]: LabNet's signs, and of training label vectors the solved codes if there are any."""
        rows = distinct_rows(labels)
        codes = self.labnet.signs(rows.vectors)
        if self.solved:
            solved = dict(zip(map(bytes, self.distinct.vectors), sign(self.targets.codes_array()), strict=True))
            codes = np.stack(
                [solved.get(bytes(vector), code) for vector, code in zip(rows.vectors, codes, strict=True)]
            )
        return codes[rows.index]

    def label_epoch(self, phase: Phase, epoch: int, every: int) -> None:
        """During LabNet's phase: its numbers every `every` epochs (0 for never), and a check of its codes."""
        with self.trainer.aside():
            if every and epoch % every == 0:
                found = self.label_numbers()
                entry = {"round": phase.round, "epoch": epoch, **found}
                self.trainer.notes.setdefault("label_epochs", []).append(entry)
                logging.info("round %d, epoch %d: %s", phase.round, epoch, found)
            self.watch.check(phase, epoch, self.label_health(self.label_outputs()), label_codes=True)

    def label_round(self, round_: int) -> None:
        """After LabNet's phase."""
        with self.trainer.aside():
            found, write = self.label_numbers(), self.trainer.summaries
            write.scalars({"round/map_l": found["map_labels"], "round/n_h": found["distinct_label_codes"]}, round_)
            labels = self.label_outputs()
            write.histogram("labnet/code", labels.activations[self.distinct.index], round_)
            self._write_health("labnet", self.label_health(labels), round_)
        self._note(round_, {"round": round_, **found})

    # ImgNet

    def image_health(self, outputs: Outputs) -> CodeHealth:
        """Of ImgNet's codes and features of the training images."""
        return code_health(outputs.signs, self.dataset.train.labels, features=outputs.features)

    def image_round(self, phase: Phase, imgnet: ImgNet, evaluated: bool) -> None:
        """After ImgNet's phase; `evaluated`: its MAP as well."""
        round_, data, write = phase.round, self.dataset, self.trainer.summaries
        with self.trainer.aside():
            outputs, encode = imgnet.outputs(), imgnet.encoder.encode
            health = self.image_health(outputs)
            self.watch.check(phase, phase.epochs, health)
            self._write_health("train", health, round_)
            if not evaluated:
                return
            workers = self.trainer.runtime.workers
            labels = data.query.labels, data.database.labels
            if workers.count > 1:
                query, database = encode(data.query), encode(data.database)
                report = evaluate_divided(workers, query, database, *labels)
            else:
                # Packed part by part: only one part's ±1 codes are in memory.
                begins = range(0, len(data.database), _ENCODED_ROWS)
                parts = (data.database.part(slice(begin, begin + _ENCODED_ROWS)) for begin in begins)
                query, database = encode(data.query), np.concatenate([pack(encode(part)) for part in parts])
                report = evaluate(query, database, *labels, query.shape[1])
            write.scalars({"round/map_i": report.map}, round_)
            write.precision_recall("round/precision_recall", report.counts, round_)
            if write.written and data.has_images:
                write.picture("round/nearest", answer_sheet(thumbnails(data, query, database), data), round_)
            write.histogram("imgnet/logits", outputs.activations, round_)
        self._note(round_, {"map": float(report.map)})

    def complete(self, fitted: ImageEncoder, imgnet: ImgNet | None) -> None:
        """After the last stage: gives the fitted method its results, health and semantic features."""
        trainer, labels = self.trainer, self.label_outputs()
        fitted.train_seconds, fitted.traces, fitted.labnet = trainer.seconds, trainer.traces, self.labnet.network
        rounds = [{k: v for k, v in report.items() if k != "images"} for report in trainer.notes["rounds"]]
        fitted.results = {"rounds": rounds, **{k: v for k, v in rounds[-1].items() if k not in ("round", "map")}}
        if trainer.notes.get("label_epochs"):
            fitted.results["label_epochs"] = trainer.notes["label_epochs"]
        fitted.advice, fitted.health["labnet"] = ADVICE, self.label_health(labels)
        features = {
            "labnet": labels.features.astype(np.float16)[self.distinct.index],
            "train_ids": self.dataset.train.ids,
        }
        if imgnet:
            images = imgnet.outputs()
            fitted.health["train"] = self.image_health(images)
            features["imgnet"] = images.features.astype(np.float16)
        fitted.arrays["semantic_features"] = features
        trainer.summaries.flush()

    def _write_health(self, name: str, health: CodeHealth, round_: int) -> None:
        self.trainer.summaries.scalars({f"health/{name}/{k}": v for k, v in health.scalars().items()}, round_)

    def _note(self, round_: int, found: dict[str, Any]) -> None:
        """Adds to the report of a round. A report that is made again after a restart replaces the first."""
        reports = self.trainer.notes.setdefault("rounds", [])
        reports[round_:] = [{**(reports[round_] if round_ < len(reports) else {}), **found}]
        numbers = {name: value for name, value in found.items() if isinstance(value, int | float) and name != "round"}
        shown = (
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items()
        )
        logging.info("round %d: %s", round_, ", ".join(shown))
