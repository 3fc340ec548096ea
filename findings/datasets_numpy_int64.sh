#!/usr/bin/env bash
# Hugging Face datasets: the numpy format turns 64-bit codes into negative integers, and numpy counts their bits wrong.
#
# Packages (Python 3.11): datasets==5.2.0 numpy==2.4.6 pyarrow==26.0.1 pandas==3.1.1
#
# Behaviour:
#   A data set made from a uint64 array has a feature of uint64 and stores the right values. With the numpy format its
#   rows come back as int64; codes with the top bit set are negative. The format makes int64 of uint8 and int8 as well
#   and float32 of float16 and float64. numpy.bitwise_count counts the bits of the absolute value of a negative number,
#   so the exclusive or of two codes with different top bits has another number of bits than the codes' distance.
#   Neither step warns. One row alone is a numpy.uint64 with the right value, and the pandas and arrow formats keep
#   uint64. With the option dtype=numpy.uint64 the format makes uint64 of all columns.
#
# Expected:
#   The numpy format returns arrays of the features' types.
#
# Seen:
#   stored: uint64 [9223372036854775813, 4, 9223372036854775812]
#   numpy format: int64 [-9223372036854775803, 4, -9223372036854775804]
#   distances to the first code: stored [0, 2, 1], numpy format [0, 63, 1]
#   one row: np.uint64(9223372036854775813); arrow format: uint64
#   other types in the numpy format: uint8 -> int64, int8 -> int64, float16 -> float32, float64 -> float32
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/home" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    datasets==5.2.0 numpy==2.4.6 pyarrow==26.0.1 pandas==3.1.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from datasets import Dataset

codes = np.array([2**63 + 5, 4, 2**63 + 4], np.uint64)
stored = Dataset.from_dict({"code": codes})
read = stored.with_format("numpy")[:]["code"]
arrow = stored.with_format("arrow")[:]["code"]
print("stored:", stored.features["code"].dtype, stored[:]["code"])
print("numpy format:", read.dtype, read.tolist())
distances = [np.bitwise_count(array[0] ^ array).tolist() for array in (codes, read)]
print(f"distances to the first code: stored {distances[0]}, numpy format {distances[1]}")
row = stored.with_format("numpy")[0]["code"]
print(f"one row: {row!r}; arrow format: {arrow.type}")
kinds = ("uint8", "int8", "float16", "float64")
others = Dataset.from_dict({kind: np.ones((2, 3), kind) for kind in kinds}).with_format("numpy")[:]
print("other types in the numpy format:", ", ".join(f"{kind} -> {others[kind].dtype}" for kind in kinds))
if stored[:]["code"] != codes.tolist() or read.dtype != np.int64 or arrow.type != "uint64":
    sys.exit("the behaviour has changed")
if distances != [[0, 2, 1], [0, 63, 1]] or row.dtype != np.uint64:
    sys.exit("the behaviour has changed")
if [str(others[kind].dtype) for kind in kinds] != ["int64", "int64", "float32", "float32"]:
    sys.exit("the behaviour has changed")
PYTHON
