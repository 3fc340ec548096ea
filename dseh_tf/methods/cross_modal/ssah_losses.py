"""SSAH's loss of a network, as terms of a global batch: equation 2 of the label network, 5 of the image and text networks."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dseh_tf import losses
from dseh_tf.devices.replicas import split_sum
from dseh_tf.methods.cross_modal.ssah_settings import SSAHSettings
from dseh_tf.training.banks import SemanticMemory
from dseh_tf.training.recipe import Tensors, Terms

THETA_SCALE = 0.5  # of inner products, in the paper and in the release


def pair_loss(settings: SSAHSettings, bank: tf.Tensor, outputs: tf.Tensor, similar: tf.Tensor) -> tf.Tensor:
    """The loss of all pairs of a bank's rows and a batch, summed.

    Args:
        settings: `pair_loss` and `similarity`.
        bank: The label network's features [n, d] or codes [n, K], constants.
        outputs: [b, d] or [b, K] of the batch.
        similar: S [n, b].

    Returns:
        A scalar.
    """
    theta = losses.inner_products(bank, outputs, THETA_SCALE)
    kind = losses.squared_likelihood if settings.pair_loss == "squared" else losses.pair_likelihood
    return kind(theta, settings.similarity * similar)


def memory_pairs(settings: SSAHSettings, memory: SemanticMemory, labels: tf.Tensor) -> Callable[..., tf.Tensor]:
    """`pair_loss` of a bank of the memory, by its name and the batch's outputs (in a replica context)."""
    similar = memory.similar(labels)

    def pairs(name: str, outputs: tf.Tensor) -> tf.Tensor:
        if settings.pair_loss == "likelihood":
            return memory.likelihood(name, outputs, similar, THETA_SCALE, settings.similarity)
        return split_sum(pair_loss(settings, memory.own(name), outputs, similar))

    return pairs


def network_loss(
    settings: SSAHSettings,
    pairs: Callable[[str, tf.Tensor], tf.Tensor],
    outputs: Tensors,
    labels: tf.Tensor,
    source: tf.Tensor | None = None,
) -> Terms:
    """alpha J1 + gamma J2 + J3 + J4, and the loss against a discriminator.

    Args:
        settings: Weights.
        pairs: From "feature" or "code" and the batch's outputs to the loss of their pairs with all rows.
        outputs: "feature" [b, d], "code" [b, K] in (-1, 1) and "label" [b, c].
        labels: [b, c] multi-hot.
        source: The discriminator's logits of the batch's features, [b, 1].

    Returns:
        "total" and the terms, unweighted, by name; each is a sum, as in the paper and the release.
    """
    s = settings
    terms = {
        "feature": (s.feature_weight, lambda: pairs("feature", outputs["feature"])),
        "code": (s.code_weight, lambda: pairs("code", outputs["code"])),
        "quantization": (s.quantization_weight, lambda: 0.5 * losses.sign_distance(outputs["code"])),
        "label": (s.label_weight, lambda: losses.label_regression(outputs["label"], labels)),
    }
    if source is not None:
        # A label is what the network's features should be taken for.
        terms["adversary"] = (s.adversary_weight, lambda: losses.source_cross_entropy(source, 1.0))
    found, total = {}, tf.zeros((), labels.dtype)
    for name, (weight, term) in terms.items():
        if weight:
            found[name] = term()
            total += weight * found[name]
    return {"total": total, **found}


def discriminator_loss(logits: Tensors) -> Terms:
    """The mean over both discriminators and both sources of the mean cross entropy of a batch.

    Args:
        logits: [b, 1] by name: "image" and "text" of the discriminators' own modalities, "image_labels" and "text_labels" of the
            label network's features.

    Returns:
        "total", and each modality's share of it.
    """
    terms = {}
    for kind in ("image", "text"):
        size = tf.cast(tf.shape(logits[kind])[0], logits[kind].dtype)
        own = losses.source_cross_entropy(logits[kind], 0.0)
        terms[kind] = (own + losses.source_cross_entropy(logits[f"{kind}_labels"], 1.0)) / (4.0 * size)
    return {"total": terms["image"] + terms["text"], **terms}
