"""MAP on image lists with several labels per image: Corel-5k, 74 words.

Source: none; this is our comparison. LISTS holds train.txt (4,434 rows, also the database) and test.txt (490). FEATURES is
what `experiments.extract_features` wrote with EfficientNet-Lite0 at 192 pixels. HashNet has the best of its eight trials on
held-out training rows.

Expected: the table in README.md, made from docs/results/corel5k.csv. At 32 bits DSEH .724, HashNet .677.
Time: 60 seconds per run of DSEH at 32 bits (`release`: 300) and 84 of HashNet, on 2 CPU cores.

    python -m experiments.suite --suite=corel5k --runs=runs/corel5k --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m experiments.collect --suite=corel5k --runs=runs/corel5k --out=docs/results/corel5k.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

SUITE = Suite(
    datasets=("image_lists",),
    methods=(
        "dseh", Row("dseh", Options(preset="release"), name="dseh-release"),
        Row("hashnet", Options(settings={"normalize_outputs": True})),
        "dnnh", "cnnh", "csq", "orthohash", "dpn", "greedyhash", "dpsh", "dhn", "fasth", "ksh", "sdh", "itq_cca", "itq",
        "sh", "lsh",
    ),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
    lists={"9fa7f2b43bf008dd": "corel5k"},
)  # fmt: skip
