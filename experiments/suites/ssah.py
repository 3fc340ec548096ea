"""SSAH on images and texts compared with DJSRH, in both directions: the presets `paper` (default) and `release`, 16 to
64 bits.

Source: Li, Deng, Li, Liu, Gao, Tao, Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval, CVPR 2018; release
lelan-li/SSAH, whose README shows its MAP only in a picture, so no published numbers are printed next to ours. Its split
of MIRFLICKR-25K is not seeded: 2,000 queries, 10,000 training rows, and the 18,015 rows that are not queries as
database. The published
settings apply to a fine-tuned CNN-F:

    python -m experiments.suite --suite=ssah --datasets=mirflickr25k --runs=runs/ssah --run_flag=--data_dir=/data/mirflickr \
        --run_flag=--backbone=cnn_f --run_flag=--backbone_weights=/data/imagenet-vgg-f.mat --run_flag=--train_backbone
    python -m figures.direction_table --runs=runs/ssah --out=out

On the embedded data set and on image lists with texts the settings for other trunks are ours (docs/studies/cross-modal.md):
--datasets=multi_digits, or --datasets=image_lists with --run_flag=--lists_dir=LISTS and --run_flag=--features=FEATURES.
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

SUITE = Suite(
    datasets=("mirflickr25k", "nus_wide_10"),
    methods=("ssah", Row("ssah", Options(preset="release"), name="ssah-release"), "djsrh"),
    bits=(16, 32, 64),
    seeds=(0, 1, 2),
)
