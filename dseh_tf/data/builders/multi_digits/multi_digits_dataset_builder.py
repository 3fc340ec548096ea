"""TFDS builder of multi_digits; see README.md next to it."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dseh_tf.data.builders.multi_digits import compose


class Builder(tfds.core.GeneratorBasedBuilder):
    """Digits on canvases: made from a fixed seed, no download."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (the name and form TFDS reads)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(compose.CANVAS, compose.CANVAS, 3), encoding_format="png"),
                    "labels": tfds.features.Tensor(shape=(compose.CLASSES,), dtype=np.uint8),
                    "text": tfds.features.Tensor(shape=(len(compose.VOCABULARY),), dtype=np.float32),
                }
            ),
            supervised_keys=("image", "labels"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        self._compose = functools.cache(compose.compose)  # the training rows are database rows, painted once
        return {
            "train": self._generate_examples("database", compose.TRAIN),
            "query": self._generate_examples("query", compose.SIZES["query"]),
            "database": self._generate_examples("database", compose.SIZES["database"]),
        }

    def _generate_examples(self, part: str, count: int) -> Iterator[tuple[int, dict]]:
        for row in range(count):
            canvas = self._compose(part, row)
            yield row, {"id": canvas.id, "image": _png(canvas.image), "labels": canvas.labels, "text": canvas.text}


def _png(image: np.ndarray) -> io.BytesIO:
    """Encoded by Pillow: TFDS would run a TensorFlow operation an image, several times slower."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG", compress_level=1)
    data.seek(0)
    return data
