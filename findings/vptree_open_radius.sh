#!/usr/bin/env bash
# vptree: the range search leaves out the codes that lie exactly at the given distance.
#
# Packages (Python 3.11): vptree==1.3 numpy==2.4.6
#
# Behaviour:
#   get_all_in_range(query, r) returns the points at a distance below r. The documentation of the method says that it
#   finds the neighbours within max_distance. For Hamming distances, which are integers, "within radius 2" must be
#   asked as 2.5 or 3, and a radius of 0 does not find the identical code. The nearest-neighbour searches of the same
#   tree are exact.
#
# Expected:
#   A radius of 2 includes the codes at distance 2; a radius of 0 finds the identical codes.
#
# Seen:
#   radius 0: distances found []
#   radius 1: distances found [0]
#   radius 2: distances found [0, 1]
#   radius 2.5: distances found [0, 1, 2]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    vptree==1.3 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

from vptree import VPTree


def hamming(a: int, b: int) -> int:
    return (int(a) ^ int(b)).bit_count()


codes = [0b0000, 0b0001, 0b0011, 0b0111, 0b1111]  # at distances 0 to 4 from the query 0
tree = VPTree(codes, hamming)
seen = {radius: sorted(distance for distance, _ in tree.get_all_in_range(0, radius)) for radius in (0, 1, 2, 2.5)}
for radius, distances in seen.items():
    print(f"radius {radius}: distances found {distances}")
if seen != {0: [], 1: [0], 2: [0, 1], 2.5: [0, 1, 2]}:
    sys.exit("the behaviour has changed")
PYTHON
