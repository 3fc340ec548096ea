"""DSEH's published settings, and ours for other data.

`RELEASE[row]` has the values of lelan-li/DSEH (main.py, DSEH.py, net_vggf.py at b40990a), `PAPER[row]` those of Li et
al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018; row is one of `ROWS`. docs/settings.md shows them as a table.
`MODERN` is ours, the default on data without published settings; docs/studies/modern.md measures the effect of its
changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dseh_tf.methods.dseh.settings import DSEHSettings
from dseh_tf.methods.settings import Layer

ROWS = ("nus_wide", "imagenet", "ms_coco")


_NUS_WIDE = DSEHSettings()

RELEASE: dict[str, DSEHSettings] = {
    "nus_wide": _NUS_WIDE,
    "ms_coco": replace(
        _NUS_WIDE,
        labnet_feature_similarity=0.8,
        labnet_code_similarity=0.8,
        imgnet_learning_rate=10**-3.5,
        labnet_epochs=(40, 30, 20),
    ),
    "imagenet": replace(
        _NUS_WIDE,
        labnet_feature_similarity=5.0,
        labnet_code_similarity=5.0,
        labnet_feature_weight=0.0,
        label_weight=0.1,
        imgnet_learning_rate=10**-4.5,
        imgnet_clip=1.0,
        pretrained_multiplier=1.0,
        labnet_epochs=(4, 3, 2),
    ),
}

_PAPER = replace(
    _NUS_WIDE,
    labnet_width=4096,
    theta_scale=1.0,
    normalization="rows",
    labnet_feature_similarity=1.0,
    labnet_code_similarity=1.0,
    imgnet_similarity=1.0,
    # eq. 8 counts the quantisation of i and of j, .005 each; both range over the same rows.
    quantization_weight=0.01,
    label_head="linear",
    logit_scale=1.0,
    target_smoothing=1.0,
    optimizer="sgd",
    # All of LabNet's layers are new, so they learn at ten times the paper's largest rate.
    labnet_learning_rate=1e-1,
    imgnet_learning_rate=1e-2,
    labnet_clip=0.0,
    # Departures: plain SGD from weights of size .01 hardly starts (docs/studies/label-side.md has the figures).
    momentum=0.9,
    labnet_weight_size=0.03,
    labnet_clip_norm=1.0,
    decay_epochs=20,
)

PAPER: dict[str, DSEHSettings] = {
    "nus_wide": _PAPER,
    "ms_coco": replace(
        _PAPER,
        # A departure too, and the largest: with S = 1 the codes saturate early, and SGD stays at map_l .78.
        labnet_feature_similarity=0.8,
        labnet_code_similarity=0.8,
        labnet_epochs=(40, 30, 20),
    ),
    "imagenet": replace(
        _PAPER,
        # S in {0, 5} is for the bounded codes; on the unbounded features it has no minimum.
        labnet_feature_similarity=0.999,
        labnet_code_similarity=5.0,
        labnet_epochs=(4, 3, 2),
    ),
}

# Ours: DSEH for any labels. docs/studies/modern.md has what each departure is worth.
_MODERN = replace(
    _NUS_WIDE,
    label_codes="solved",
    labnet_feature_weight=0.0,
    labnet_code_weight=0.0,
    labnet_target_weight=1.0,
    imgnet_feature_weight=0.0,
    hash_input="trunk",
    logit_scale=2.0,
    imgnet_schedule="cosine",
    labnet_batch=128,
    labnet_epochs=(10, 5),
    imgnet_epochs=(40, 40),
)

MODERN: dict[str, DSEHSettings] = dict.fromkeys(ROWS, _MODERN)

PRESETS = {"release": RELEASE, "paper": PAPER, "modern": MODERN}


_EPOCHS = ("labnet_epochs", "imgnet_epochs")


def layers(preset: str, published: bool, trunk: str) -> Iterable[Layer]:
    """What changes a row of a preset for the data and the trunk at hand.

    Args:
        preset: One of PRESETS.
        published: Whether the row is that of the data set itself.
        trunk: Kind of the trunk, as `Trunk.kind`.
    """
    if not published and preset != "modern":
        yield Layer("data without published settings", OTHER_DATA)
    yield Layer(f"trunk: {trunk}", lambda settings: trunk_changes(settings, trunk))


def given_rounds(given: Mapping[str, Any], rounds: int | None) -> Iterable[Layer]:
    """What given epochs and a given number of rounds change, in addition to the epochs themselves.

    Epochs that are not given have as many rounds as those that are, or `rounds`: cut, or the last number repeated. ImgNet's
    epochs are not raised to `imgnet_least_steps` if they are given, or a different number of rounds.
    """
    if "imgnet_epochs" in given:
        yield Layer("given imgnet_epochs", {"imgnet_least_steps": 0})
    counts = {len(given[name]) for name in _EPOCHS if isinstance(given.get(name), tuple)}
    if rounds is None and len(counts) != 1:
        return
    (count,) = counts if rounds is None else (rounds,)

    def resized(settings: DSEHSettings) -> dict[str, Any]:
        epochs = {name: getattr(settings, name) for name in _EPOCHS}
        changed: dict[str, Any] = {
            name: (found + found[-1:] * count)[:count] for name, found in epochs.items() if len(found) != count
        }
        return changed | ({"imgnet_least_steps": 0} if rounds and "imgnet_epochs" in changed else {})

    yield Layer("given rounds", resized)


def spread(given: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Given settings, epochs for every round as one number per round."""
    whole = {name: given[name] for name in _EPOCHS if type(given.get(name)) is int}
    return {**given, **{name: (value,) * rounds for name, value in whole.items()}}


# S smoothed in LabNet as the release does on MS-COCO. With .999 pairs ask for inner products of 2 x 6.9, tanh saturates,
# and rows of different labels share codes (docs/studies/label-side.md).
OTHER_DATA: Mapping[str, Any] = {"labnet_feature_similarity": 0.8, "labnet_code_similarity": 0.8}


def trunk_changes(settings: DSEHSettings, trunk: str) -> dict[str, Any]:
    """What a trunk other than CNN-F changes: the sources' learning rates of ImgNet belong to CNN-F's weights.

    New layers on frozen features start at 1e-3 with Adam. So do those of another pretrained trunk that is fine-tuned,
    itself at a tenth of that. SGD keeps its rate. Above frozen features there is a ReLU layer, because the hash layer
    reads fc8 before its activation and would otherwise be linear in the features; that layer has a dropout too, so each
    drops less. "compact" starts from nothing: it learns in batches of 32, four times as many steps an epoch, and drops no
    units. The figures are in docs/studies/modern.md.

    Args:
        settings: So far.
        trunk: Kind of the trunk, as `Trunk.kind`.

    Returns:
        Changed settings by name.
    """
    solved = settings.label_codes == "solved"
    changes: dict[str, Any] = {}
    if trunk == "features":
        changes = {"feature_layer": 2048, "dropout": 0.3}
        if solved:  # features exist from the start, so one round is enough
            changes |= {name: getattr(settings, name)[:1] for name in ("labnet_epochs", "imgnet_epochs")}
            return changes | {"imgnet_least_steps": 2000, "imgnet_learning_rate": 7e-4, "pretrained_multiplier": 1.0}
    if trunk == "compact":
        changes = {"imgnet_batch": 32, "dropout": 0.0}
        if solved:  # a trunk from scratch learns better with the release's layers and rates
            changes |= {"labnet_batch": 32, "hash_input": "pre_activation", "logit_scale": 10.0}
            changes |= {"imgnet_schedule": "steps", "code_similarity": 0.2, "code_affinity": 1.0}
    if trunk == "cnn_f" or settings.optimizer != "adam":
        return changes
    return changes | {"imgnet_learning_rate": 1e-3, "pretrained_multiplier": 0.1 if trunk == "finetuned" else 1.0}
