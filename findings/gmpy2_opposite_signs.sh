#!/usr/bin/env bash
# gmpy2: the Hamming distance of two int64 codes with different top bits is 18446744073709551615.
#
# Packages (Python 3.11): gmpy2==2.3.2 numpy==2.4.6
#
# Behaviour:
#   hamdist treats negative integers as two's complement numbers of infinite length. Two numbers of one sign give the
#   right distance, negative ones too. Two numbers of opposite sign differ in infinitely many bits, and hamdist returns
#   the largest unsigned 64-bit integer. It does not raise. Codes read as int64 are negative where the top bit is set,
#   so about half of all pairs of codes get that value. The same codes as uint64 give the right distances.
#
# Expected:
#   Either the 64-bit distance or an exception for negative numbers.
#
# Seen:
#   uint64: [2, 1, 1]
#   int64:  [18446744073709551615, 1, 18446744073709551615]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    gmpy2==2.3.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import gmpy2
import numpy as np

codes = np.array([2**63 + 5, 4, 2**63 + 4], np.uint64)
signed = codes.view(np.int64)


def distances(values: np.ndarray) -> list[int]:
    a, b, c = map(int, values)
    return [int(gmpy2.hamdist(a, b)), int(gmpy2.hamdist(a, c)), int(gmpy2.hamdist(b, c))]


print("uint64:", distances(codes))
print("int64: ", distances(signed))
if distances(codes) != [2, 1, 1] or distances(signed) != [2**64 - 1, 1, 2**64 - 1]:
    sys.exit("the behaviour has changed")
PYTHON
