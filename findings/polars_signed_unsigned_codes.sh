#!/usr/bin/env bash
# polars: the same 64 bits, once as UInt64 and once as Int64, are 64 bits apart.
#
# Packages (Python 3.11): polars==2.1.0 numpy==2.4.6
#
# Behaviour:
#   The xor of a UInt64 column and an Int64 column is computed in Int128. The unsigned code is extended by zeros and
#   the signed one by its sign, so the upper half of the result is all ones wherever the top bit of the code is set.
#   bitwise_count_ones then counts 64 for two identical codes. The distance is off by 64 for every code with the top
#   bit set and right for all others. Casting one column with reinterpret cures it.
#
# Expected:
#   The Hamming distance of a code to itself is 0, or the mixed types raise.
#
# Seen:
#   dtype of the xor: [Int128]
#   {'mixed': [64, 0, 64], 'same type': [0, 0, 0]}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    polars==2.1.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import polars as pl

codes = np.array([2**63 + 5, 5, 2**64 - 1], np.uint64)
table = pl.DataFrame({"unsigned": codes, "signed": codes.view(np.int64)})
mixed = pl.col("unsigned") ^ pl.col("signed")
same = pl.col("unsigned") ^ pl.col("signed").reinterpret(signed=False)
result = table.select(mixed.bitwise_count_ones().alias("mixed"), same.bitwise_count_ones().alias("same type"))
print("dtype of the xor:", table.select(mixed).dtypes)
print(result.to_dict(as_series=False))
if result["mixed"].to_list() != [64, 0, 64] or result["same type"].to_list() != [0, 0, 0]:
    sys.exit("the behaviour has changed")
PYTHON
