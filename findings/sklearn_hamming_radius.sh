#!/usr/bin/env bash
# scikit-learn: the default radius search over 12-bit codes misses neighbours that lie exactly on the radius.
#
# Packages (Python 3.11): scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
#
# Behaviour:
#   With metric="hamming" NearestNeighbors picks a ball tree for up to 15 columns and brute force from 16 columns on.
#   The distances are fractions, so a Hamming radius of 1 is written 1/12. The tree misses one in seven of the pairs
#   within that radius; brute force finds them all. A radius of 1/12 + 1e-9 makes the tree complete. So the likely
#   cause is rounding: the tree prunes a node by a difference of fractions that falls just above 1/12. With 16 bits,
#   where the fractions are exact in binary, no pair was missed.
#
# Expected:
#   Both algorithms are exact, so they return the same neighbours.
#
# Seen:
#   algorithm picked: ball_tree
#   12 bits, pairs within one bit: 422; auto 363; brute 422; auto with radius + 1e-9: 422
#   16 bits, pairs within one bit: ball_tree 122 brute 122
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from sklearn.neighbors import NearestNeighbors


def found(codes: np.ndarray, radius: float, algorithm: str) -> int:
    search = NearestNeighbors(metric="hamming", radius=radius, algorithm=algorithm).fit(codes)
    return sum(map(len, search.radius_neighbors(codes[:100], return_distance=False)))


rng = np.random.default_rng(0)
codes = rng.integers(0, 2, (1000, 12))
truth = int(((codes[:100, None] != codes[None]).sum(2) <= 1).sum())
tree = found(codes, 1 / 12, "auto")
brute = found(codes, 1 / 12, "brute")
widened = found(codes, 1 / 12 + 1e-9, "auto")
print("algorithm picked:", NearestNeighbors(metric="hamming").fit(codes)._fit_method)
print(f"12 bits, pairs within one bit: {truth}; auto {tree}; brute {brute}; auto with radius + 1e-9: {widened}")
wide = rng.integers(0, 2, (1000, 16))
of_wide = [found(wide, 1 / 16, algorithm) for algorithm in ("ball_tree", "brute")]
print("16 bits, pairs within one bit: ball_tree", of_wide[0], "brute", of_wide[1])
if not (tree < truth == brute == widened) or of_wide[0] != of_wide[1]:
    sys.exit("the behaviour has changed")
PYTHON
