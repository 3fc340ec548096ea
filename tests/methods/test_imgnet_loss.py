"""ImgNet's whole loss, equation 14, on what its network gives for a batch: loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from tests.test_losses import log_one_plus_exp, naive_similarity

pytestmark = pytest.mark.usefixtures("tf")

ROWS, BATCH, BITS, CLASSES = 24, 8, 6, 4


def naive(features, signs, similar, feature, logits, smoothing: float = 0.999) -> tuple[float, float]:
    """J1 as a mean over all rows x batch, theta half the inner product and S .999; J2 as a mean over rows and bits."""
    pairs = bits = 0.0
    for j in range(BATCH):
        for i in range(ROWS):
            theta = 0.5 * float(features[i].astype(float) @ feature[j])
            pairs += log_one_plus_exp(theta) - 0.999 * similar[i][j] * theta
        for k in range(BITS):
            z, target = 10.0 * float(logits[j, k]), smoothing * (signs[j, k] + 1) / 2
            bits += log_one_plus_exp(z) - target * z
    return pairs / (ROWS * BATCH), bits / (BATCH * BITS)


@pytest.mark.parametrize("pair_set", ["bank", "batch"])
def test_the_whole_loss(tf, rng, pair_set):
    """Whatever pairs LabNet learns from: ImgNet's are always those of all rows with the batch."""
    from dseh_tf.methods.dseh import DSEH, _Training
    from dseh_tf.training.runtime import Runtime

    labels = (rng.random((ROWS, CLASSES)) < 0.4).astype(np.uint8)
    labels[:, 0] |= labels.sum(1) == 0
    x = rng.standard_normal((ROWS, 10)).astype(np.float32)
    method = DSEH(
        BITS, imgnet_batch=BATCH, feature_dim=12, feature_layer=16, labnet_width=16, dropout=0.0, pair_set=pair_set,
        imgnet_code_weight=0.7,
    )  # fmt: skip
    dataset = RetrievalDataset.from_arrays((x, labels), (x[:2], labels[:2]))
    training = _Training(method, method.settings, dataset, Runtime(progress=False))
    features = np.maximum(rng.standard_normal((ROWS, 12)), 0).astype(np.float32)
    signs = np.where(rng.random((ROWS, BITS)) < 0.5, -1.0, 1.0)
    training.targets.fill(features, signs)
    rows = rng.permutation(ROWS)[:BATCH].astype(np.int32)
    terms = training.imgnet_loss(
        {"inputs": tf.constant(x[rows]), "labels": tf.constant(labels[rows], tf.float32), "rows": tf.constant(rows)}
    )
    out = {name: value.numpy() for name, value in training.imgnet(x[rows]).items()}
    j1, j2 = naive(features, signs[rows], naive_similarity(labels, labels[rows]), out["feature"], out["logits"])
    assert float(terms["feature"]) == pytest.approx(j1, rel=1e-5)
    assert float(terms["code"]) == pytest.approx(j2, rel=1e-5)
    assert float(terms["total"]) == pytest.approx(j1 + 0.7 * j2, rel=1e-5)
    assert not math.isclose(j1, math.log(2), rel_tol=1e-3)
