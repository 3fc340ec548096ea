"""DSEH without one of its parts: the rows of Table 2 of the paper, each a preset of DSEH with one change.

They take DSEH's settings, presets and phases; a setting that is given explicitly stands.
"""

from __future__ import annotations

from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.dseh.presets import DSEHSettings


class DSEHS(DSEH):
    """DSEH-S: ImgNet is taught LabNet's codes alone, its semantic features not (no J1 in eq. 14).

    The release's row for ImageNet has no J1 in LabNet either, which would make this DSEH-SS: there LabNet has it, with
    similarities of .999, for 5 leaves unbounded features without a minimum.
    """

    name = "dseh_s"
    other_data_preset = "release"

    def changes(self, settings: DSEHSettings) -> dict[str, Any]:
        labnet = (
            {} if settings.labnet_feature_weight else {"labnet_feature_weight": 1.0, "labnet_feature_similarity": 0.999}
        )
        return {"imgnet_feature_weight": 0.0, **labnet}


class DSEHSS(DSEH):
    """DSEH-SS: no semantic features in either network (no J1 in eq. 11 and eq. 14)."""

    name = "dseh_ss"
    other_data_preset = "release"

    def changes(self, settings: DSEHSettings) -> dict[str, Any]:
        return {"labnet_feature_weight": 0.0, "imgnet_feature_weight": 0.0}


class DSEHL(DSEH):
    """DSEH-L: LabNet's codes need not give the labels back (gamma = 0 in eq. 11)."""

    name = "dseh_l"
    other_data_preset = "release"

    def changes(self, settings: DSEHSettings) -> dict[str, Any]:
        return {"label_weight": 0.0}


class DSEHA(DSEH):
    """DSEH-A: one round, so that LabNet never learns from ImgNet."""

    name = "dseh_a"
    other_data_preset = "release"

    def changes(self, settings: DSEHSettings) -> dict[str, Any]:
        for name in ("labnet_epochs", "imgnet_epochs"):
            if len(self._given.get(name, (0,))) > 1:
                raise InputError(f"{name}: found {len(self._given[name])} rounds, expected 1, which is what dseh_a is")
        return {"labnet_epochs": settings.labnet_epochs[:1], "imgnet_epochs": settings.imgnet_epochs[:1]}
