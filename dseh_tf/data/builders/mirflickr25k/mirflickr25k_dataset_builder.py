"""TFDS builder of MIRFLICKR-25K; see README.md next to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from dseh_tf.data.readers.mirflickr25k import SOURCE, read_mirflickr


class Builder(tfds.core.GeneratorBasedBuilder):
    """The whole distribution as one split, read by `dseh_tf.data.readers.mirflickr25k` as the catalog reads it."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (the name and form TFDS reads)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Missing files: {SOURCE} and unpack them into
    `mirflickr25k/`: mirflickr/im1.jpg to im25000.jpg, mirflickr/meta/tags/tags1.txt to tags25000.txt,
    mirflickr/doc/common_tags.txt, mirflickr25k_annotations_v080/<class>.txt.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "labels": tfds.features.Tensor(shape=(24,), dtype=np.uint8),
                    "tags": tfds.features.Tensor(shape=(1386,), dtype=np.uint8),
                }
            ),
            supervised_keys=("image", "labels"),
            homepage="https://press.liacs.nl/mirflickr/",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {"full": self._generate_examples(Path(dl_manager.manual_dir))}

    def _generate_examples(self, manual_dir: Path) -> Iterator[tuple[int, dict]]:
        official = read_mirflickr(manual_dir)
        images = official.images(np.arange(len(official.names)))
        for row, name in enumerate(official.names.tolist()):
            yield (
                row,
                {
                    "id": name,
                    "image": images.paths[row],
                    "labels": official.labels[row],
                    "tags": official.tags[[row]].toarray()[0].astype(np.uint8),
                },
            )
