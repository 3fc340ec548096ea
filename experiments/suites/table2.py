"""Table 2 of the DSEH paper: DSEH and its ablations at 32 bits; distinct label codes, MAP of labels, MAP of images.

Source: Li et al., Deep Joint Semantic-Embedding Hashing, IJCAI 2018, Table 2 (mean of ten runs). The paper reports
n_h, map_l and map_i on NUS-WIDE as

    DSEH     2008   .9664   .7312
    DSEH-S   1959   .9633   .7208
    DSEH-SS  1164   .9322   .7013
    DSEH-L   1036   .9607   .7251
    DSEH-A   1684   .9558   .7234

and on ImageNet and MS-COCO what figures/published.py holds.

    python -m experiments.suite --suite=table2 --datasets=nus_wide_21 --runs=runs/table2 \
        --run_flag=--data_dir=/data/nus_wide --run_flag=--backbone=cnn_f \
        --run_flag=--backbone_weights=/data/imagenet-vgg-f.mat --run_flag=--train_backbone
    python -m figures.ablation_table --runs=runs/table2 --out=out

The release's row for ImageNet has no J1 in LabNet, and DSEH-S without its own would be DSEH-SS. So that one part makes the
difference, all but DSEH-SS have J1 there as the preset `paper` has it; the release's own row is what `table1` runs.

On data without published settings, DSEH's default preset is `modern`, and that of its ablations is `release`. Use
`release` for DSEH too, with `--run_flag=dseh:--preset=release`.

n_h and map_l need no images. On labels alone -S is DSEH, and -A differs by its rounds only, so three methods are left:

    python -m experiments.suite --suite=table2 --datasets=image_lists --methods=dseh,dseh_ss,dseh_l --runs=runs/labels \
        --run_flag=--lists_dir=LISTS --run_flag=--preset_dataset=ms_coco --run_flag=--phases=labnet
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

_J1 = {"imagenet_100": Options(settings={"labnet_feature_weight": 1.0, "labnet_feature_similarity": 0.999})}

SUITE = Suite(
    datasets=("nus_wide_21", "imagenet_100", "ms_coco"),
    methods=(Row("dseh", on=_J1), Row("dseh_s", on=_J1), "dseh_ss", Row("dseh_l", on=_J1), Row("dseh_a", on=_J1)),
    bits=(32,),
    seeds=tuple(range(10)),
)
