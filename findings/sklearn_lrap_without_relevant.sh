#!/usr/bin/env bash
# scikit-learn: a query without a relevant item has a label ranking average precision of 1.
#
# Packages (Python 3.11): scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
#
# Behaviour:
#   label_ranking_average_precision_score of a matrix [queries, items] is MAP over the whole ranking where nothing is
#   tied. A row without a relevant item counts 1, the best value. average_precision_score gives 0 for that row, with a
#   warning, and ndcg_score gives 0. So the queries that no ranking can answer raise one mean and lower the two others.
#   With a random ranking of 100 items, of which one in a hundred is relevant, more than a third of the queries have no
#   relevant item, and the mean of the first function is above .4.
#
# Expected:
#   Such a query counts 0, as in the two other functions, or is left out.
#
# Seen:
#   no relevant item: label ranking average precision 1.0, average precision 0.0, ndcg 0.0
#   random ranking, 367 of 1000 queries without a relevant item: 0.404, 0.037, 0.15
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score

warnings.simplefilter("ignore")  # average_precision_score warns of rows without a relevant item


def scores(relevant: np.ndarray, ranking: np.ndarray) -> list[float]:
    pairs = zip(relevant, ranking, strict=True)
    mean = np.mean([average_precision_score(row, score) for row, score in pairs])
    numbers = label_ranking_average_precision_score(relevant, ranking), mean, ndcg_score(relevant, ranking)
    return [round(float(number), 3) for number in numbers]


rng = np.random.default_rng(0)
none = scores(np.zeros((1, 5), int), rng.random((1, 5)))
relevant = (rng.random((1000, 100)) < 0.01).astype(int)
lost = int((relevant.sum(1) == 0).sum())
random = scores(relevant, rng.random(relevant.shape))
print("no relevant item: label ranking average precision {}, average precision {}, ndcg {}".format(*none))
print(f"random ranking, {lost} of {len(relevant)} queries without a relevant item:", ", ".join(map(str, random)))
if none != [1, 0, 0] or abs(random[0] - random[1] - lost / len(relevant)) > 0.002:
    sys.exit("the behaviour has changed")
PYTHON
