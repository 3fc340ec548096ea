"""TFDS's own test on dummy_data, a miniature in the official format (`python -m tests.data.miniatures` writes it)."""

import tensorflow_datasets as tfds

from dseh_tf.data.builders.mirflickr25k import mirflickr25k_dataset_builder


class MirFlickrTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = mirflickr25k_dataset_builder.Builder
    SPLITS = {"full": 8}  # noqa: RUF012
    SKIP_TF1_GRAPH_MODE = True
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the readers serve the catalog too and read local files with pathlib


if __name__ == "__main__":
    tfds.testing.test_main()
