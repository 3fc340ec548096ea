"""MAP on image lists with several labels an image: Corel-5k, 74 words.

Not in a paper. LISTS holds train.txt (4,434 rows, also the database) and test.txt (490); FEATURES is what
`experiments.extract_features` wrote with EfficientNet-Lite0 at 192 pixels. Scores to expect are in README.md and in
docs/studies/modern.md. HashNet has the best of its eight trials on held-out training rows.

    python -m experiments.suite --suite=corel5k --runs=runs/corel5k --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m figures.map_table --runs=runs/corel5k --out=out
"""

from experiments.suites import Suite

SUITE = Suite(
    datasets=("image_lists",),
    methods=(
        "dseh", "hashnet", "dnnh", "cnnh", "csq", "orthohash", "dpn", "greedyhash", "dpsh", "dhn", "fasth", "ksh", "sdh",
        "itq_cca", "itq", "sh", "lsh",
    ),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
    flags={"hashnet": ("--set=normalize_outputs=True",)},
)  # fmt: skip
