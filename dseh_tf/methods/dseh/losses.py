"""The two losses of DSEH as terms of the global batch: equation 11 for LabNet, equation 14 for ImgNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from dseh_tf import losses
from dseh_tf.methods.dseh.label_targets import LabelTargets
from dseh_tf.methods.dseh.settings import DSEHSettings
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.recipe import Tensors, Terms


def labnet_loss(
    settings: DSEHSettings, memory: SemanticMemory | None, targets: LabelTargets, outputs: Tensors, batch: Tensors
) -> Terms:
    """alpha J1 + J2 + beta J3 + gamma J4 (eq. 11), and the regression to solved label codes.

    Args:
        settings: Weights and scales.
        memory: LabNet's banks; the batch's rows are written to those that a term reads. None if no term does.
        targets: The solved codes.
        outputs: "feature" [B, d], "code" [B, K] and "label" [B, c] of LabNet.
        batch: "rows" int32 [B], "labels" float32 [B, c].

    Returns:
        "total" and the terms by name, each a mean over its own entries.
    """
    s, labels = settings, batch["labels"]
    size, bits = s.labnet_batch, outputs["code"].shape[1]
    weights = {
        "feature": s.labnet_feature_weight,
        "code": s.labnet_code_weight,
        "target": s.labnet_target_weight,
        "quantization": s.quantization_weight,
        "label": s.label_weight,
    }
    pairs = _labnet_pairs(s, memory, outputs, batch)
    terms = {
        "feature": lambda: pairs("feature", s.labnet_feature_similarity),
        "code": lambda: pairs("code", s.labnet_code_similarity),
        "target": lambda: losses.code_regression(outputs["code"], targets.codes_of(batch["rows"])) / (size * bits),
        "quantization": lambda: losses.absolute_distance(outputs["code"], s.quantization_reduction) / size,
        "label": lambda: losses.label_regression(outputs["label"], labels) / (size * labels.shape[1]),
    }
    return _weighted(weights, terms, _batch_factor(s, size))


def _labnet_pairs(
    s: DSEHSettings, memory: SemanticMemory | None, outputs: Tensors, batch: Tensors
) -> Callable[[str, float], tf.Tensor]:
    """J1 ("feature") and J2 ("code"), means over their pairs, by output and what multiplies S."""
    labels, size = batch["labels"], s.labnet_batch
    if s.pair_set == "batch":
        same = losses.similarity(labels, labels)

        def within(name: str, similarity: float) -> tf.Tensor:
            theta = losses.inner_products(outputs[name], outputs[name], s.theta_scale)
            return 1.0 / (size * size) * losses.pair_likelihood(theta, similarity * same)

        return within
    assert memory
    read = [name for name in ("feature", "code") if getattr(s, f"labnet_{name}_weight")]
    memory.write(batch["rows"], {name: outputs[name] for name in read})
    similar = memory.similar(labels)

    def with_bank(name: str, similarity: float) -> tf.Tensor:
        found = memory.likelihood(name, outputs[name], similar, s.theta_scale, similarity)
        return 1.0 / (memory.rows * size) * found

    return with_bank


def imgnet_loss(settings: DSEHSettings, targets: LabelTargets, outputs: Tensors, batch: Tensors) -> Terms:
    """J1 + eta J2 (eq. 14), against the features and codes of the label vectors.

    Args:
        settings: Weights and scales.
        targets: LabNet's features and the codes.
        outputs: "feature" [B, d] and "logits" [B, K] of ImgNet.
        batch: "rows" int32 [B], "labels" float32 [B, c].

    Returns:
        "total" and the terms by name, each a mean over its own entries.
    """
    s, rows = settings, batch["rows"]
    size, bits = s.imgnet_batch, outputs["logits"].shape[1]
    weights = {"feature": s.imgnet_feature_weight, "code": s.imgnet_code_weight}
    terms = {
        "feature": lambda: (
            targets.likelihood(rows, batch["labels"], outputs["feature"], s.theta_scale, s.imgnet_similarity)
            / (targets.rows * size)
        ),
        "code": lambda: (
            losses.code_cross_entropy(outputs["logits"], targets.codes_of(rows), s.logit_scale, s.target_smoothing)
            / (size * bits)
        ),
    }
    return _weighted(weights, terms, _batch_factor(s, size))


def _batch_factor(s: DSEHSettings, size: int) -> float:
    """Algorithm 1 divides the sum over n x B pairs by n: B times the mean. Terms of single rows are treated alike."""
    return float(size) if s.normalization == "rows" else 1.0


def _weighted(weights: Mapping[str, float], terms: Mapping[str, Callable[[], tf.Tensor]], factor: float) -> Terms:
    """The terms whose weight is not 0, and "total", `factor` times their weighted sum. The others are not computed."""
    found = {name: term() for name, term in terms.items() if weights[name]}
    return {"total": factor * sum(weights[name] * value for name, value in found.items()), **found}
