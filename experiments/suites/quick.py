"""A table in a few minutes on the embedded data set, without download or GPU. It corresponds to no table of a paper.

DSEH is limited to one round of ten image epochs, so its runs cannot be shared with other suites: use a separate folder.
The shallow methods work on the flattened images. Time: a few minutes on 2 CPU cores.

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
