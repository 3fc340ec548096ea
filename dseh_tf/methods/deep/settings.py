"""Settings that all deep baselines share, and how the backbone changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OPTIMIZERS = ("adam", "rmsprop", "sgd")


@dataclass(frozen=True)
class DeepSettings:
    """Settings of all deep baselines.

    Attributes:
        dropout: Dropout rate after fc6 and fc7, or on frozen features.
        feature_layer: Units of a ReLU layer after frozen features; 0 for none.
        normalize_outputs: Whether to normalise every bit's output to mean 0 and variance 1 over the batch of all
            replicas (with running statistics when encoding), so that no bit can be the same for all rows. A variance
            far below 1e-3 stays below 1: scaling up the initial outputs would give noise, from which a network trained
            from scratch does not recover.
        optimizer: "adam", "rmsprop" or "sgd".
        momentum, nesterov: Parameters of SGD.
        learning_rate: Learning rate of the new layers, at the start.
        decay, decay_epochs: The rate is multiplied by `decay` every `decay_epochs` epochs.
        pretrained_multiplier: Learning rate of pretrained layers / new layers.
        bias_multiplier: Learning rate of biases / kernels.
        weight_decay: Factor of half the squares of all kernels in the loss.
        batch: Batch size over all replicas.
        epochs: Number of epochs of n / batch steps.
    """

    dropout: float = 0.5
    feature_layer: int = 0
    normalize_outputs: bool = False
    optimizer: str = "adam"
    momentum: float = 0.0
    nesterov: bool = False
    learning_rate: float = 1e-3
    decay: float = 1.0
    decay_epochs: int = 50
    pretrained_multiplier: float = 1.0
    bias_multiplier: float = 1.0
    weight_decay: float = 0.0
    batch: int = 128
    epochs: int = 60


def trunk_changes(trunk: str) -> dict[str, Any]:
    """The changes for backbones other than CNN-F, because the published optimisers are for networks like CNN-F and
    AlexNet.

    The changes are the same for all baselines, and correspond to `presets.trunk_changes` for DSEH: Adam at 1e-3, a
    fine-tuned backbone at a tenth of that; after frozen features a ReLU layer of 2,048 units and a dropout of .3;
    batches of 32 without dropout for "compact". With a likelihood of pairs, training from scratch starts at a saddle,
    the constant code, and "compact" stays there unless its outputs are normalised (docs/rivals.md). DSEH does not have
    this problem, because it learns codes that LabNet has found.
    """
    if trunk == "cnn_f":
        return {}
    changes: dict[str, Any] = {
        "optimizer": "adam",
        "momentum": 0.0,
        "nesterov": False,
        "learning_rate": 1e-3,
        "decay": 10**-0.5,
        "decay_epochs": 20,
        "pretrained_multiplier": 0.1 if trunk == "finetuned" else 1.0,
        "bias_multiplier": 1.0,
        "weight_decay": 0.0,
        "batch": 128,
        "epochs": 60,
    }
    if trunk == "features":
        changes |= {"feature_layer": 2048, "dropout": 0.3}
    if trunk == "compact":
        changes |= {"batch": 32, "dropout": 0.0, "normalize_outputs": True}
    return changes
