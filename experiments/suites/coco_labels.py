"""Table 2 of the DSEH paper on labels alone: distinct label codes and MAP of labels on MS-COCO's labels, 32 bits.

Source: Li et al., Deep Joint Semantic-Embedding Hashing, IJCAI 2018, Table 2. The paper reports n_h and map_l as

    DSEH     1907   .8276
    DSEH-SS  1220   .7452
    DSEH-L    802   .8199

LISTS contains the labels of MS-COCO, 80 categories: train.txt (10,000 rows, 3,845 distinct label vectors), test.txt
(5,000) and database.txt (117,218); no image is read. With labels alone, DSEH-S is the same as DSEH, and DSEH-A differs
only in the number of rounds.

Expected: the table in docs/studies/label-side.md, made from docs/results/coco_labels.csv.
Time: see train_seconds in the CSV.

    python -m experiments.suite --suite=coco_labels --runs=runs/coco_labels --run_flag=--lists_dir=LISTS
    python -m experiments.collect --suite=coco_labels --runs=runs/coco_labels --out=docs/results/coco_labels.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_METHODS = ("dseh", "dseh_ss", "dseh_l")
_RELEASE, _PAPER = Options(preset="release"), Options(preset="paper")

SUITE = Suite(
    datasets=("image_lists",),
    methods=(
        *(Row(method, _RELEASE) for method in _METHODS),
        *(Row(method, _PAPER, name=f"{method}-paper", seeds=(0,)) for method in _METHODS),
    ),
    bits=(32,),
    seeds=(0, 1, 2),
    options=Options(phases="labnet", preset_dataset="ms_coco"),
    lists={"541552861617aeba": "coco_lists"},
)
