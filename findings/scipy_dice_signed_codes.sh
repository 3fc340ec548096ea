#!/usr/bin/env bash
# SciPy: of codes of -1 and 1, the Dice distance is negative or above 1 and the Jaccard distance is 0.
#
# Packages (Python 3.11): scipy==1.17.1 numpy==2.4.6
#
# Behaviour:
#   cdist accepts codes of -1 and 1 for all metrics of boolean vectors, without a warning. "hamming" compares values,
#   so it is right. "jaccard", "rogerstanimoto" and "yule" take -1 as true, so all codes are equal and every distance
#   is 0. "dice" calculates with the values and gives distances such as -5 and 3. "russellrao" is 0 in cdist, but the
#   function of that name, which calculates with the values too, gives other numbers for the same pair.
#
# Expected:
#   An exception, or the distances of the same codes written as false and true. If a metric takes -1 as true, it does
#   so in cdist and in its function.
#
# Seen:
#   hamming: -1 and 1 [0.375, 0.625, 0.688], false and true [0.375, 0.625, 0.688]
#   jaccard: -1 and 1 [0.0, 0.0, 0.0], false and true [0.462, 0.714, 0.846]
#   rogerstanimoto: -1 and 1 [0.0, 0.0, 0.0], false and true [0.545, 0.769, 0.815]
#   yule: -1 and 1 [0.0, 0.0, 0.0], false and true [0.6, 1.5, 1.6]
#   dice: -1 and 1 [0.0, 3.0, -5.0], false and true [0.3, 0.556, 0.733]
#   russellrao: -1 and 1 [0.0, 0.0, 0.0], false and true [0.562, 0.75, 0.875]
#   the function russellrao, -1 and 1: [0.75, 1.25, 1.375]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from scipy.spatial import distance

warnings.simplefilter("error")
codes = np.where(np.random.default_rng(0).random((4, 16)) < 0.5, -1, 1)
query, database = codes[:1], codes[1:]
seen = {}
for metric in ("hamming", "jaccard", "rogerstanimoto", "yule", "dice", "russellrao"):
    signed = distance.cdist(query, database, metric)[0].round(3).tolist()
    boolean = distance.cdist(query > 0, database > 0, metric)[0].round(3).tolist()
    seen[metric] = signed, boolean
    print(f"{metric}: -1 and 1 {signed}, false and true {boolean}")
one = [round(float(distance.russellrao(query[0], code)), 3) for code in database]
print("the function russellrao, -1 and 1:", one)
if seen["hamming"][0] != seen["hamming"][1] or min(seen["dice"][0]) >= 0 or max(seen["dice"][0]) <= 1:
    sys.exit("the behaviour has changed")
if any(max(seen[metric][0]) != 0 or min(seen[metric][1]) == 0 for metric in ("jaccard", "rogerstanimoto", "yule")):
    sys.exit("the behaviour has changed")
if max(seen["russellrao"][0]) != 0 or min(one) == 0:
    sys.exit("the behaviour has changed")
PYTHON
