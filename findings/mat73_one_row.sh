#!/usr/bin/env bash
# mat73: a matrix with one row or one column loses an axis, and an empty matrix becomes None.
#
# Packages (Python 3.11): mat73==0.65 hdf5storage==0.2.2 h5py==3.16.0 numpy==2.4.6
#
# Behaviour:
#   A MATLAB v7.3 file holds matrices of two or more axes. mat73 drops the axis of length 1 from a two-dimensional
#   matrix and keeps it in a larger one. The codes of a single query come back as a vector, the same as a label column.
#   An empty matrix of shape 0 x 4 comes back as None. hdf5storage reads all of these shapes as stored. Code that is
#   tested on many queries fails on one, or broadcasts one code along the wrong axis.
#
# Expected:
#   Each matrix has its stored shape, as scipy.io.loadmat returns it for older MAT files.
#
# Seen:
#   database: stored (3, 4), hdf5storage (3, 4), mat73 (3, 4)
#   one_query: stored (1, 4), hdf5storage (1, 4), mat73 (4,)
#   label_column: stored (3, 1), hdf5storage (3, 1), mat73 (3,)
#   no_query: stored (0, 4), hdf5storage (0, 4), mat73 None
#   one_filter: stored (1, 1, 4, 1), hdf5storage (1, 1, 4, 1), mat73 (1, 1, 4, 1)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    mat73==0.65 hdf5storage==0.2.2 h5py==3.16.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import hdf5storage
import mat73
import numpy as np

arrays = {
    "database": np.ones((3, 4)),
    "one_query": np.ones((1, 4)),
    "label_column": np.ones((3, 1)),
    "no_query": np.zeros((0, 4)),
    "one_filter": np.ones((1, 1, 4, 1)),
}
with tempfile.TemporaryDirectory() as folder:
    file = str(Path(folder, "codes.mat"))
    hdf5storage.savemat(file, arrays, format="7.3", store_python_metadata=False)
    by_mat73, by_hdf5storage = mat73.loadmat(file), hdf5storage.loadmat(file)
seen = {name: None if by_mat73[name] is None else by_mat73[name].shape for name in arrays}
for name, array in arrays.items():
    print(f"{name}: stored {array.shape}, hdf5storage {by_hdf5storage[name].shape}, mat73 {seen[name]}")
expected = {"database": (3, 4), "one_query": (4,), "label_column": (3,), "no_query": None, "one_filter": (1, 1, 4, 1)}
if seen != expected or any(by_hdf5storage[name].shape != arrays[name].shape for name in arrays):
    sys.exit("the behaviour has changed")
PYTHON
