"""MAP on image lists with one label of 100 classes per image: recent baselines, those of the paper, and DSEH.

Source: none; this is our comparison. LISTS holds train.txt (10,000 rows), database.txt (15,000, the training rows
included) and test.txt (2,000). FEATURES is what `experiments.extract_features` wrote with EfficientNet-Lite0 at 96 pixels.
HashNet uses its published settings for ImageNet-100, which also has 100 classes.

Expected: the table in README.md, made from docs/results/tiny100.csv. At 32 bits DSEH .574, CSQ .544, CNNH .536.
Time: DSEH and CSQ 130 and 150 seconds per run at 32 bits, on 2 CPU cores; train_seconds in the CSV has the others.

    python -m experiments.suite --suite=tiny100 --runs=runs/tiny100 --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m experiments.collect --suite=tiny100 --runs=runs/tiny100 --out=docs/results/tiny100.csv
    python -m experiments.result_tables

The same suite serves lists that `experiments.derive_lists` made of these: 20 classes, or a long tail. `tiny100_chosen`
has the best settings of eight trials.
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

SUITE = Suite(
    datasets=("image_lists",),
    methods=(
        "dseh", "csq", "cnnh", "dpn", "greedyhash", "orthohash", "dnnh", "fasth",
        Row("hashnet", Options(preset_dataset="imagenet")),
        "itq_cca", "ksh", "sdh", "itq", "dhn", "sh", "dpsh", "lsh",
    ),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
    lists={"7a8841953bf44b78": "tiny100", "215248689edb0bd5": "tiny20", "e214b0b42de51c1b": "tinytail"},
)  # fmt: skip
