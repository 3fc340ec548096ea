"""TFDS's own test on a hundredth of the rows: registration, metadata, splits, no image in two splits but train.

The whole data set is built, and its contents checked, in tests/data/test_catalog.py.
"""

from unittest import mock

import tensorflow_datasets as tfds

from dseh_tf.data.builders.multi_digits import compose, multi_digits_dataset_builder


class MultiDigitsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = multi_digits_dataset_builder.Builder
    SPLITS = {"train": 20, "query": 5, "database": 50}  # noqa: RUF012
    OVERLAPPING_SPLITS = ["train"]  # noqa: RUF012 (the training rows are database rows; queries are nowhere else)
    SKIP_TF1_GRAPH_MODE = True

    def setUp(self):
        compose.compose("query", 0)  # scikit-learn reads its file before the test forbids `open`
        small = mock.patch.multiple(compose, SIZES={"query": 5, "database": 50}, TRAIN=20)
        small.start()
        self.addCleanup(small.stop)
        super().setUp()


if __name__ == "__main__":
    tfds.testing.test_main()
