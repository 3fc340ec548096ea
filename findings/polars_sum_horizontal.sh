#!/usr/bin/env bash
# polars: the inner product of a 128-bit code with itself is -128, the smallest of all.
#
# Packages (Python 3.11): polars==2.1.0 numpy==2.4.6
#
# Behaviour:
#   With one Int8 column for each bit of a code of -1 and 1, pl.sum_horizontal of the products is the inner product of
#   two codes. It stays Int8: 128 becomes -128, without an error or a warning, and the code itself is the last answer
#   to a query. Inner products below 128 are right. The other sums of polars widen: a Series' sum, arr.sum and list.sum
#   of the same Int8 values are Int64. The mean across the 128 columns of ones is -1. A cast to Int32 gives 128.
#
# Expected:
#   The sum across columns widens small integers as the sum down a column does.
#
# Seen:
#   sum_horizontal: Int8, the code itself -128, with one bit changed 126
#   arr.sum: Int64, the code itself 128, with one bit changed 126
#   the code itself is answer 3 of 3; the mean of its products across -1.0
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    polars==2.1.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import polars as pl

warnings.simplefilter("error")
query = np.where(np.random.default_rng(0).random(128) < 0.5, -1, 1).astype(np.int8)
near, far = query.copy(), -query
near[0] *= -1
far[:50] *= -1
codes = np.stack([query, near, far])
table = pl.DataFrame(codes, schema=[f"b{k}" for k in range(128)])
across = table.select(pl.sum_horizontal(pl.col(f"b{k}") * int(query[k]) for k in range(128)))[:, 0]
down = pl.Series(codes * query).arr.sum()
for name, sums in (("sum_horizontal", across), ("arr.sum", down)):
    print(f"{name}: {sums.dtype}, the code itself {sums[0]}, with one bit changed {sums[1]}")
mean = pl.DataFrame(codes[:1] * query).mean_horizontal()[0]
place = int((across > across[0]).sum()) + 1
print(f"the code itself is answer {place} of 3; the mean of its products across {mean}")
if across.to_list()[:2] != [-128, 126] or down.to_list()[:2] != [128, 126] or (place, mean) != (3, -1):
    sys.exit("the behaviour has changed")
PYTHON
