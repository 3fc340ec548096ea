#!/usr/bin/env bash
# Pillow 13 resizes tall images to other bytes than Pillow 12, so features and hash codes of the same photographs differ.
#
# Packages (Python 3.11): pillow==12.3.0 and pillow==13.0.0, numpy==2.4.6
#
# Behaviour:
#   Image.resize makes two passes and rounds to bytes between them. Up to 12.3.0 the columns always come first. 13.0.0
#   begins with the rows where that is less work: for a tall image that shrinks more in height than in width. Values
#   then differ by 1. The same image lying on its side gives equal bytes in both versions.
#
# Expected:
#   Equal bytes: filter, box and sizes are the same.
#
# Seen:
#   256 x 384 (upright) to 192 x 192: 20894 of 110592 values differ, by at most 1
#   384 x 256 (lying)   to 192 x 192: 0 of 110592 values differ, by at most 0
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat > "$work/resize.py" <<'PYTHON'
import sys

import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
for height, width in ((384, 256), (256, 384)):
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    small = image.resize((192, 192), Image.Resampling.BILINEAR)
    np.save(f"{sys.argv[1]}-{height}.npy", np.asarray(small))
PYTHON
for version in 12.3.0 13.0.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install -qq --disable-pip-version-check "pillow==$version" numpy==2.4.6
    "$work/$version/bin/python" "$work/resize.py" "$work/of-$version"
done
"$work/13.0.0/bin/python" - "$work" <<'PYTHON'
import sys

import numpy as np

found = {}
for height, title in ((384, "256 x 384 (upright)"), (256, "384 x 256 (lying)  ")):
    old, new = (np.load(f"{sys.argv[1]}/of-{version}-{height}.npy").astype(int) for version in ("12.3.0", "13.0.0"))
    apart = np.abs(old - new)
    found[height] = int((apart > 0).sum()), int(apart.max())
    print(f"{title} to 192 x 192: {found[height][0]} of {apart.size} values differ, by at most {found[height][1]}")
if not (found[384][0] > 1000 and found[384][1] == 1 and found[256] == (0, 0)):
    sys.exit("the behaviour has changed")
PYTHON
