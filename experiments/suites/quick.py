"""A table in minutes on the embedded data set: no download, no GPU. Nothing of it is in a paper.

DSEH is cut to one round of ten image epochs, so its runs are not those of another suite: give it a folder of its own. The
shallow methods work on the flattened images. Time: a few minutes on 2 CPU cores.

    python -m experiments.suite --suite=quick --runs=runs/quick
    python -m figures.all --runs=runs/quick --out=out
"""

from experiments.suite_options import Options
from experiments.suites import Row, Suite

SUITE = Suite(
    datasets=("multi_digits",),
    methods=(Row("dseh", Options(rounds=1, imgnet_epochs=10)), "sdh", "itq_cca", "itq", "sh", "lsh"),
    bits=(16, 32),
    seeds=(0,),
)
