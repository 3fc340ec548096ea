#!/usr/bin/env bash
# scikit-learn: an image without labels and without features disappears from a multi-label svmlight file.
#
# Packages (Python 3.11): scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
#
# Behaviour:
#   dump_svmlight_file(..., multilabel=True) writes a row without labels and without nonzero features as a blank line.
#   load_svmlight_file skips blank lines. Four rows come back as three, and every later image takes the row of the one
#   before it. A row that lacks only its labels or only its features survives. In a tag data set some images have
#   neither a concept nor one of the frequent tags, so the rows no longer match the list of images.
#
# Expected:
#   The pair of functions keeps the number and the order of the rows.
#
# Seen:
#   file: b'0 0:1\n \n1 1:2\n 0:3\n0,1 \n'
#   rows saved 5, rows loaded 4
#   tags: [[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]] labels: [(0.0,), (1.0,), (), (0.0, 1.0)]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

tags = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]])
labels = np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 1]])  # row 1 has no tag and no label
file = io.BytesIO()
dump_svmlight_file(tags, labels, file, multilabel=True)
print("file:", file.getvalue())
file.seek(0)
loaded, of_rows = load_svmlight_file(file, n_features=2, multilabel=True)
print(f"rows saved {len(tags)}, rows loaded {loaded.shape[0]}")
print("tags:", loaded.toarray().tolist(), "labels:", of_rows)
kept = [0, 2, 3, 4]
if not np.array_equal(loaded.toarray(), tags[kept]) or of_rows != [(0.0,), (1.0,), (), (0.0, 1.0)]:
    sys.exit("the behaviour has changed")
PYTHON
