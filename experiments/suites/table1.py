"""Table 1 of the DSEH paper: MAP of every method on NUS-WIDE, ImageNet and MS-COCO at 16, 32, 48 and 64 bits.

Source: Li et al., Deep Joint Semantic-Embedding Hashing, IJCAI 2018, Table 1. On CNN-F the paper reports for DSEH

    bits        16      32      48      64
    NUS-WIDE    .7119   .7312   .7372   .7422
    ImageNet    .5278   .6137   .6397   .6548
    MS-COCO     .5897   .6048   .6133   .6188

and for all others what figures/published.py holds; FastH, DNNH, GreedyHash, CSQ, DPN and OrthoHash are not in the paper's
table. One command per data set, since each lies in a separate folder:

    python -m experiments.suite --suite=table1 --datasets=nus_wide_21 --runs=runs/table1 \
        --run_flag=--data_dir=/data/nus_wide --run_flag=--backbone=cnn_f \
        --run_flag=--backbone_weights=/data/imagenet-vgg-f.mat --run_flag=dseh:--train_backbone \
        --run_flag=hashnet:--train_backbone --run_flag=dhn:--train_backbone --run_flag=dpsh:--train_backbone \
        --run_flag=cnnh:--train_backbone --run_flag=dnnh:--train_backbone \
        --run_flag=greedyhash:--train_backbone --run_flag=csq:--train_backbone --run_flag=dpn:--train_backbone \
        --run_flag=orthohash:--train_backbone
    python -m figures.map_table --runs=runs/table1 --out=out

The deep methods fine-tune CNN-F; the shallow ones, which are not given --train_backbone, work on its features, extracted once.
"""

from experiments.suites import Suite

SUITE = Suite(
    datasets=("nus_wide_21", "imagenet_100", "ms_coco"),
    methods=("dseh", "hashnet", "dhn", "dpsh", "cnnh", "sdh", "itq_cca", "ksh", "itq", "sh", "lsh"),
    bits=(16, 32, 48, 64),
    seeds=(0, 1, 2),
    every_method=True,
)
