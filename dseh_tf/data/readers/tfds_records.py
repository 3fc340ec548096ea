"""Reads data sets that TFDS has prepared, with random access to their encoded images.

TFDS reads its TFRecord files only in order. Here they are scanned once, and an index file stores where each record is
and its small features (ids, labels). Images are then read from the records one at a time and in any order, so that no
data set is held in memory or written a second time. TensorFlow is imported inside the functions.

A TFRecord is a length (uint64), its checksum (4 bytes), the record, its checksum (4 bytes)
(tensorflow/tensorflow:tensorflow/core/lib/io/record_writer.h); checksums are not verified.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.decoding import decode_bytes
from dseh_tf.errors import InputError
from dseh_tf.files import check_regular, read_npz, replacing

_COLUMNS = ("shard", "offset", "length", "ids", "labels", "label_counts")


@dataclass(frozen=True)
class RecordImages:
    """Encoded images inside TFRecord files. shard, offset, length: int64 [n], where each row's record lies."""

    files: tuple[Path, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    names: np.ndarray
    feature: str = "image"

    def __len__(self) -> int:
        return len(self.shard)

    def take(self, rows: np.ndarray) -> RecordImages:
        return RecordImages(
            self.files, self.shard[rows], self.offset[rows], self.length[rows], self.names[rows], self.feature
        )

    def read(self, row: int) -> np.ndarray:
        file = self.files[int(self.shard[row])]
        check_regular(file, "a TFRecord file")
        with file.open("rb") as stream:
            stream.seek(int(self.offset[row]))
            record = stream.read(int(self.length[row]))
        if len(record) != self.length[row]:
            raise InputError(f"{file}: found a truncated file, expected the record of {self.names[row]}")
        image = _example(record, file).features.feature[self.feature].bytes_list.value
        if len(image) != 1:
            raise InputError(
                f"{file}: feature {self.feature!r}: found {len(image)} images in the record of {self.names[row]}, expected one"
            )
        return decode_bytes(image[0], str(self.names[row]), str(file))

    def fingerprint(self) -> str:
        digest = hashlib.sha256(_stamp(self.files).encode())
        digest.update(np.stack([self.shard, self.offset]).astype(np.int64).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Records:
    """One split. ids: unicode [n]. labels: int64 class ids [n] (-1: no label), or uint8 multi-hot [n, c]."""

    ids: np.ndarray
    labels: np.ndarray
    images: RecordImages
    class_names: tuple[str, ...]


def read_split(
    builder: Any, split: str, id_feature: str | None, label_feature: str = "label", unlabelled_ok: bool = False
) -> Records:
    """Ids, labels and images of a split, by its index (made on first use, next to TFDS's files).

    id_feature: None numbers the images `<split>/<row>`. label_feature: a class id, or a list of them in a sequence of
    objects (`objects/label`), which becomes multi-hot. unlabelled_ok: class ids of -1, which are TFDS's "no label",
    are returned as they are.
    Raises InputError on a missing split, a file truncated or unlike its checked length, and an id that occurs twice.
    """
    if split not in builder.info.splits:
        raise InputError(f"{builder.data_dir}: found splits {', '.join(builder.info.splits)}, expected {split!r}")
    files = tuple(Path(file) for file in builder.info.splits[split].filepaths)
    index = _index(Path(builder.data_dir), split, files, id_feature, label_feature)
    if len(index["shard"]) != builder.info.splits[split].num_examples:
        raise InputError(
            f"{files[0]}: found {len(index['shard']):,} records of {split!r}, "
            f"expected {builder.info.splits[split].num_examples:,}"
        )
    ids = index["ids"] if id_feature else np.array([f"{split}/{row}" for row in range(len(index["shard"]))])
    if len(set(ids.tolist())) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise InputError(f"{files[0]}: found {values[counts > 1][0]} twice in {split!r}, expected each id once")
    feature: Any = builder.info.features
    for name in label_feature.split("/"):
        feature = getattr(feature, "feature", feature)[name]
    counts = index["label_counts"]
    if "/" in label_feature:
        labels = np.zeros((len(counts), feature.num_classes), np.uint8)
        labels[np.repeat(np.arange(len(counts)), counts), index["labels"]] = 1
    else:
        labels = index["labels"]
        wrong = (counts != 1).any() or not ((labels >= -1) & (labels < feature.num_classes)).all()
        missing = int((labels < 0).sum())
        if wrong or (missing and not unlabelled_ok):
            found = (
                "images without one label"
                if wrong
                else f"{missing:,} of {len(labels):,} images of {split!r} without one label"
            )
            raise InputError(f"{files[0]}: found {found} of {feature.num_classes}, expected one each")
    images = RecordImages(files, index["shard"], index["offset"], index["length"], ids)
    return Records(ids, labels, images, tuple(feature.names))


def read_splits(builder: Any, parts: tuple[str, ...], id_feature: str | None, label_feature: str) -> Records:
    """Several splits as one, in that order. Arguments and errors are as in `read_split` and `join`."""
    return join([read_split(builder, part, id_feature, label_feature) for part in parts])


def join(splits: list[Records]) -> Records:
    """Several splits of one data set as one, in that order. Raises InputError on an id that is in two of them."""
    ids = np.concatenate([split.ids for split in splits])
    if len(set(ids.tolist())) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise InputError(
            f"{splits[0].images.files[0].parent}: found {values[counts > 1][0]} in two splits, expected one"
        )
    first = np.cumsum([0] + [len(split.images.files) for split in splits])
    images = RecordImages(
        tuple(file for split in splits for file in split.images.files),
        np.concatenate([split.images.shard + start for split, start in zip(splits, first, strict=False)]),
        np.concatenate([split.images.offset for split in splits]),
        np.concatenate([split.images.length for split in splits]),
        ids,
        splits[0].images.feature,
    )
    return Records(ids, np.concatenate([split.labels for split in splits]), images, splits[0].class_names)


def _index(folder: Path, split: str, files: tuple[Path, ...], id_feature: str | None, label_feature: str) -> dict:
    """The scanned split, from its index file if that belongs to the same records."""
    stamp = _stamp(files) + json.dumps([id_feature, label_feature])
    file = folder / f"index-{split}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.npz"
    if file.is_file():
        try:
            return _read_index(file)
        except InputError as error:
            logging.warning("%s; the records are indexed again", error)
    columns: dict[str, list] = {name: [] for name in _COLUMNS}
    size = sum(path.stat().st_size for path in files)
    with tqdm(total=size, unit="B", unit_scale=True, desc=f"indexing {split}", disable=size < 1 << 26) as bar:
        for shard, path in enumerate(files):
            for offset, record in _scan(path):
                feature = _example(record, path).features.feature
                labels = feature[label_feature].int64_list.value
                columns["shard"].append(shard)
                columns["offset"].append(offset)
                columns["length"].append(len(record))
                columns["label_counts"].append(len(labels))
                columns["labels"].extend(labels)
                if id_feature:
                    value = feature[id_feature]
                    numbers = value.int64_list.value
                    texts = value.bytes_list.value
                    if not numbers and not texts:
                        raise InputError(
                            f"{path}: found a record without {id_feature!r}, expected an id in each record"
                        )
                    columns["ids"].append(str(numbers[0]) if numbers else texts[0].decode(errors="backslashreplace"))
                bar.update(len(record) + 16)
    index = {name: np.array(values, str if name == "ids" else np.int64) for name, values in columns.items()}
    try:
        with replacing(file) as temporary:
            np.savez(temporary, **index)  # type: ignore[arg-type]  # numpy types its own keywords alone
    except OSError as error:  # a folder that others own, or a full disk
        logging.warning(
            "%s: the index cannot be kept (%s); the records are scanned at every start", file, error.strerror
        )
    return index


def _read_index(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an index. Raises InputError if they do not fit each other."""
    index = read_npz(file, _COLUMNS)
    n, counts = len(np.atleast_1d(index["shard"])), index["label_counts"]
    for name, array in index.items():
        kind, rows = ("U" if name == "ids" else "i"), {"ids": (0, n), "labels": (int(counts.sum()),)}.get(name, (n,))
        if array.dtype.kind != kind or array.ndim != 1 or len(array) not in rows:
            raise InputError(f"{file}: {name}: found {array.dtype} {list(array.shape)}, expected one value per record")
    return index


def _scan(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, bytes) of each record."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        while header := stream.read(12):
            offset = stream.tell()
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if offset + length + 4 > size:
                raise InputError(f"{path}: found a TFRecord file truncated at byte {size:,}, expected a complete file")
            record = stream.read(length)
            stream.seek(4, os.SEEK_CUR)
            yield offset, record


def _example(record: bytes, path: Path) -> Any:
    import tensorflow as tf

    try:
        return tf.train.Example.FromString(record)
    except Exception:  # protobuf's DecodeError, of whichever implementation is installed
        raise InputError(f"{path}: found a damaged record, expected a tf.train.Example") from None


def _stamp(files: tuple[Path, ...]) -> str:
    """Of names, sizes and times of change. Raises InputError on a file that is missing or not a regular one."""
    for path in files:
        check_regular(path, "a TFRecord file")
    return json.dumps([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
