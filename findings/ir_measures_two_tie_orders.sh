#!/usr/bin/env bash
# ir-measures: one call ranks tied items in two opposite orders.
#
# Packages (Python 3.11): ir-measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
#
# Behaviour:
#   calc_aggregate hands each measure to a provider. AP, RR and P@1 go to pytrec_eval, which puts the larger item id
#   first among equal scores. RR@10 goes to the MS MARCO provider, which puts the smaller id first. Four items at one
#   Hamming distance, the last of them relevant, have RR = 1 and RR@10 = 0.25 in the same result. The order in which
#   the run lists the items does not matter. With the ids reversed both numbers change.
#
# Expected:
#   There are four items, so every rank is below 10, and RR and RR@10 are equal.
#
# Seen:
#   relevant a, listed abcd: {'AP': 0.25, 'P@1': 0.0, 'RR': 0.25, 'RR@10': 1.0}
#   relevant a, listed dcba: {'AP': 0.25, 'P@1': 0.0, 'RR': 0.25, 'RR@10': 1.0}
#   relevant d, listed abcd: {'AP': 1.0, 'P@1': 1.0, 'RR': 1.0, 'RR@10': 0.25}
#   relevant d, listed dcba: {'AP': 1.0, 'P@1': 1.0, 'RR': 1.0, 'RR@10': 0.25}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    ir-measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import ir_measures
from ir_measures import AP, RR, P, Qrel, ScoredDoc

measures = [AP, P @ 1, RR, RR @ 10]


def scores(relevant: str, order: str) -> dict[str, float]:
    qrels = [Qrel("query", item, int(item == relevant)) for item in "abcd"]
    run = [ScoredDoc("query", item, -3.0) for item in order]  # the score is minus the Hamming distance
    result = ir_measures.calc_aggregate(measures, qrels, run)
    return {str(measure): result[measure] for measure in measures}


seen = {(relevant, order): scores(relevant, order) for relevant in "ad" for order in ("abcd", "dcba")}
for (relevant, order), result in seen.items():
    print(f"relevant {relevant}, listed {order}: {result}")
last = {"AP": 1.0, "P@1": 1.0, "RR": 1.0, "RR@10": 0.25}
first = {"AP": 0.25, "P@1": 0.0, "RR": 0.25, "RR@10": 1.0}
if any(result != (last if relevant == "d" else first) for (relevant, _), result in seen.items()):
    sys.exit("the behaviour has changed")
PYTHON
