"""DJSRH on images and texts: 16 to 128 bits in both directions, and the rows of its ablation at 64 and 128 bits.

Source: Su, Zhong, Zhang, Deep Joint-Semantics Reconstructing Hashing for Large-Scale Unsupervised Cross-Modal Retrieval, ICCV
2019; release zs-zhong/DJSRH, whose README reports MAP@50 on NUS-WIDE

                                  64 bits I->T  T->I   128 bits I->T  T->I
    image_affinity   S = S_I              .717  .712           .741  .735
    text_affinity    S = S_T              .702  .606           .734  .581
    mixed_affinity   S~                   .724  .720           .747  .738
    second_order     + eta = .4           .790  .745           .803  .757
    scaled           + mu = 1.5           .793  .747           .812  .768
    full             + lambda = .1        .798  .771           .817  .789
    fixed_alpha      full, alpha = 1      .786  .770           .811  .782

on a fine-tuned AlexNet; CNN-F is of its kind. The split of the release is not seeded. One command per data set:

    python -m experiments.suite --suite=djsrh --datasets=nus_wide_10 --runs=runs/djsrh --run_flag=--data_dir=/data/nus_wide \
        --run_flag=--nus_pool=tagged --run_flag=--backbone=cnn_f --run_flag=--backbone_weights=/data/imagenet-vgg-f.mat \
        --run_flag=--train_backbone
    python -m figures.direction_table --runs=runs/djsrh --out=out

On Wikipedia the release trains fc6, fc7 and the hash layer alone: --run_flag=--train_backbone_from=fc6. On the embedded data set
and on image lists with texts the settings for other trunks are ours: --datasets=multi_digits, or --datasets=image_lists with
--run_flag=--lists_dir=LISTS and --run_flag=--features=FEATURES.
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_ABLATIONS = ("image_affinity", "text_affinity", "mixed_affinity", "second_order", "scaled", "fixed_alpha")

SUITE = Suite(
    datasets=("wikipedia", "mirflickr25k", "nus_wide_10"),
    methods=(
        Row("djsrh", bits=(16, 32, 64, 128)),
        *(Row("djsrh", Options(settings={"ablation": name}), name=f"djsrh-{name}") for name in _ABLATIONS),
    ),
    bits=(64, 128),
    seeds=(0, 1, 2),
)
