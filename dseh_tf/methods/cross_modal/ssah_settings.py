"""SSAH's settings: two presets, and what the trunk changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PAIR_LOSSES = ("squared", "likelihood")


@dataclass(frozen=True)
class SSAHSettings:
    """Settings of SSAH. Defaults are those of lelan-li/SSAH:setting.py, SSAH.py, for MIRFLICKR-25K: the preset `release`.

    Attributes:
        pair_loss: Loss of similar and dissimilar pairs. "squared": `squared_likelihood`, the release's; "likelihood":
            `pair_likelihood`, the paper's.
        similarity: What multiplies S in the pair loss.
        adversary_weight: Weight of the loss against the discriminators; 0 for no discriminators.
        discriminator_widths: Units of their hidden layers.
        feature_weight, code_weight: Weights of the pair loss of features and of codes (alpha and gamma).
        quantization_weight: Weight of half the squared distance of codes from their signs (beta in the release, eta in the paper).
        label_weight: Weight of half the squared error of the classes (eta in the release, beta in the paper).
        feature_dim: Width of the semantic feature.
        label_hidden, text_hidden: Units of the first layer of the label and the text network.
        text_windows: Widths in words of the text network's averages; those wider than the vocabulary are left out.
        dropout: Dropout rate after fc6 and fc7, or on frozen features.
        feature_layer: Units of a ReLU layer after frozen features; 0 for none.
        optimizer: "adam", "rmsprop" or "sgd". One serves the three networks, so that Adam's bias correction counts the steps
            of all; pretrained layers with a rate of their own and the discriminators have others.
        momentum: Momentum of SGD.
        learning_rate: Learning rate of the image network, in the first stage of the first round.
        label_learning_rate, text_learning_rate, discriminator_learning_rate: Learning rates of the other networks.
        decay: Rates fall by 10^-decay from stage to stage and from round to round.
        pretrained_multiplier: Learning rate of pretrained layers / new layers.
        rounds: In each the label network trains, then the discriminators, the image and the text network.
        label_passes: Over the training rows, in the label network's first stage of a round; stage s has 1 / s of them.
        label_stages: Number of stages of the label network in a round.
        passes, text_passes: As `label_passes`, of the image and the text network.
        stages: Number of stages of the image and of the text network in a round.
        discriminator_passes, discriminator_stages: As above, for the discriminators.
        batch: Batch size over all replicas.
    """

    pair_loss: str = "squared"
    similarity: float = 0.999
    adversary_weight: float = 0.0
    discriminator_widths: tuple[int, ...] = (512, 256)
    feature_weight: float = 1.0
    code_weight: float = 1.0
    quantization_weight: float = 1.0
    label_weight: float = 1.0
    feature_dim: int = 512
    label_hidden: int = 4096
    text_hidden: int = 4096
    text_windows: tuple[int, ...] = (5, 10, 15, 30, 50)
    dropout: float = 0.0
    feature_layer: int = 0
    optimizer: str = "adam"
    momentum: float = 0.0
    learning_rate: float = 10**-4.5
    label_learning_rate: float = 1e-2
    text_learning_rate: float = 10**-3.5
    discriminator_learning_rate: float = 1e-3
    decay: float = 0.5
    pretrained_multiplier: float = 1.0
    rounds: int = 8
    label_passes: int = 10
    label_stages: int = 2
    passes: int = 15
    text_passes: int = 15
    stages: int = 3
    discriminator_passes: int = 1
    discriminator_stages: int = 2
    batch: int = 128


_RELEASE = SSAHSettings()
# Li, Deng, Li, Liu, Gao, Tao, CVPR 2018: eq. 2 to 8 and section 4.1. What it leaves open is the release's.
PRESETS: Mapping[str, SSAHSettings] = {
    "release": _RELEASE,
    "paper": replace(
        _RELEASE,
        pair_loss="likelihood",
        similarity=1.0,
        adversary_weight=1.0,
        discriminator_widths=(4096, 4096),
    ),
}
# Chosen on held-out training rows: docs/studies/cross-modal.md.
_OURS: dict[str, Any] = {
    "discriminator_widths": (512, 256),
    "label_hidden": 1024,
    "text_hidden": 1024,
    "learning_rate": 3e-4,
    "label_learning_rate": 1e-3,
    "text_learning_rate": 1e-3,
    "batch": 64,
    "rounds": 3,
    "label_passes": 15,
    "label_stages": 1,
    "passes": 15,
    "text_passes": 5,
    "stages": 1,
}
_OF_TRUNK: dict[str, dict[str, Any]] = {
    "features": {"feature_layer": 1024, "dropout": 0.2},
    "compact": {"learning_rate": 1e-3, "passes": 8, "text_passes": 8},
    "finetuned": {"pretrained_multiplier": 0.1},
}


def trunk_changes(trunk: str) -> dict[str, Any]:
    """What a trunk other than a fine-tuned CNN-F, the kind that was published, changes. The values are ours.

    trunk: a kind as in `Trunk.kind`.
    """
    return {} if trunk == "cnn_f" else {**_OURS, **_OF_TRUNK.get(trunk, {})}
