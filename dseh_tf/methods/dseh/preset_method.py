"""Determines DSEH's settings from a preset, the backbone and given settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from dseh_tf.encoding.trunk import Trunk
from dseh_tf.errors import InputError
from dseh_tf.methods.base import Method
from dseh_tf.methods.dseh import presets
from dseh_tf.methods.dseh.settings import DSEHSettings, check
from dseh_tf.methods.settings import Layer


class PresetMethod(Method):
    """A method with DSEH's settings, from a preset.

    The settings start from a preset's row. Without `preset` and `preset_dataset` that is `other_data_preset`; with a
    `preset_dataset` alone it is "release". `release` and `paper` without a `preset_dataset` are NUS-WIDE's row as
    `presets.layers` changes it.
    """

    other_data_preset: ClassVar[str] = "modern"
    Settings = DSEHSettings
    OPTIONS = ("trunk", "preset_dataset", "preset", "phases", "rounds")

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        preset: str | None = None,
        preset_dataset: str | None = None,
        trunk: Trunk | None = None,
        phases: str = "all",
        rounds: int | None = None,
        **settings: Any,
    ) -> None:
        """Checks the settings.

        Args:
            bits: Code length K.
            seed: Seed of weights, batches and augmentation.
            preset: "release", "paper" or "modern".
            preset_dataset: The row of the preset: "nus_wide", "imagenet" or "ms_coco".
            trunk: The backbone of ImgNet, if the data set has images and no features.
            phases: "all", or "labnet" for the label side of round 0 alone, which needs no image.
            rounds: Number of rounds of alternation. Default: the preset's, or as many as given epochs have.
            **settings: Fields of `DSEHSettings`. `labnet_epochs` and `imgnet_epochs` can be one number for every round.
        """
        preset = preset or ("release" if preset_dataset else self.other_data_preset)
        for option, value, allowed in (
            ("preset", preset, presets.PRESETS),
            ("preset_dataset", preset_dataset, (None, *presets.ROWS)),
            ("phases", phases, ("all", "labnet")),
        ):
            if value not in allowed:
                raise InputError(f"{option}: found {value!r}, expected one of {', '.join(filter(None, allowed))}")
        self.preset, self.preset_dataset = preset, preset_dataset or "nus_wide"
        self._published = preset_dataset is not None
        self.trunk, self.phases, self.rounds = trunk or Trunk(), phases, rounds
        super().__init__(bits, seed, **settings)

    @property
    def needs_images(self) -> bool:
        return self.phases == "all"

    def config(self) -> dict[str, Any]:
        return {"preset": self.preset, "preset_dataset": self.preset_dataset, "phases": self.phases}

    def published(self) -> tuple[DSEHSettings, str]:
        return presets.PRESETS[self.preset][self.preset_dataset], f"preset {self.preset}: {self.preset_dataset}"

    def layers(self, features: bool) -> Iterable[Layer]:
        yield from presets.layers(self.preset, self._published, "features" if features else self.trunk.kind)
        yield Layer(self.name, self.changes)
        yield from presets.given_rounds(self.given, self.rounds)

    def given_changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        return presets.spread(self.given, settings.rounds)

    def changes(self, settings: DSEHSettings) -> Mapping[str, Any]:
        """What a variant changes of `settings`, DSEH's own, by name."""
        return {}

    def checked(self, settings: DSEHSettings) -> DSEHSettings:
        check(settings, labels_only=not self.needs_images)
        if self.needs_images:
            return settings
        # Later rounds would differ from more epochs only by ImgNet's rows in the memory.
        return replace(settings, labnet_epochs=settings.labnet_epochs[:1], imgnet_epochs=())
