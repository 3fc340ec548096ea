"""MAP on the embedded data set, all networks trained from scratch: 2,000 images, 5,000 in the database, 500 queries.

Source: none; this is our comparison. The deep methods train for 24 image epochs (DSEH in two rounds of 12), DNNH for its
60. ITQ-CCA works on the pixels.

Expected: the table in README.md, made from docs/results/multi_digits.csv. At 32 bits DSEH .95.
Time: 200 seconds per run of DSEH at 32 bits and 100 of CSQ, on 2 CPU cores.

    python -m experiments.suite --suite=multi_digits --runs=runs/multi_digits
    python -m experiments.collect --suite=multi_digits --runs=runs/multi_digits --out=docs/results/multi_digits.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_ROUNDS = Options(rounds=2, imgnet_epochs=12)
_EPOCHS = Options(settings={"epochs": 24})

SUITE = Suite(
    datasets=("multi_digits",),
    methods=(
        Row("dseh", _ROUNDS),
        Row("dseh", _ROUNDS.updated(Options(preset="release")), name="dseh-release"),
        Row("dhn", _EPOCHS),
        Row("dpsh", _EPOCHS),
        "dnnh",
        Row("cnnh", _EPOCHS),
        Row("hashnet", _EPOCHS),
        Row("greedyhash", _EPOCHS),
        Row("csq", _EPOCHS),
        Row("orthohash", _EPOCHS),
        Row("dpn", _EPOCHS),
        "itq_cca",
    ),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
)
