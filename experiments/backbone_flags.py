"""The flags that select the backbone; shared by the programs that build one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from dseh_tf.errors import InputError
from experiments import data_flags, own_layers, program

if TYPE_CHECKING:
    from dseh_tf.methods.image_encoder import Trunk

BACKBONE = program.DEFINE_path(
    "backbone",
    "compact",
    "Backbone: compact, cnn_f, a network of keras.applications (resnet50, ...), or the path of a .keras file.",
)
_WEIGHTS = program.DEFINE_path(
    "backbone_weights",
    None,
    "cnn_f: the path of imagenet-vgg-f.mat. keras.applications: imagenet (default) or a weights file. Both: random.",
)
_SCALING = flags.DEFINE_list(
    "backbone_scaling",
    None,
    "mean,scale: pixels become (x - mean) * scale; for a .keras model that does not scale.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    0,
    "Size of the square images. Default: 48 for multi_digits (except with cnn_f), else 224.",
    lower_bound=0,
)
TRAIN = flags.DEFINE_bool(
    "train_backbone", False, "Fine-tune a pretrained backbone, instead of extracting features once."
)
_TRAIN_FROM = flags.DEFINE_string(
    "train_backbone_from",
    None,
    "With --train_backbone: first layer to fine-tune; earlier layers stay frozen.",
)

_IMAGE_SIZES = {"multi_digits": 48}


def trunk() -> Trunk:
    """The trunk as the flags say."""
    from dseh_tf.methods.image_encoder import Trunk

    if _TRAIN_FROM.value is not None and not TRAIN.value:
        raise InputError(f"train_backbone_from: found {_TRAIN_FROM.value!r} without --train_backbone, expected both")
    scaling = None
    if _SCALING.value:
        if not BACKBONE.value.endswith(".keras"):
            raise InputError(
                f"backbone_scaling: found {','.join(_SCALING.value)}, but {BACKBONE.value} scales by itself"
            )
        try:
            mean, scale = map(float, _SCALING.value)
        except ValueError:
            raise InputError(f"backbone_scaling: found {','.join(_SCALING.value)}, expected mean,scale") from None
        scaling = (mean, scale)
    default = 224 if BACKBONE.value == "cnn_f" else _IMAGE_SIZES.get(data_flags.DATASET.value, 224)
    return Trunk(
        BACKBONE.value,
        _IMAGE_SIZE.value or default,
        TRAIN.value,
        scaling,
        mirror=data_flags.DATASET.value != "multi_digits",
        weights=_WEIGHTS.value,
        train_from=_TRAIN_FROM.value,
        import_modules=own_layers.imported(),
    )


def trunk_of_features(summary: Mapping[str, Any], folder: str) -> Trunk:
    """The trunk that features were extracted with. Raises InputError if the summary has none, or a flag says another."""
    from dseh_tf.methods.image_encoder import Trunk

    name, weights = summary.get("trunk", summary["backbone"]), summary.get("backbone_weights")
    scaling = summary.get("backbone_scaling")
    numbers = isinstance(scaling, (list, tuple)) and [type(value) in (int, float) for value in scaling] == [True, True]
    for field, value, fits, expected in (
        ("trunk", name, isinstance(name, str), "a name or path"),
        ("backbone_weights", weights, weights is None or isinstance(weights, str), "a path or null"),
        ("backbone_scaling", scaling, scaling is None or numbers, "[mean, scale] or null"),
    ):
        if not fits:
            raise InputError(f"{Path(folder) / 'features.json'}: {field}: found {value!r}, expected {expected}")
    found = Trunk(
        name,
        summary["image_size"],
        scaling=None if scaling is None else (float(scaling[0]), float(scaling[1])),
        mirror=summary["mirrored"],
        weights=weights,
    )
    asked = {
        "backbone": found.backbone,
        "image_size": found.image_size,
        "train_backbone": False,
        "train_backbone_from": None,
    }
    for name, value in asked.items():
        flag = flags.FLAGS[name]
        if flag.present and flag.value != value:
            raise InputError(f"{name}: found {flag.value!r}, expected {value!r}, as the features in {folder} have it")
    return found
