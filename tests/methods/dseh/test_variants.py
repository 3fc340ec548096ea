"""DSEH's ablations: what each changes, and nothing else."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pytest

from dseh_tf.errors import InputError

pytestmark = pytest.mark.usefixtures("tf")


def _differences(name: str, preset: str = "release", row: str = "nus_wide", **given) -> dict:
    from dseh_tf.methods import METHODS

    whole = asdict(METHODS["dseh"](8, preset=preset, preset_dataset=row).settings)
    variant = asdict(METHODS[name](8, preset=preset, preset_dataset=row, **given).settings)
    return {key: value for key, value in variant.items() if value != whole[key]}


@pytest.mark.parametrize("preset", ["release", "paper"])
@pytest.mark.parametrize("row", ["nus_wide", "ms_coco", "imagenet"])
def test_each_changes_one_part(preset, row):
    labnet_j1 = {"labnet_feature_weight": 0.0, "imgnet_feature_weight": 0.0}
    released = (preset, row) == ("release", "imagenet")  # LabNet's J1 is off there already
    on = {"labnet_feature_weight": 1.0, "labnet_feature_similarity": 0.999} if released else {}
    assert _differences("dseh_s", preset, row) == {"imgnet_feature_weight": 0.0, **on}
    assert _differences("dseh_ss", preset, row) == ({"imgnet_feature_weight": 0.0} if released else labnet_j1)
    assert _differences("dseh_l", preset, row) == {"label_weight": 0.0}
    first = _differences("dseh_a", preset, row)
    assert set(first) == {"labnet_epochs", "imgnet_epochs"}
    assert [len(epochs) for epochs in first.values()] == [1, 1]


@pytest.mark.parametrize(
    ("name", "absent"),
    [("dseh_s", {"imgnet/feature"}), ("dseh_ss", {"labnet/feature", "imgnet/feature"}), ("dseh_l", {"labnet/label"})],
)
def test_terms_that_are_left_out_have_no_trace(whole, name, absent):
    """And a layer that only they read stays as it was."""
    from dseh_tf.methods import METHODS
    from dseh_tf.models.labnet import build_labnet
    from tests.methods.small import BITS, SEED, small_settings

    fitted, settings = whole(name), METHODS[name](BITS, SEED, **small_settings(name)).resolve(features=True).settings
    terms = {f"labnet/{term}" for term in ("total", "feature", "code", "quantization", "label")}
    terms |= {f"imgnet/{term}" for term in ("total", "feature", "code")}
    assert {re.sub("/[01]/", "/", trace) for trace in fitted.traces} == terms - absent
    first = build_labnet(4, BITS, settings, SEED).get_layer("label").kernel.numpy()
    assert np.array_equal(fitted.labnet.get_layer("label").kernel, first) == (name == "dseh_l")


def test_rounds_of_dseh_a():
    assert _differences("dseh_a", labnet_epochs=(2,))["labnet_epochs"] == (2,)
    with pytest.raises(InputError, match="labnet_epochs: found 2 rounds, expected 1"):
        _differences("dseh_a", labnet_epochs=(2, 2), imgnet_epochs=(1, 1))
