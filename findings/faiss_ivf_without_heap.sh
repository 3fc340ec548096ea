#!/usr/bin/env bash
# faiss: IndexBinaryIVF with use_heap = False returns no neighbour at all.
#
# Packages (Python 3.11): faiss-cpu==1.15.1 numpy==2.4.6
#
# Behaviour:
#   use_heap = False asks for a selection by counting, which suits Hamming distances since they are small integers. In
#   this version every place of the answer is then -1, the mark of an absent neighbour, although all lists are probed
#   and the index is full. IndexBinaryFlat has the same switch, and both settings give the same answer there.
#
# Expected:
#   The switch changes the speed and perhaps the order of ties, not the distances.
#
# Seen:
#   flat, use_heap True: places filled 500 of 500, first [0, 21, 21, 22, 22]
#   flat, use_heap False: places filled 500 of 500, first [0, 21, 21, 22, 22]
#   inverted, use_heap True: places filled 500 of 500, first [0, 21, 21, 22, 22]
#   inverted, use_heap False: places filled 0 of 500, first [2147483647, 2147483647, 2147483647, 2147483647, 2147483647]
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

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
codes = rng.integers(0, 256, (1000, 8), dtype=np.uint8)
flat = faiss.IndexBinaryFlat(64)
flat.add(codes)
inverted = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(64), 64, 8)
inverted.train(codes)
inverted.add(codes)
inverted.nprobe = 8

answers = {}
for name, index in (("flat", flat), ("inverted", inverted)):
    for heap in (True, False):
        index.use_heap = heap
        answers[name, heap] = index.search(codes[:100], 5)
        distances, ids = answers[name, heap]
        print(f"{name}, use_heap {heap}: places filled {int((ids >= 0).sum())} of 500, first {distances[0].tolist()}")
exact = answers["flat", True][0]
same = all(np.array_equal(answers[key][0], exact) for key in (("flat", False), ("inverted", True)))
if not same or (answers["inverted", False][1] != -1).any():
    sys.exit("the behaviour has changed")
PYTHON
