"""MAP on image lists with one label of 100 classes an image: today's rivals, those of the paper, and DSEH.

Not in a paper. LISTS holds train.txt (10,000 rows), database.txt (15,000, the training rows included) and test.txt (2,000);
FEATURES is what `experiments.extract_features` wrote with EfficientNet-Lite0 at 96 pixels. Scores to expect are in
docs/studies/modern.md. HashNet uses its published row for ImageNet-100, which also has 100 classes.

    python -m experiments.suite --suite=tiny100 --runs=runs/tiny100 --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m figures.map_table --runs=runs/tiny100 --out=out
    python -m figures.seconds_table --runs=runs/tiny100 --out=out

The same suite serves lists that `experiments.derive_lists` made of these: 20 classes, or a long tail.
"""

from experiments.suites import Suite

SUITE = Suite(
    datasets=("image_lists",),
    methods=(
        "dseh", "csq", "cnnh", "dpn", "greedyhash", "orthohash", "dnnh", "fasth", "hashnet", "itq_cca", "ksh", "sdh",
        "itq", "dhn", "sh", "dpsh", "lsh",
    ),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
    flags={"hashnet": ("--preset_dataset=imagenet",)},
)  # fmt: skip
