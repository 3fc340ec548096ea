"""TensorBoard: scalars, histograms, pictures and hyper-parameters of a run."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from dseh_tf.files import writing


class Summaries:
    """Writes event files into `folder`; with None every call does nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer = None if folder is None else tf.summary.create_file_writer(str(folder))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        if self._writer:
            with self._writer.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, float(value), step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        if self._writer:
            with self._writer.as_default():
                tf.summary.histogram(name, values, step)

    def curve(self, name: str, recall: np.ndarray, precision: np.ndarray, step: int) -> None:
        """A precision-recall curve, drawn as an image."""
        if not self._writer:
            return
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), dpi=100, layout="tight")
        canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
        axes.plot(recall, precision, marker="o", markersize=3)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        canvas.draw()
        with self._writer.as_default():
            tf.summary.image(name, np.asarray(canvas.buffer_rgba())[None, ..., :3], step)

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
        """Writes what is held back. Raises OSError where the disk is full.

        TensorFlow's writer drops an event that is larger than its buffer, a picture or a histogram, and reports nothing.
        """
        if self._folder is None or self._writer is None:
            return
        with writing(self._folder):
            self._writer.flush()
            if not shutil.disk_usage(self._folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
