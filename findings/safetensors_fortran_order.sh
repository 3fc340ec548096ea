#!/usr/bin/env bash
# scipy and safetensors: a weight array read by loadmat comes back from safetensors with its values scrambled.
#
# Packages (Python 3.11): safetensors==0.8.0 scipy==1.17.1 numpy==2.4.6
#
# Behaviour:
#   scipy.io.loadmat returns arrays in Fortran order, as a MAT file stores them. safetensors.numpy.save writes the
#   memory of such an array as it lies and records the shape as if it were in C order. Loading gives the right shape,
#   dtype and set of values, but nearly every value is in another place. Nothing warns. np.ascontiguousarray before
#   saving cures it.
#
# Expected:
#   The loaded array equals the saved one.
#
# Seen:
#   loadmat: equal True Fortran order True
#   through safetensors: shape (2, 3, 4) values in place 2 of 24
#   first filter saved:  [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]]
#   first filter loaded: [[0.0, 12.0, 4.0, 16.0], [8.0, 20.0, 1.0, 13.0], [5.0, 17.0, 9.0, 21.0]]
#   made contiguous first: equal True
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    safetensors==0.8.0 scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
from safetensors.numpy import load, save
from scipy.io import loadmat, savemat

filters = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
file = io.BytesIO()
savemat(file, {"filters": filters})
read = loadmat(file)["filters"]
plain = load(save({"filters": read}))["filters"]
cured = load(save({"filters": np.ascontiguousarray(read)}))["filters"]
print("loadmat: equal", np.array_equal(read, filters), "Fortran order", read.flags.f_contiguous)
print("through safetensors: shape", plain.shape, "values in place", int((plain == filters).sum()), "of", filters.size)
print("first filter saved: ", filters[0].tolist())
print("first filter loaded:", plain[0].tolist())
print("made contiguous first: equal", np.array_equal(cured, filters))
scrambled = plain.shape == filters.shape and not np.array_equal(plain, filters)
if not (np.array_equal(read, filters) and scrambled and np.array_equal(cured, filters)):
    sys.exit("the behaviour has changed")
PYTHON
