#!/usr/bin/env bash
# iterative-stratification: 100 queries and 300 training images out of 1,000 become 250 and 750.
#
# Packages (Python 3.11): iterative-stratification==0.1.9 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
#
# Behaviour:
#   MultilabelStratifiedShuffleSplit takes test_size and train_size, as counts or fractions, as scikit-learn's
#   ShuffleSplit does. It uses their ratio only and divides all rows by it. If both sizes together are fewer than the
#   rows, no row is left over and both parts are larger than asked. Nothing warns. A protocol with a fixed number of
#   queries and training images then has two and a half times as many of both, and no database beside them. If the
#   sizes add up to all rows, they are kept.
#
# Expected:
#   Parts of the sizes that were given, as in ShuffleSplit, whose arguments have the same names.
#
# Seen:
#   asked 300 and 100 of 1000: MultilabelStratifiedShuffleSplit (750, 250), ShuffleSplit (300, 100)
#   asked 0.6 and 0.1 of 1000: MultilabelStratifiedShuffleSplit (857, 143), ShuffleSplit (600, 100)
#   asked 900 and 100 of 1000: MultilabelStratifiedShuffleSplit (900, 100), ShuffleSplit (900, 100)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    iterative-stratification==0.1.9 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit
from sklearn.model_selection import ShuffleSplit

warnings.simplefilter("error")
labels = (np.random.default_rng(0).random((1000, 5)) < [0.3, 0.1, 0.02, 0.01, 0.2]).astype(int)
seen = []
for train, test in ((300, 100), (0.6, 0.1), (900, 100)):
    sizes = []
    for splitter in (MultilabelStratifiedShuffleSplit, ShuffleSplit):
        split = splitter(n_splits=1, train_size=train, test_size=test, random_state=0)
        sizes.append(next((len(a), len(b)) for a, b in split.split(labels, labels)))
    print(
        f"asked {train} and {test} of {len(labels)}: MultilabelStratifiedShuffleSplit {sizes[0]},",
        f"ShuffleSplit {sizes[1]}",
    )
    seen.append(sizes)
if seen != [[(750, 250), (300, 100)], [(857, 143), (600, 100)], [(900, 100), (900, 100)]]:
    sys.exit("the behaviour has changed")
PYTHON
