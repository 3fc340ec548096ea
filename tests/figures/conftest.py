"""A folder of small made-up runs, written once."""

import pytest

from figures import style
from tests.figures.synthetic import World, write_run

WORLD = World()


@pytest.fixture(scope="session")
def runs_root(tmp_path_factory):
    """multi_digits with three methods, two code lengths and two seeds; ms_coco on labels only; nus_wide_21 at 32 bits."""
    root = tmp_path_factory.mktemp("runs")
    for method in ("dseh", "itq_cca", "itq"):
        for bits in (12, 32):
            for seed in (0, 1):
                write_run(root / f"digits-{method}-{bits}-{seed}", WORLD, method, bits, seed)
    write_run(root / "coco-labels", WORLD, "dseh", 32, dataset="ms_coco", labels_only=True)
    write_run(root / "nus" / "dseh-32", WORLD, "dseh", 32, dataset="nus_wide_21", picture=None)
    write_run(root / "nus" / "dseh_ss-32", WORLD, "dseh_ss", 32, dataset="nus_wide_21", picture=None)
    return root


@pytest.fixture(autouse=True)
def drawing_style():
    style.apply()
