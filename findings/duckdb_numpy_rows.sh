#!/usr/bin/env bash
# DuckDB: a two-dimensional numpy array is read as a table whose columns are the array's rows.
#
# Packages (Python 3.11): duckdb==2.0.1 numpy==2.4.6
#
# Behaviour:
#   DuckDB accepts a numpy array as a table, by its variable name or by register. Of a two-dimensional array it makes
#   one column out of each row. Four codes of two 64-bit words become two rows with four columns. A square array gives
#   the expected shape with all values transposed, so a query on column0 and column1 runs and answers for other codes.
#
# Expected:
#   Row i of the table is row i of the array, as in pandas.DataFrame(array) and polars.DataFrame(array).
#
# Seen:
#   array (4, 2) table (2, 4) [(1, 2, 3, 4), (10, 20, 30, 40)]
#   array [[1, 10], [2, 20]] table [(1, 2), (10, 20)]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    duckdb==2.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import numpy as np

codes = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.uint64)
relation = duckdb.sql("select * from codes")
rows = relation.fetchall()
print("array", codes.shape, "table", (len(rows), len(relation.columns)), rows)
square = np.array([[1, 10], [2, 20]], np.uint64)
pairs = duckdb.sql("select column0, column1 from square").fetchall()
print("array", square.tolist(), "table", pairs)
if rows != [(1, 2, 3, 4), (10, 20, 30, 40)] or pairs != [(1, 2), (10, 20)]:
    sys.exit("the behaviour has changed")
PYTHON
