"""The asymmetric methods of the suite `dsah` on the lists of `tiny100`, all 15,000 database rows training.

Source: none; this is our comparison. LISTS and FEATURES are those of `tiny100`. A round samples 2,000 rows, the better of two
sizes on held-out training rows.

Expected: the table in docs/asymmetric.md, made from docs/results/dsah.csv; at 32 bits ADSH .59.
Time: 40 seconds per run of ADSH at 32 bits, 90 of DSAH, on 1 CPU core.

    python -m experiments.suite --suite=dsah_tiny100 --runs=runs/dsah_tiny100 \
        --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m experiments.collect --suite=dsah_tiny100 --runs=runs/dsah_tiny100 --out=docs/results/dsah.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_SAMPLE = Options(settings={"sample": 2000})

SUITE = Suite(
    datasets=("image_lists",),
    methods=(Row("dsah", _SAMPLE), Row("adsh", _SAMPLE)),
    bits=(12, 24, 32, 48),
    seeds=(0, 1, 2),
    options=Options(whole_database=True),
    lists={"7a8841953bf44b78": "tiny100"},
)
