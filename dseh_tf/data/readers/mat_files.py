"""Reads arrays from MATLAB files of both formats: 5 (with scipy) and 7.3 (HDF5, with h5py).

Neither the suffix nor the text in the header identifies the format; the signature does. HDF5 files have reversed axes:
a matrix [H, W, 3, N] is a dataset (N, 3, W, H). An empty matrix is a dataset of its sizes with the attribute
MATLAB_empty.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.arrays import shown
from dseh_tf.data.files import check_regular
from dseh_tf.errors import InputError
from dseh_tf.files.child import read_in_child
from dseh_tf.files.read import reason

_HDF5 = b"\x89HDF\r\n\x1a\n"


def mat_format(file: Path) -> str:
    """ "hdf5" or "5". Raises InputError on a file that is neither."""
    check_regular(file, "a MATLAB file")
    with file.open("rb") as stream:
        head = stream.read(520)
    if head[:8] == _HDF5 or head[512:520] == _HDF5:
        return "hdf5"
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return "5"
    raise InputError(f"{file}: found neither the MATLAB 5 nor the HDF5 signature, expected a MATLAB file")


def read_mat(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays with their axes as MATLAB shows them, from either format.

    Raises:
        InputError: A file that is missing, damaged or not of MATLAB, or that lacks one of the arrays.
    """
    if mat_format(file) == "hdf5":
        with open_hdf5(file) as stored:
            return {name: _matrix(dataset_of(stored, file, name)) for name in names}
    head, _, held = read_in_child(file, _CHILD, *names, expected="a MATLAB 5 file").partition(b"\n")
    described = json.loads(head)
    if "error" in described:
        raise InputError(described["error"])
    found, start = {}, 0
    for name, (kind, shape) in described.items():
        count = math.prod(shape)
        found[name] = np.frombuffer(held, kind, count, start).reshape(shape).copy()
        start += found[name].nbytes
    return found


# What a separate process runs: a damaged file can crash scipy's reader.
_CHILD = "import sys; from dseh_tf.data.readers.mat_files import send; send(*sys.argv[1:])"


def send(path: str, *names: str) -> None:
    """Writes the named arrays of a MATLAB 5 file, or the line on what is wrong, to standard output: JSON, then the arrays."""
    arrays: dict[str, np.ndarray] = {}
    try:
        arrays = _read_here(Path(path), names)
        head: dict[str, Any] = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    except InputError as error:
        head = {"error": str(error)}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for array in arrays.values():
        sys.stdout.buffer.write(np.ascontiguousarray(array).tobytes())


def _read_here(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    try:
        found = loadmat(file, variable_names=list(names))
    except Exception as error:  # scipy raises errors of many kinds on damaged files
        raise InputError(f"{file}: cannot be read ({reason(error)[:80]}), expected a MATLAB 5 file") from None
    for name in names:
        array = found.get(name)
        if not isinstance(array, np.ndarray):
            raise InputError(f"{file}: found no {name}, expected the arrays {', '.join(names)}")
        if array.dtype.kind not in "biuf":
            raise InputError(f"{file}: {name}: found {shown(array)}, expected numbers")
    return {name: found[name] for name in names}


@contextmanager
def open_hdf5(file: Path) -> Iterator[Any]:
    """The file, open for reading. Raises InputError if it has the other format, or if reading it in the block fails."""
    if mat_format(file) != "hdf5":
        raise InputError(f"{file}: found a MATLAB 5 file, expected HDF5 (MATLAB 7.3)")
    import h5py

    try:
        with h5py.File(file, "r") as stored:
            yield stored
    except InputError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and others on damaged files
        raise InputError(f"{file}: cannot be read ({reason(error)[:80]}), expected an HDF5 file") from None


def dataset_of(stored: Any, file: Path, name: str) -> Any:
    """The HDF5 dataset with this name. Raises InputError if the file has none."""
    import h5py

    found = stored.get(name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{file}: found no dataset {name}, expected one (found {', '.join(stored) or 'none'})")
    return found


def check_shape(file: Path, name: str, array: Any, expected: Sequence[int | None]) -> None:
    """Raises InputError if the sizes of the array are not as expected; None means any size."""
    fits = len(array.shape) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits or array.dtype.kind not in "biuf":
        told = ", ".join("n" if size is None else f"{size:,}" for size in expected)
        found = shown(array) if isinstance(array, np.ndarray) else f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{file}: {name}: found {found}, expected numbers [{told}]")


def _matrix(dataset: Any) -> np.ndarray:
    values = dataset[()]
    if dataset.attrs.get("MATLAB_empty", 0):
        return np.zeros(tuple(int(size) for size in np.ravel(values)))
    return np.transpose(values)
