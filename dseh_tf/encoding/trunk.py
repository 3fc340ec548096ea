"""The backbone below a method's own layers, and how the backbone of a run is built again. TensorFlow is imported when
it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dseh_tf.errors import InputError

if TYPE_CHECKING:
    from dseh_tf.models.backbones import Backbone


@dataclass(frozen=True)
class Trunk:
    """The backbone below a method's own layers, with the arguments of `build_backbone`.

    mirror: training images are mirrored with probability 1/2.
    weights: of CNN-F or a network of `keras.applications`. train_from: with `train`, the layer fine-tuning begins at.
    import_modules: modules that register the layers of a `.keras` file.
    kind: "features" if it is frozen and its features were extracted, else "compact", "cnn_f" or "finetuned" (another
    pretrained trunk).
    """

    backbone: str = "compact"
    image_size: int = 48
    train: bool = False
    scaling: tuple[float, float] | None = None
    mirror: bool = True
    weights: str | None = None
    train_from: str | None = None
    import_modules: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        if self.backbone == "compact":
            return "compact"
        if not self.train:
            return "features"
        return "cnn_f" if self.backbone == "cnn_f" else "finetuned"

    def build(self, seed: int, dropout: float = 0.5) -> Backbone:
        from dseh_tf.models.backbones import build_backbone

        return build_backbone(
            self.backbone,
            self.image_size,
            self.train,
            self.scaling,
            seed,
            self.weights,
            dropout,
            self.train_from,
            self.import_modules,
        )


def trunk_of(config: Mapping[str, Any]) -> Trunk:
    """The trunk that config.json of a run on images names, but for modules to import: those the user alone names.

    Raises InputError if the config has no such trunk.
    """
    found: Any = config.get("trunk")
    try:
        given = {name: value for name, value in found.items() if name != "import_modules"}
        scaling = given.pop("scaling")
        if scaling is not None:
            factor, shift = map(float, scaling)
            scaling = factor, shift
        trunk = Trunk(**given, scaling=scaling)
    except (AttributeError, KeyError, TypeError, ValueError):
        trunk = None
    if trunk is None or not isinstance(trunk.backbone, str) or type(trunk.image_size) is not int:
        raise InputError(f"config.json: trunk: found {found!r}, expected that of a run on images")
    return trunk


def moved_trunk(config: Mapping[str, Any], trunk: Trunk, path: Path | str) -> Trunk:
    """The trunk of a run, read from `path`: the weights of a network known by its name, or else the `.keras` file.

    Raises InputError if the run's trunk is not read from a file. Whether it is the run's file is checked as it is read.
    """
    if trunk.backbone.endswith(".keras"):
        return replace(trunk, backbone=str(path))
    if trunk.weights not in (None, "imagenet", "random"):
        return replace(trunk, weights=str(path))
    raise InputError(f"backbone: found {path}, but the backbone of this run, {trunk.backbone}, is not read from a file")


def frozen_trunk(config: Mapping[str, Any], trunk: Trunk) -> Backbone:
    """The frozen trunk below a run's network, made again. Raises InputError if it is another network by now."""
    file = trunk.weights if trunk.weights not in (None, "imagenet", "random") else trunk.backbone
    if (file != trunk.backbone or file.endswith(".keras")) and not Path(file).is_file():
        raise InputError(f"{file}: found no such file, expected the backbone that the run was made with")
    check_trunk_files(config, trunk)
    backbone = trunk.build(config["seed"])
    expected = config.get("features", {}).get("fingerprint")
    if expected is not None and not backbone.is_known_as(expected):
        raise InputError(
            f"{trunk.backbone}: found different weights, expected those that the run's features were extracted with"
        )
    return backbone


def check_trunk_files(config: Mapping[str, Any], trunk: Trunk) -> None:
    """Raises InputError if a file that the run's trunk was read from holds something else by now."""
    known = config.get("trunk_files", {})
    now = trunk_digests(trunk) if known else {}
    for name, digest in known.items():
        if now.get(name) != digest:
            file = {"backbone": trunk.backbone, "backbone_weights": trunk.weights}[name]
            found = "no such file" if name not in now else "another file"
            raise InputError(f"{file}: found {found}, expected the {name} that the run was made with")


def trunk_digests(trunk: Trunk) -> dict[str, str]:
    """Digests of the files that a backbone is read from, because a path may contain a different network when a run is
    resumed."""
    files = {"backbone": trunk.backbone, "backbone_weights": trunk.weights}
    digests = {}
    for name, path in files.items():
        if path and Path(path).is_file():
            digest = hashlib.sha256()
            with Path(path).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            digests[name] = digest.hexdigest()[:16]
    return digests
