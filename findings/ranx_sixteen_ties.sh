#!/usr/bin/env bash
# ranx: tied items keep their order up to 15 of them, and are nearly reversed from 16 on.
#
# Packages (Python 3.11): ranx==0.3.21 numpy==2.4.6 numba==0.68.1 pandas==3.1.1 scipy==1.17.1
#
# Behaviour:
#   ranx sorts each run by score with a sort that is stable for short runs only. Up to 15 tied items stay as listed.
#   From 16 items on they move, almost into the reverse order. A run in which every item is at the same Hamming
#   distance and the relevant half is listed first has MAP 1 with 15 items and about 0.37 with 16. A toy test of the
#   tie rule therefore shows a rule that real rankings do not follow. 16-bit codes give at most 17 distances, so nearly
#   all of a real ranking is ties.
#
# Expected:
#   Ties are broken by one rule, whatever the number of items.
#
# Seen:
#   8 tied items: MAP 1.0 with the relevant half listed first, 0.3655 with it listed last
#   15 tied items: MAP 1.0 with the relevant half listed first, 0.3139 with it listed last
#   16 tied items: MAP 0.3653 with the relevant half listed first, 0.9375 with it listed last
#   17 tied items: MAP 0.3131 with the relevant half listed first, 1.0 with it listed last
#   200 tied items: MAP 0.311 with the relevant half listed first, 0.9953 with it listed last
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    ranx==0.3.21 numpy==2.4.6 numba==0.68.1 pandas==3.1.1 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")

from ranx import Qrels, Run, evaluate  # noqa: E402


def mean_ap(items: int, reverse: bool) -> float:
    names = [f"image{i:03}" for i in range(items)]
    qrels = Qrels({"query": {name: 1 for name in names[: items // 2]}})
    listed = names[::-1] if reverse else names
    return round(float(evaluate(qrels, Run({"query": {name: -3.0 for name in listed}}), "map")), 4)


seen = {items: (mean_ap(items, False), mean_ap(items, True)) for items in (8, 15, 16, 17, 200)}
for items, (first, last) in seen.items():
    print(f"{items} tied items: MAP {first} with the relevant half listed first, {last} with it listed last")
small = all(seen[items][0] == 1.0 > seen[items][1] for items in (8, 15))
large = all(seen[items][0] < seen[items][1] for items in (16, 17, 200))
if not (small and large):
    sys.exit("the behaviour has changed")
PYTHON
