"""Asymmetric methods, whose database codes are learned, compared with symmetric ones: Top-5K precision and MAP, 12 to
48 bits.

Source: the poster Deep Semantic Asymmetric Hashing, Table 1: precision of the 5,000 nearest on CIFAR-10, all database rows
training (ADSH's protocol). It reports, at 12, 24, 36 and 48 bits,

    DSAH  .911  .930  .943  .948
    ADSH  .890  .924  .932  .934

DSAH here is our reconstruction (docs/asymmetric.md). All runs train on the whole database, which the asymmetric methods need;
their MAP is that of learned codes, and `map_encoded_database` in result.json that of encoded ones.

    python -m experiments.suite --suite=dsah --datasets=cifar10 --runs=runs/dsah --run_flag=--data_dir=data \
        --run_flag=--cifar10_train=whole_database --run_flag=--backbone=cnn_f \
        --run_flag=--backbone_weights=/data/imagenet-vgg-f.mat --run_flag=--train_backbone
    python -m figures.top5k_table --runs=runs/dsah --out=out
    python -m figures.code_correlation --runs=runs/dsah --out=out

The same on Corel-5k (LISTS and FEATURES as in the suite corel5k), and with --datasets=multi_digits on the digits. Expected:
the tables in docs/asymmetric.md, made from docs/results/dsah.csv; at 32 bits ADSH .68 on Corel-5k. Time there: 35 seconds per run
of ADSH at 32 bits, on 1 CPU core.

    python -m experiments.suite --suite=dsah --datasets=image_lists --bits=12,24,32,48 --runs=runs/dsah \
        --run_flag=--lists_dir=LISTS --run_flag=--features=FEATURES
    python -m experiments.collect --suite=dsah --runs=runs/dsah --out=docs/results/dsah.csv
    python -m experiments.result_tables
"""

from experiments.suite_options import Options
from experiments.suites import Suite

SUITE = Suite(
    datasets=("cifar10", "ms_coco", "nus_wide_21", "image_lists", "multi_digits"),
    methods=("dsah", "adsh", "daph", "dseh", "hashnet", "dpsh"),
    bits=(12, 24, 36, 48),
    seeds=(0, 1, 2),
    options=Options(whole_database=True),
    lists={"9fa7f2b43bf008dd": "corel5k"},
)
