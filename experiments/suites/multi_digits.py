"""MAP on the embedded data set, all networks trained from scratch: 2,000 images, 5,000 in the database, 500 queries.

Not in a paper. Scores to expect are in README.md and docs/studies/modern.md. The deep methods train for 24 image epochs
(DSEH in two rounds of 12), DNNH for its 60; ITQ-CCA works on the pixels.

    python -m experiments.suite --suite=multi_digits --runs=runs/multi_digits
    python -m figures.map_table --runs=runs/multi_digits --out=out
"""

from experiments.suites import Suite

_EPOCHS = ("--set=epochs=24",)

SUITE = Suite(
    datasets=("multi_digits",),
    methods=("dseh", "dhn", "dpsh", "dnnh", "cnnh", "hashnet", "csq", "orthohash", "dpn", "greedyhash", "itq_cca"),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
    flags={
        "dseh": ("--rounds=2", "--imgnet_epochs=12"),
        **dict.fromkeys(("dhn", "dpsh", "cnnh", "hashnet", "csq", "orthohash", "dpn", "greedyhash"), _EPOCHS),
    },
)
