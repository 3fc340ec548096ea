"""DJSRH's settings: published values, the rows of its ablation, and what the trunk changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

ALPHAS = ("sqrt", "fixed")


@dataclass(frozen=True)
class DJSRHSettings:
    """Settings of DJSRH. Defaults are those of zs-zhong/DJSRH:settings.py for NUS-WIDE.

    Attributes:
        ablation: A row of the release's ablation, a name in `ABLATIONS`; it changes the settings below.
        beta: Weight of the image affinity in the joint affinity; 1 for images alone, 0 for texts alone.
        eta: Weight of the second order of the affinity.
        mu: Scale of the affinity.
        lambda_image, lambda_text: Weights of the image-image and the text-text loss; that of image-text is 1.
        alpha: Codes are tanh(alpha z). "sqrt": alpha = sqrt(epoch + 1), epochs from 0. "fixed": alpha = 1.
        centre_features: Whether to subtract the mean of the training images' features before computing the image affinity.
        text_hidden: Units of the text network's hidden layer.
        dropout: Dropout rate after fc6 and fc7, or on frozen features.
        feature_layer: Units of a ReLU layer after frozen features; 0 for none.
        optimizer: "adam", "rmsprop" or "sgd".
        momentum: Momentum of SGD.
        learning_rate: Learning rate of the image network.
        text_learning_rate: Learning rate of the text network.
        pretrained_multiplier: Learning rate of pretrained layers / new layers.
        weight_decay: Factor of half the squares of all trained variables in the loss.
        batch: Batch size over all replicas; the affinity is computed within a batch.
        epochs: Number of epochs of n / batch steps.
    """

    ablation: str = "full"
    beta: float = 0.6
    eta: float = 0.4
    mu: float = 1.5
    lambda_image: float = 0.1
    lambda_text: float = 0.1
    alpha: str = "sqrt"
    centre_features: bool = False
    text_hidden: int = 4096
    dropout: float = 0.5
    feature_layer: int = 0
    optimizer: str = "sgd"
    momentum: float = 0.9
    learning_rate: float = 0.001
    text_learning_rate: float = 0.01
    pretrained_multiplier: float = 1.0
    weight_decay: float = 5e-4
    batch: int = 32
    epochs: int = 80


_NUS_WIDE = DJSRHSettings()
# zs-zhong/DJSRH:settings.py. Of Wikipedia's image network only fc6, fc7 and the hash layer are trained there.
PUBLISHED: Mapping[str, DJSRHSettings] = {
    "nus_wide": _NUS_WIDE,
    "mirflickr25k": replace(_NUS_WIDE, beta=0.9),
    "wikipedia": replace(
        _NUS_WIDE, beta=0.3, lambda_image=0.3, lambda_text=0.3, learning_rate=0.01, text_learning_rate=0.01, epochs=200
    ),
}
# The rows of the release's README, in its order: each adds to the one before, but for the first two and the last.
_PAIRS_ONLY = {"lambda_image": 0.0, "lambda_text": 0.0}
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "image_affinity": {"beta": 1.0, "eta": 0.0, "mu": 1.0, **_PAIRS_ONLY},
    "text_affinity": {"beta": 0.0, "eta": 0.0, "mu": 1.0, **_PAIRS_ONLY},
    "mixed_affinity": {"eta": 0.0, "mu": 1.0, **_PAIRS_ONLY},
    "second_order": {"mu": 1.0, **_PAIRS_ONLY},
    "scaled": _PAIRS_ONLY,
    "full": {},
    "fixed_alpha": {"alpha": "fixed"},
}
# Chosen on held-out training rows: docs/studies/cross-modal.md.
_OURS = {
    "optimizer": "adam",
    "momentum": 0.0,
    "learning_rate": 3e-4,
    "text_learning_rate": 3e-4,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "centre_features": True,
    "text_hidden": 1024,
    "epochs": 20,
}
_OF_TRUNK: dict[str, dict[str, Any]] = {
    "features": {"feature_layer": 1024},
    "compact": {"beta": 0.05, "learning_rate": 1e-3, "text_learning_rate": 1e-3, "batch": 64, "epochs": 24},
    "finetuned": {"pretrained_multiplier": 0.1},
}


def trunk_changes(trunk: str) -> dict[str, Any]:
    """What a trunk other than a fine-tuned CNN-F, the kind that was published, changes. The values are ours.

    trunk: a kind as in `Trunk.kind`. Where `compact` is the trunk, the features of the image affinity are those of an
    untrained network: all alike until their mean is subtracted, and worth little afterwards.
    """
    return {} if trunk == "cnn_f" else {**_OURS, **_OF_TRUNK.get(trunk, {})}
