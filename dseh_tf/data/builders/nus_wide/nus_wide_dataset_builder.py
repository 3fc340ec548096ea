"""TFDS builder of NUS-WIDE; see README.md next to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from dseh_tf.data.readers.nus_wide import SOURCE, find_images, read_nus_wide, stream_tags


class Builder(tfds.core.GeneratorBasedBuilder):
    """The whole distribution as one split, read by `dseh_tf.data.readers.nus_wide` as the catalog reads it."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (the name and form TFDS reads)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Missing files: {SOURCE} and unpack it into `nus_wide/`:
    ImageList/Imagelist.txt, ConceptsList/Concepts81.txt, Groundtruth/AllLabels/Labels_<concept>.txt (81 files),
    NUS_WID_Tags/TagList1k.txt and AllTags1k.txt; the photographs, fetched by their addresses in NUS-WIDE-urls, as
    Flickr/<category>/<nnnn>_<flickrid>.jpg or images/<nnnn>_<flickrid>.jpg.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "labels": tfds.features.Tensor(shape=(81,), dtype=np.uint8),
                    "tags": tfds.features.Tensor(shape=(1000,), dtype=np.uint8),
                }
            ),
            supervised_keys=("image", "labels"),
            homepage="https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {"full": self._generate_examples(Path(dl_manager.manual_dir))}

    def _generate_examples(self, manual_dir: Path) -> Iterator[tuple[int, dict]]:
        official = read_nus_wide(manual_dir)
        images = find_images(official, np.arange(len(official.names)))
        for first, tags in stream_tags(official):
            for row in range(first, first + len(tags)):
                yield (
                    row,
                    {
                        "id": str(official.names[row]),
                        "image": images.paths[row],
                        "labels": official.labels[row],
                        "tags": tags[row - first],
                    },
                )
