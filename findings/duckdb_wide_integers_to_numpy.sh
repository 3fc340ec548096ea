#!/usr/bin/env bash
# DuckDB: 64-bit codes read from a CSV file are right in SQL and lose their low bits on the way to numpy and pandas.
#
# Packages (Python 3.11): duckdb==2.0.1 numpy==2.4.6 pandas==3.1.1
#
# Behaviour:
#   A column with a value of 2^63 or more is read as HUGEINT. SQL and fetchall return the values of the file, and a
#   Hamming distance in SQL is right. fetchnumpy and df return the same column as float64, which has room for 53 bits:
#   the low bits of all large codes are rounded. Cast back to uint64, three different codes are one code. Nothing warns.
#   A literal of that size in SQL is a HUGEINT too. A cast to UBIGINT in the query gives uint64 and the right values.
#
# Expected:
#   Either integers, as fetchall returns, or an exception.
#
# Seen:
#   type HUGEINT, distances in SQL [0, 3, 1]
#   fetchall  [9223372036854775813, 9223372036854775816, 9223372036854775812]
#   df        float64 [9223372036854775808, 9223372036854775808, 9223372036854775808], distances [0, 0, 0]
#   fetchnumpy float64, the same values
#   ::ubigint uint64 [9223372036854775813, 9223372036854775816, 9223372036854775812]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    duckdb==2.0.1 numpy==2.4.6 pandas==3.1.1
"$work/venv/bin/python" - "$work/codes.csv" <<'PYTHON'
import sys
import warnings
from pathlib import Path

import duckdb
import numpy as np

warnings.simplefilter("error")
path = sys.argv[1]
codes = [2**63 + 5, 2**63 + 8, 2**63 + 4]
Path(path).write_text("code\n" + "\n".join(map(str, codes)) + "\n")
table = duckdb.sql(f"select code from '{path}'")
in_sql = [row[0] for row in duckdb.sql(f"select bit_count(xor(code, {codes[0]})) from '{path}'").fetchall()]
rows = [row[0] for row in table.fetchall()]
frame, array = table.df()["code"].to_numpy(), table.fetchnumpy()["code"]
words = frame.astype(np.uint64)
distances = np.bitwise_count(words[0] ^ words).tolist()
cast = duckdb.sql(f"select code::ubigint as code from '{path}'").df()["code"].to_numpy()
print(f"type {table.types[0]}, distances in SQL {in_sql}")
print("fetchall ", rows)
print(f"df        {frame.dtype} {words.tolist()}, distances {distances}")
print(f"fetchnumpy {array.dtype}, {'the same' if (array == frame).all() else 'other'} values")
print("::ubigint", cast.dtype, cast.tolist())
if in_sql != [0, 3, 1] or rows != codes or distances != [0, 0, 0] or not (array == frame).all():
    sys.exit("the behaviour has changed")
if frame.dtype != np.float64 or cast.tolist() != codes:
    sys.exit("the behaviour has changed")
PYTHON
