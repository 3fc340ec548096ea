#!/usr/bin/env bash
# faiss: a binary HNSW index over skewed duplicates does not find some of the codes it stores, at any efSearch.
#
# Packages (Python 3.11): faiss-cpu==1.15.1 numpy==2.4.6
#
# Behaviour:
#   Learned hash codes repeat: a few codes belong to very many images. In IndexBinaryHNSW the copies of a frequent code
#   probably link to each other only, so that parts of the graph cannot be reached. Searching for a stored code does
#   not return distance 0 for many of the 200 distinct codes. efSearch = 5000, the size of the index, still misses some
#   of them. An index over the distinct codes alone finds all of them.
#
# Expected:
#   With efSearch equal to the number of stored codes the search visits the whole graph and is exact.
#
# Seen:
#   5000 codes, efSearch 16: 66 of 200 stored codes not found
#   5000 codes, efSearch 64: 53 of 200 stored codes not found
#   5000 codes, efSearch 5000: 16 of 200 stored codes not found
#   the distinct codes alone, efSearch 16: 0 not found
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    faiss-cpu==1.15.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import numpy as np

faiss.omp_set_num_threads(1)  # the graph depends on the order of insertion
rng = np.random.default_rng(0)
distinct = rng.integers(0, 256, (200, 8), dtype=np.uint8)
share = 1 / np.arange(1, 201)
codes = distinct[rng.choice(200, 5000, p=share / share.sum())]
stored = np.unique(codes, axis=0)


def missed(database: np.ndarray, ef_search: int) -> int:
    index = faiss.IndexBinaryHNSW(64, 32)
    index.add(database)
    index.hnsw.efSearch = ef_search
    return int((index.search(stored, 1)[0][:, 0] != 0).sum())


seen = {ef_search: missed(codes, ef_search) for ef_search in (16, 64, 5000)}
alone = missed(stored, 16)
for ef_search, count in seen.items():
    print(f"5000 codes, efSearch {ef_search}: {count} of {len(stored)} stored codes not found")
print(f"the distinct codes alone, efSearch 16: {alone} not found")
if not (all(seen.values()) and alone == 0):
    sys.exit("the behaviour has changed")
PYTHON
