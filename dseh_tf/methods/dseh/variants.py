"""Ablations of DSEH: the rows of Table 2 of the paper, each a preset of DSEH with one change.

They have DSEH's settings, presets and phases; a setting that is given overrides the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.dseh.settings import DSEHSettings


class _Variant(DSEH):
    """The ablations of Table 2 are of the release's DSEH."""

    other_data_preset = "release"


class DSEHS(_Variant):
    """DSEH-S: ImgNet is taught LabNet's codes alone, its semantic features not (no J1 in eq. 14).

    The release's row for ImageNet has no J1 in LabNet either, which would make this DSEH-SS. There, LabNet gets J1 with a
    similarity of .999, because the row's 5 leaves unbounded features without a minimum.
    """

    name = "dseh_s"

    def changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        labnet = (
            {} if settings.labnet_feature_weight else {"labnet_feature_weight": 1.0, "labnet_feature_similarity": 0.999}
        )
        return {"imgnet_feature_weight": 0.0, **labnet}


class DSEHSS(_Variant):
    """DSEH-SS: no semantic features in either network (no J1 in eq. 11 and eq. 14)."""

    name = "dseh_ss"

    def changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        return {"labnet_feature_weight": 0.0, "imgnet_feature_weight": 0.0}


class DSEHL(_Variant):
    """DSEH-L: LabNet's codes need not give the labels back (gamma = 0 in eq. 11)."""

    name = "dseh_l"

    def changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        return {"label_weight": 0.0}


class DSEHA(_Variant):
    """DSEH-A: one round, so that LabNet never learns from ImgNet."""

    name = "dseh_a"

    def changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        for name in ("labnet_epochs", "imgnet_epochs"):
            given = self.given.get(name)
            rounds = len(given) if isinstance(given, tuple) else self.rounds or 1
            if rounds > 1:
                raise InputError(f"{name}: found {rounds} rounds, expected 1, because dseh_a has a single round")
        return {"labnet_epochs": settings.labnet_epochs[:1], "imgnet_epochs": settings.imgnet_epochs[:1]}
