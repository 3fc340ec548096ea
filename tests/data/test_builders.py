"""The TFDS builders give what the catalog gives: each format has one parser, for TFDS's users and for ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset, load
from dseh_tf.data.readers import mirflickr25k, nus_wide
from tests.data import miniatures


def _records(kind: type, manual: Path, folder: Path) -> dict[str, dict]:
    """The records that a builder makes from an official distribution, by id; images stay encoded."""
    import tensorflow_datasets as tfds

    builder = kind(data_dir=folder)
    config = tfds.download.DownloadConfig(manual_dir=manual)
    builder.download_and_prepare(download_dir=folder / "downloads", download_config=config)
    rows = builder.as_dataset(split="full", decoders={"image": tfds.decode.SkipDecoding()})
    return {row["id"].decode(): row for row in tfds.as_numpy(rows)}


def _assert_rows_are(dataset: RetrievalDataset, records: dict[str, dict], columns: list[int]) -> None:
    for split in (dataset.query, dataset.database):
        for row, name in enumerate(split.ids.tolist()):
            np.testing.assert_array_equal(split.labels[row], records[name]["labels"][columns])
            np.testing.assert_array_equal(split.texts.toarray()[row], records[name]["tags"])
            assert split.images.paths[row].read_bytes() == records[name]["image"]


def test_nus_wide(tmp_path):
    from dseh_tf.data.builders.nus_wide.nus_wide_dataset_builder import Builder

    names, labels, tags = miniatures.write_nus_wide(tmp_path / "official", 120, 81, 1_000)
    records = _records(Builder, tmp_path / "official", tmp_path)
    assert list(records) == names
    np.testing.assert_array_equal([row["labels"] for row in records.values()], labels)
    np.testing.assert_array_equal([row["tags"] for row in records.values()], tags)
    dataset = load("nus_wide_10", data_dir=tmp_path / "official", queries=1, train_rows=2)
    _assert_rows_are(dataset, records, [int(name.removeprefix("concept")) for name in dataset.class_names])


def test_mirflickr25k(tmp_path):
    from dseh_tf.data.builders.mirflickr25k.mirflickr25k_dataset_builder import Builder

    labels, tags = miniatures.write_mirflickr(tmp_path / "official", 120, 24, 1_386)
    records = _records(Builder, tmp_path / "official", tmp_path)
    assert list(records) == [f"im{i}.jpg" for i in range(1, 121)]
    np.testing.assert_array_equal([row["labels"] for row in records.values()], labels)
    np.testing.assert_array_equal([row["tags"] for row in records.values()], tags)
    _assert_rows_are(
        load("mirflickr25k", data_dir=tmp_path / "official", queries=1, train_rows=2), records, list(range(24))
    )


@pytest.mark.parametrize(("name", "reader"), [("nus_wide", nus_wide), ("mirflickr25k", mirflickr25k)])
def test_a_builder_says_what_to_get_as_the_reader_does(name, reader):
    from importlib import import_module

    builder = import_module(f"dseh_tf.data.builders.{name}.{name}_dataset_builder").Builder
    assert reader.SOURCE in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
