"""TFDS's own test on dummy_data, a miniature in the official format (`python -m tests.data.miniatures` writes it)."""

import tensorflow_datasets as tfds

from dseh_tf.data.builders.nus_wide import nus_wide_dataset_builder


class NusWideTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = nus_wide_dataset_builder.Builder
    SPLITS = {"full": 10}  # noqa: RUF012
    SKIP_TF1_GRAPH_MODE = True
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the readers serve the catalog too and read local files with pathlib


if __name__ == "__main__":
    tfds.testing.test_main()
