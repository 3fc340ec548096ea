#!/usr/bin/env bash
# faiss: its two functions that turn real values into bits disagree at zero.
#
# Packages (Python 3.11): faiss-cpu==1.15.1 numpy==2.4.6
#
# Behaviour:
#   fvecs2bitvecs, which IndexLSH uses, sets the bit of a zero (>= 0). real_to_binary does not (> 0). Features after a
#   ReLU are never negative and often exactly zero: IndexLSH makes all bits of all images 1, and real_to_binary makes
#   useful codes of the same features. The two codes of an image differ in each zero of its features.
#
# Expected:
#   One library has one rule for the sign of zero.
#
# Seen:
#   zeros 3259 of 6400; bits that differ 3259
#   bits set: IndexLSH 6400 real_to_binary 3141
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

rng = np.random.default_rng(0)
features = np.maximum(rng.standard_normal((100, 64)), 0).astype(np.float32)
lsh = faiss.IndexLSH(64, 64, False, False)  # no rotation, no trained thresholds: the signs alone
by_lsh = lsh.sa_encode(features)
by_real = np.empty((100, 8), np.uint8)
faiss.real_to_binary(features.size, faiss.swig_ptr(features), faiss.swig_ptr(by_real))
different = int(np.bitwise_count(by_lsh ^ by_real).sum())
zeros = int((features == 0).sum())
print(f"zeros {zeros} of {features.size}; bits that differ {different}")
print("bits set: IndexLSH", int(np.bitwise_count(by_lsh).sum()), "real_to_binary", int(np.bitwise_count(by_real).sum()))
if different != zeros:
    sys.exit("the behaviour has changed")
PYTHON
