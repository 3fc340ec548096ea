"""TensorBoard: scalars, histograms, PR curves, pictures and hyper-parameters of a run."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from dseh_tf.files import writing
from dseh_tf.retrieval.counts import Counts
from dseh_tf.retrieval.metrics import precision_recall


class Summaries:
    """Writes event files into `folder`; with None every call does nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer = None if folder is None else tf.summary.create_file_writer(str(folder))

    @property
    def written(self) -> bool:
        """Whether anything is written."""
        return self._writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        if self._writer:
            with self._writer.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, float(value), step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        if self._writer:
            with self._writer.as_default():
                tf.summary.histogram(name, values, step)

    def precision_recall(self, name: str, counts: Counts, step: int) -> None:
        """A curve for TensorBoard's PR-curve page: a point for each Hamming radius 0..K, all queries pooled.

        The page has thresholds in [0, 1]. An item at distance d from its query is positive at threshold t if
        d <= K (1 - t).
        """
        if not self._writer:
            return
        from tensorboard.plugins.pr_curve.summary import raw_data_pb

        recall, precision = precision_recall(counts)
        hits, retrieved = (np.cumsum(part.sum(axis=0)) for part in (counts.relevant, counts.total))
        wrong = retrieved - hits
        columns = (hits, wrong, wrong[-1] - wrong, hits[-1] - hits, precision, recall)
        # No radius that retrieves nothing is drawn; NaN would not be valid JSON.
        told = [np.nan_to_num(column[::-1].astype(np.float32)) for column in columns]
        text = f"One point for each Hamming radius 0 to {counts.bits}; threshold t is radius {counts.bits} (1 - t)."
        proto = raw_data_pb(name, *told, num_thresholds=counts.bits + 1, description=text)
        with self._writer.as_default():
            tf.summary.experimental.write_raw_pb(proto.SerializeToString(), step)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """An image uint8 [height, width, 3]."""
        if self._writer:
            with self._writer.as_default():
                tf.summary.image(name, image[None], step)

    def hparams(self, values: Mapping[str, object], metrics: Mapping[str, float]) -> None:
        """The run's settings and its final numbers, for TensorBoard's HParams page."""
        if not self._writer:
            return
        from tensorboard.plugins.hparams import api

        plain = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in values.items()}
        with self._writer.as_default():
            api.hparams(plain)
            for name, value in metrics.items():
                tf.summary.scalar(name, float(value), 0)

    def flush(self) -> None:
        """Flushes the event file. Raises OSError if the disk is full.

        TensorFlow's writer drops an event that is larger than its buffer, a picture or a histogram, and reports nothing.
        """
        if self._folder is None or self._writer is None:
            return
        with writing(self._folder):
            self._writer.flush()
            if not shutil.disk_usage(self._folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
