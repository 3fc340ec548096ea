"""Every published setting, written out a second time from its source, so that a slip in either place shows."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from dseh_tf.methods.dseh.presets import PAPER, RELEASE

# lelan-li/DSEH at b40990a, main.py and DSEH.py, NUS-WIDE's branch.
RELEASE_NUS_WIDE = {
    "labnet_width": 2048, "feature_dim": 512, "feature_activation": "relu", "hash_input": "pre_activation",
    "label_head": "sigmoid", "dropout": 0.5, "feature_layer": 0, "labnet_weight_size": 0.01,
    "theta_scale": 0.5, "pair_set": "bank", "normalization": "mean",
    "labnet_feature_similarity": 0.999, "labnet_code_similarity": 0.999, "imgnet_similarity": 0.999,
    "labnet_feature_weight": 1.0, "labnet_code_weight": 1.0, "quantization_weight": 0.01, "quantization_reduction": "mean",
    "labnet_target_weight": 0.0, "label_weight": 1.0, "imgnet_feature_weight": 1.0, "imgnet_code_weight": 1.0,
    "logit_scale": 10.0, "target_smoothing": 0.999,
    "optimizer": "adam", "momentum": 0.0, "labnet_learning_rate": 0.001, "imgnet_learning_rate": 0.0001,
    "decay_epochs": 10, "imgnet_schedule": "steps", "imgnet_least_steps": 0, "pretrained_multiplier": 0.1,
    "labnet_clip": 1.0, "imgnet_clip": 0.0, "labnet_clip_norm": 0.0,
    "labnet_batch": 32, "imgnet_batch": 128, "labnet_epochs": (30, 20, 10), "imgnet_epochs": (40, 40, 40),
    "bank_reinit": "imgnet", "bank_reinit_mean_subtract": True, "label_codes": "labnet",
}  # fmt: skip
# Ours, and without effect where LabNet's signs are the codes.
OF_SOLVED_CODES = {"code_similarity", "code_affinity", "code_distance", "code_class_balance"}
RELEASE_ELSEWHERE = {
    "ms_coco": {
        "labnet_feature_similarity": 0.8, "labnet_code_similarity": 0.8, "labnet_epochs": (40, 30, 20),
        "imgnet_learning_rate": 3.1622776601683795e-4,
    },
    "imagenet": {
        "labnet_feature_similarity": 5.0, "labnet_code_similarity": 5.0, "labnet_feature_weight": 0.0, "label_weight": 0.1,
        "imgnet_learning_rate": 3.1622776601683795e-5, "imgnet_clip": 1.0, "pretrained_multiplier": 1.0,
        "labnet_epochs": (4, 3, 2),
    },
}  # fmt: skip
# Section 3.4 and 4.1 of the paper where they differ from the release, and the departures that docs/settings.md lists.
PAPER_NUS_WIDE = {
    "labnet_width": 4096, "theta_scale": 1.0, "normalization": "rows", "label_head": "linear",
    "labnet_feature_similarity": 1.0, "labnet_code_similarity": 1.0, "imgnet_similarity": 1.0,
    "logit_scale": 1.0, "target_smoothing": 1.0,
    "optimizer": "sgd", "momentum": 0.9, "labnet_learning_rate": 0.1, "imgnet_learning_rate": 0.01, "labnet_clip": 0.0,
    "labnet_weight_size": 0.03, "labnet_clip_norm": 1.0, "decay_epochs": 20,
}  # fmt: skip
PAPER_ELSEWHERE = {
    "ms_coco": {"labnet_feature_similarity": 0.8, "labnet_code_similarity": 0.8, "labnet_epochs": (40, 30, 20)},
    "imagenet": {"labnet_feature_similarity": 0.999, "labnet_code_similarity": 5.0, "labnet_epochs": (4, 3, 2)},
}

# What every rival has where its source says nothing.
SHARED = {
    "dropout": 0.5, "feature_layer": 0, "normalize_outputs": False, "optimizer": "adam", "momentum": 0.0, "nesterov": False,
    "decay": 1.0, "decay_epochs": 50, "pretrained_multiplier": 1.0, "bias_multiplier": 1.0, "weight_decay": 0.0, "batch": 128,
}  # fmt: skip
HASHNET = {
    "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 5e-4, "decay": 0.5, "decay_epochs": 105,
    "pretrained_multiplier": 0.1, "bias_multiplier": 2.0, "weight_decay": 5e-4, "batch": 512, "epochs": 526,
    "sigmoid_param": 10.0, "continuation_gamma": 0.005, "continuation_power": 0.5, "continuation_every": 200,
}  # fmt: skip
DPSH = {
    "optimizer": "sgd", "learning_rate": 0.05, "decay": 0.1, "decay_epochs": 50, "weight_decay": 1e-5, "epochs": 150,
}  # fmt: skip
# CISiPLab/cisip-FIRe, and kamwoh/orthohash, of the same authors.
FIRE = {
    "learning_rate": 1e-4, "decay": 0.1, "decay_epochs": 80, "pretrained_multiplier": 0.1, "weight_decay": 5e-4, "epochs": 100,
}  # fmt: skip
GREEDYHASH = {
    "optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-3, "decay": 0.1, "weight_decay": 5e-4, "batch": 64, "epochs": 200,
}  # fmt: skip
# jiangqy/ADSH-AAAI2018:ADSH_matlab, CNN-F: logspace(-4, -6, 150), NUS-WIDE logspace(-4.5, -6, 150).
ADSH = {
    "dropout": 0.0, "optimizer": "sgd", "learning_rate": 1e-4, "decay": 10 ** (-2 / 149), "decay_epochs": 1,
    "weight_decay": 5e-4, "batch": 64, "epochs": 3, "rounds": 50, "sample": 2000, "gamma": 200.0,
}  # fmt: skip
ADSH_NUS_WIDE = {**ADSH, "learning_rate": 10**-4.5, "decay": 10 ** (-1.5 / 149)}
# Ours: the poster has none.
DSAH = {
    "mu1": 0.01, "mu2": 0.2, "feature_dim": 512, "label_codes": "solved", "labnet_steps": 1000, "labnet_batch": 128,
    "labnet_learning_rate": 1e-3,
}  # fmt: skip
RIVALS = {
    ("adsh", "nus_wide"): ADSH_NUS_WIDE,
    ("adsh", "imagenet"): ADSH,
    ("adsh", "ms_coco"): ADSH,
    ("dsah", "nus_wide"): {**ADSH_NUS_WIDE, **DSAH},
    ("dsah", "imagenet"): {**ADSH, **DSAH},
    ("dsah", "ms_coco"): {**ADSH, **DSAH},
    ("daph", "nus_wide"): {
        "learning_rate": 1e-4, "weight_decay": 1e-5, "epochs": 150, "alpha": 10.0, "gamma": 3.0, "decorrelation": 0.01,
        "balance": 0.01,
    },
    ("hashnet", "nus_wide"): {**HASHNET, "class_num": 5.0},
    ("hashnet", "ms_coco"): {**HASHNET, "class_num": 1.0},
    ("hashnet", "imagenet"): {**HASHNET, "class_num": 100.0},
    ("dpsh", "nus_wide"): {**DPSH, "eta": 50.0},
    ("dpsh", "ms_coco"): {**DPSH, "eta": 10.0},
    ("dpsh", "imagenet"): {**DPSH, "eta": 10.0},
    ("dhn", "nus_wide"): {
        "optimizer": "rmsprop", "learning_rate": 1e-5, "weight_decay": 1e-5, "epochs": 90, "quantization_weight": 0.1,
        "pair_set": "bank",
    },
    ("cnnh", "nus_wide"): {"learning_rate": 1e-5, "epochs": 150, "sweeps": 10, "block": 32},
    ("dnnh", "nus_wide"): {
        "optimizer": "sgd", "momentum": 0.9, "learning_rate": 2e-3, "decay": 0.1, "decay_epochs": 600,
        "pretrained_multiplier": 0.1, "bias_multiplier": 2.0, "weight_decay": 2.5e-4, "epochs": 1000, "slice_width": 50,
        "margin": 1.0, "threshold": 0.5, "triplets": 1,
    },
    ("csq", "nus_wide"): {
        "optimizer": "rmsprop", "learning_rate": 1e-5, "weight_decay": 1e-5, "batch": 64, "epochs": 150,
        "centres": "hadamard_or_search", "quantization_weight": 1e-4,
    },
    ("dpn", "nus_wide"): {**FIRE, "batch": 64, "centres": "dpn", "margin": 1.0, "size_weight": 0.1},
    ("orthohash", "nus_wide"): {**FIRE, "batch": 256, "centres": "random", "margin": 0.2, "scale": 8.0},
    ("greedyhash", "nus_wide"): {**GREEDYHASH, "decay_epochs": 30, "alpha": 0.1},
    ("greedyhash", "imagenet"): {**GREEDYHASH, "decay_epochs": 80, "alpha": 1.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("presets", "base", "elsewhere"),
    [
        (RELEASE, RELEASE_NUS_WIDE, RELEASE_ELSEWHERE),
        (PAPER, {**RELEASE_NUS_WIDE, **PAPER_NUS_WIDE}, PAPER_ELSEWHERE),
    ],
    ids=["release", "paper"],
)
def test_dseh(presets, base, elsewhere):
    assert set(presets) == {"nus_wide", *elsewhere}
    for row, settings in presets.items():
        found, expected = asdict(settings), {**base, **elsewhere.get(row, {})}
        assert set(found) == {*expected, *OF_SOLVED_CODES}
        for name, value in expected.items():
            assert found[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), (row, name)


def test_rivals(tf):
    from dseh_tf.methods import METHODS

    names = {name for name, _ in RIVALS}
    assert {(name, row) for name in names for row in METHODS[name].PUBLISHED} == set(RIVALS)
    for (name, row), own in RIVALS.items():
        found, expected = asdict(METHODS[name].PUBLISHED[row]), {**SHARED, **own}
        assert set(found) == set(expected), name
        for field, value in expected.items():
            assert found[field] == value, (name, row, field)
