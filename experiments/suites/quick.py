"""A table in minutes on the embedded data set: no download, no GPU. Nothing of it is in a paper.

DSEH is cut to one round of ten image epochs, so its runs are not those of another suite: give it a folder of its own. The
shallow methods work on the flattened images.

    python -m experiments.suite --suite=quick --runs=runs/quick
    python -m figures.all --runs=runs/quick --out=out
"""

from experiments.suites import Suite

SUITE = Suite(
    datasets=("multi_digits",),
    methods=("dseh", "sdh", "itq_cca", "itq", "sh", "lsh"),
    bits=(16, 32),
    seeds=(0,),
    flags={"dseh": ("--rounds=1", "--imgnet_epochs=10")},
)
