"""MIRFLICKR-25K as distributed by DCMH: `FLICKR-25K.mat`, an HDF5 file of 20,015 images with tags and labels.

On disk: `images` uint8 (N, 3, W, H), `YAll` (1386, N) of tags, `LAll` (24, N) of labels (jiangqy/DCMH-CVPR2017). The names of
tags and classes are not in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from dseh_tf.data.readers.mat_files import check_shape, dataset_of, open_hdf5
from dseh_tf.data.texts import text_rows
from dseh_tf.errors import InputError

FILE = "FLICKR-25K.mat"
_BLOCK = 2048  # rows of a matrix that are dense at a time


@dataclass(frozen=True)
class MatImages:
    """Images of a MATLAB 7.3 file, read one at a time.

    Attributes:
        file: With the dataset `images`, uint8 (N, 3, W, H).
        rows: int64 [n], the image of every row.
    """

    file: Path
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> MatImages:
        return MatImages(self.file, self.rows[rows])

    def read(self, row: int) -> np.ndarray:
        with open_hdf5(self.file) as stored:
            return np.ascontiguousarray(stored["images"][int(self.rows[row])].transpose(2, 1, 0))

    def fingerprint(self) -> str:
        """Of path, size and time of change, and the rows."""
        stat = self.file.stat()
        digest = hashlib.sha256(f"{self.file.absolute()}\0{stat.st_size} {stat.st_mtime_ns}\n".encode())
        digest.update(np.ascontiguousarray(self.rows, np.int64).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Flickr25kMat:
    """The content of the file: images of n rows, labels uint8 [n, c], tags sparse float32 [n, t]."""

    images: MatImages
    labels: np.ndarray
    tags: sparse.csr_array


def read_flickr25k_mat(file: Path) -> Flickr25kMat:
    """Reads labels and tags; images stay in the file.

    Raises InputError on a file of a different format, a dataset that is missing, of a different shape or with a different number of
    rows, and a label that is not 0 or 1.
    """
    with open_hdf5(file) as stored:
        images, tags, labels = (dataset_of(stored, file, name) for name in ("images", "YAll", "LAll"))
        check_shape(file, "images", images, (None, 3, None, None))
        if images.dtype != np.uint8:
            raise InputError(f"{file}: images: found {images.dtype}, expected uint8")
        n = images.shape[0]
        for name, matrix in (("YAll", tags), ("LAll", labels)):
            check_shape(file, name, matrix, (None, None))
            if matrix.shape[1] != n:
                raise InputError(f"{file}: {name}: found {matrix.shape[1]:,} rows, expected {n:,}, one per image")
        found = labels[()].T
        if not np.isin(found, (0, 1)).all():
            value = found[~np.isin(found, (0, 1))].flat[0]
            raise InputError(f"{file}: LAll: found the value {value}, expected 0 or 1")
        blocks = [text_rows(tags[:, first : first + _BLOCK].T, f"{file}: YAll") for first in range(0, n, _BLOCK)]
    return Flickr25kMat(MatImages(file, np.arange(n)), found.astype(np.uint8), sparse.vstack(blocks, format="csr"))
