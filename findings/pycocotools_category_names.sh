#!/usr/bin/env bash
# pycocotools: the images of the category "hot dog" are those that show a hot dog and a dog.
#
# Packages (Python 3.11): pycocotools==2.0.11 numpy==2.4.6
#
# Behaviour:
#   getCatIds(catNms="hot dog") takes every category whose name is a part of that string: "hot dog" and "dog". getImgIds
#   with both ids returns the images that show both. So the usual two calls for the images of one category leave out
#   nearly all of them. The same holds for "teddy bear" and "bear". A list with one name returns one id. A name that no
#   category has returns no id, and getImgIds with an empty list of ids returns all images, also those that show
#   nothing.
#
# Expected:
#   One name finds the category of that name. An unknown name finds no image or raises.
#
# Seen:
#   "hot dog": categories [18, 58], images [1]
#   ["hot dog"]: categories [58], images [1, 2, 3]
#   ["hotdog"]: categories [], images [1, 2, 3, 4, 5]
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    pycocotools==2.0.11 numpy==2.4.6
"$work/venv/bin/python" - "$work/instances.json" <<'PYTHON'
import contextlib
import io
import json
import sys
from pathlib import Path

from pycocotools.coco import COCO

dog, hot_dog, bear = 18, 58, 23
shown = {1: [dog, hot_dog], 2: [hot_dog], 3: [hot_dog], 4: [bear], 5: []}
pairs = [(image, category) for image, categories in shown.items() for category in categories]
box = {"bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0}
boxes = [{"id": i, "image_id": image, "category_id": of, **box} for i, (image, of) in enumerate(pairs, 1)]
names = {dog: "dog", hot_dog: "hot dog", bear: "bear"}
instances = {
    "images": [{"id": image, "width": 8, "height": 8} for image in shown],
    "categories": [{"id": category, "name": name} for category, name in names.items()],
    "annotations": boxes,
}
Path(sys.argv[1]).write_text(json.dumps(instances))
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(sys.argv[1])
seen = []
for name in ("hot dog", ["hot dog"], ["hotdog"]):
    categories = coco.getCatIds(catNms=name)
    images = sorted(coco.getImgIds(catIds=categories))
    seen.append((categories, images))
    print(f"{json.dumps(name)}: categories {categories}, images {images}")
if seen != [([dog, hot_dog], [1]), ([hot_dog], [1, 2, 3]), ([], [1, 2, 3, 4, 5])]:
    sys.exit("the behaviour has changed")
PYTHON
