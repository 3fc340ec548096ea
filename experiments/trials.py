"""The settings that `experiments.tune` tries for each method: the same number for all, the method's defaults first.

A trial is a set of settings by name, in their own types. LSH and SH have fewer settings than trials. The trials of a
method vary what its source leaves open, and what depends on the scale of its features. They are made for frozen
features. With a trained backbone, some trials of the deep methods have no effect (`feature_layer`) or repeat a default
(`dropout` on CNN-F, `normalize_outputs` on `compact`), and fewer distinct trials are left. Your own method is tuned
with the others if it is added here, or if it is named as package.module:Class. Its trials are then the class attribute
`trials`, a tuple like those below; without this attribute, only its defaults are run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

TRIALS = 8

Trial = Mapping[str, Any]


def _grid(**choices: tuple[object, ...]) -> tuple[Trial, ...]:
    """Every combination of the settings' choices."""
    return tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))


# What all deep rivals are tried with; the other trials are their own.
_NETWORK: tuple[Trial, ...] = (
    {}, {"dropout": 0.5}, {"feature_layer": 4096}, {"learning_rate": 0.0003}, {"normalize_outputs": True},
)  # fmt: skip

SETTINGS: Mapping[str, tuple[Trial, ...]] = {
    "lsh": ({}, {"normalise": False}),
    "sh": ({}, {"normalise": False}),
    "itq": _grid(normalise=(True, False), iterations=(50, 10, 100, 200)),
    "itq_cca": _grid(scaling=("sqrt", "linear"), ridge=(1e-4, 1e-2, 1e-1, 1.0)),
    "ksh": ({}, *_grid(width_factor=(0.25, 0.5, 2.0)), *_grid(anchors=(1000,), width_factor=(0.25, 0.5, 1.0, 2.0))),
    "sdh": ({}, *_grid(width=(0.3, 0.6, 0.8)), *_grid(kernel_ridge=(1.0,), width=(0.3, 0.4, 0.6, 0.8))),
    "fasth": (
        {}, {"depth": 6}, {"learning_rate": 0.1}, {"components": 64}, {"components": 256}, {"rounds": 400},
        {"depth": 6, "learning_rate": 0.1}, {"depth": 6, "components": 256},
    ),
    "cnnh": (*_NETWORK, {"batch": 64}, {"sweeps": 30}, {"weight_decay": 0.0001}),
    "dnnh": (*_NETWORK, {"margin": 4.0}, {"threshold": 0.4}, {"margin": 4.0, "triplets": 64}),
    "dpsh": (*_NETWORK, {"eta": 5.0}, {"eta": 20.0}, {"eta": 40.0}),
    "dhn": (*_NETWORK, {"pair_set": "batch"}, {"quantization_weight": 0.2}, {"quantization_weight": 0.4}),
    "hashnet": (*_NETWORK, {"class_num": 1.0}, {"class_num": 10.0}, {"continuation_gamma": 0.05}),
    "greedyhash": (*_NETWORK, {"alpha": 0.03}, {"alpha": 0.3}, {"batch": 64}),
    "csq": (*_NETWORK, {"centres": "random"}, {"quantization_weight": 0.1}, {"batch": 64}),
    "dpn": (*_NETWORK, {"centres": "hadamard_or_search"}, {"margin": 0.5}, {"size_weight": 0.01}),
    # Its outputs are normalised anyway: one trial more of its own.
    "orthohash": (*_NETWORK[:4], {"centres": "hadamard_or_search"}, {"margin": 0.4}, {"scale": 16.0}, {"batch": 64}),
    # They need data sets whose training rows are the database.
    "adsh": (*_NETWORK, {"gamma": 20.0}, {"rounds": 60}, {"sample": 2000}),
    "daph": (*_NETWORK[:4], *({"alpha": alpha, "gamma": alpha / 10} for alpha in (1.0, 0.3, 0.1, 0.01))),
    "dsah": (*_NETWORK, {"mu1": 0.0}, {"mu2": 0.05}, {"label_codes": "labnet"}),
    # They need texts, and are tried only if --methods names them.
    "ssah": (
        {}, {"dropout": 0.5}, {"feature_layer": 4096}, {"learning_rate": 0.001}, {"passes": 30}, {"feature_weight": 0.0},
        {"adversary_weight": 10.0}, {"pair_loss": "squared", "similarity": 0.999},
    ),
    "dseh": (
        {}, {"dropout": 0.2}, {"feature_layer": 4096}, {"imgnet_learning_rate": 0.001}, {"logit_scale": 4.0},
        {"code_affinity": 0.3}, {"code_affinity": 1.0}, {"code_similarity": 0.6},
    ),
}  # fmt: skip
