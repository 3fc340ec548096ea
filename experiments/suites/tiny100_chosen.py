"""MAP on the lists of `tiny100` with each method's best of eight trials on held-out training rows: 4,096 units for both.

Source: none; this is our comparison. docs/studies/modern.md has the trials. LISTS and FEATURES are those of `tiny100`.

Expected: DSEH .579, CSQ .550 (README.md, docs/results/tiny100.csv).
Time: 270 seconds per run of DSEH on 2 CPU cores.

    python -m experiments.suite --suite=tiny100_chosen --runs=runs/tiny100_chosen \\
        --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m experiments.collect --suite=tiny100_chosen --runs=runs/tiny100_chosen --out=docs/results/tiny100.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_WIDE = Options(settings={"feature_layer": 4096})

SUITE = Suite(
    datasets=("image_lists",),
    methods=(Row("dseh", _WIDE), Row("csq", _WIDE)),
    bits=(32,),
    seeds=(0, 1, 2),
    lists={"7a8841953bf44b78": "tiny100"},
)
