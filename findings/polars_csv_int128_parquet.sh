#!/usr/bin/env bash
# polars: 64-bit codes read from a CSV file become 128 bits wide, and other Parquet readers cannot use them.
#
# Packages (Python 3.11): polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
#
# Behaviour:
#   read_csv infers Int128, not UInt64, for a column with a value of 2^63 or more. write_parquet stores that as 16
#   bytes a value. pyarrow refuses the file. DuckDB reads a BLOB in little-endian order, although DuckDB's own bit
#   strings and its cast of a BLOB to BIT are big-endian. A CSV file without such a value gives Int64 and a Parquet
#   file that all three read, so whether the chain works depends on the top bits of the codes.
#   schema_overrides={"code": pl.UInt64} cures it.
#
# Expected:
#   The column is UInt64, and DuckDB and pyarrow read back the integers of the CSV file.
#
# Seen:
#   inferred: polars Int128; DuckDB BLOB, first b'\x05\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00'
#       pyarrow: ArrowNotImplementedError: Integers with more than 64 bits not implemented
#   without the top bit: polars Int64; DuckDB BIGINT, first 5
#       pyarrow: [5, 4, 7]
#   schema_overrides: polars UInt64; DuckDB UBIGINT, first 9223372036854775813
#       pyarrow: [9223372036854775813, 4, 7]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet

codes = [2**63 + 5, 4, 7]


def readers(values: list[int], **options: object) -> tuple[str, list[object], str]:
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = Path(folder, "codes.csv"), Path(folder, "codes.parquet")
        csv.write_text("code\n" + "\n".join(map(str, values)) + "\n")
        table = pl.read_csv(csv, **options)
        table.write_parquet(parquet)
        relation = duckdb.sql(f"select code from '{parquet}'")
        from_duckdb = [str(relation.types[0])] + [row[0] for row in relation.fetchall()]
        try:
            from_pyarrow = str(pyarrow.parquet.read_table(parquet)["code"].to_pylist())
        except pyarrow.lib.ArrowNotImplementedError as error:
            from_pyarrow = f"ArrowNotImplementedError: {error}"
        return str(table.dtypes[0]), from_duckdb, from_pyarrow


plain = readers(codes)
small = readers([code % 2**63 for code in codes])
typed = readers(codes, schema_overrides={"code": pl.UInt64})
for name, seen in (("inferred", plain), ("without the top bit", small), ("schema_overrides", typed)):
    print(f"{name}: polars {seen[0]}; DuckDB {seen[1][0]}, first {seen[1][1]}")
    print("    pyarrow:", seen[2])
blobs = [code.to_bytes(16, "little") for code in codes]
if plain[:2] != ("Int128", ["BLOB", *blobs]) or not plain[2].startswith("ArrowNotImplementedError"):
    sys.exit("the behaviour has changed")
if small[1:] != (["BIGINT", 5, 4, 7], "[5, 4, 7]") or typed[1:] != (["UBIGINT", *codes], str(codes)):
    sys.exit("the behaviour has changed")
PYTHON
