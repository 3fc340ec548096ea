"""LabNet's phase against the release's loop written out: two forward passes, whole banks, Adam in float64.

Equal from step to step, the banks, the batches and the first weights being the same; so what a run reaches is what the
release's settings reach, and differs between seeds alone.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

STEPS, ROWS, CLASSES, BITS, SEED = 60, 240, 12, 16, 3
SMALL = {"labnet_width": 96, "feature_dim": 48, "labnet_batch": 16, "labnet_epochs": (4,)}


def _plain_trace(tf, settings: dict, labels: np.ndarray, weights: list, banks: tuple, batches: list) -> np.ndarray:
    """The loss of every step; equations 5 to 11 in float32 as the release has them, float64 for Adam alone."""
    scale = settings["labnet_code_similarity"]
    variables = [tf.Variable(w) for w in weights]
    moments = [[np.zeros(w.shape), np.zeros(w.shape)] for w in weights]
    features, codes = (tf.Variable(bank) for bank in banks)
    everyone = tf.constant(labels.astype(np.float32))

    def forward(x):
        w1, b1, w2, b2, w3, b3, w4, b4 = variables
        x = tf.nn.relu(x @ w1 + b1)
        x = tf.nn.local_response_normalization(x[:, None, None], 2, 2.0, 1e-4, 0.75)[:, 0, 0]
        f = tf.nn.relu(x @ w2 + b2)
        h = tf.tanh(f @ w3 + b3)
        return f, h, tf.sigmoid(h @ w4 + b4)

    trace = []
    for step, rows in enumerate(batches, 1):
        y = tf.gather(everyone, rows)
        f, h, _ = forward(y)
        features.scatter_nd_update(rows[:, None], f)
        codes.scatter_nd_update(rows[:, None], h)
        similar = scale * tf.cast(everyone @ tf.transpose(y) > 0.5, tf.float32)
        with tf.GradientTape() as tape:
            f, h, p = forward(y)
            theta1 = 0.5 * tf.matmul(features, f, transpose_b=True)
            theta2 = 0.5 * tf.matmul(codes, h, transpose_b=True)
            loss = (
                tf.reduce_mean(tf.nn.softplus(theta1) - similar * theta1)
                + tf.reduce_mean(tf.nn.softplus(theta2) - similar * theta2)
                + 0.01 * tf.reduce_mean(tf.abs(1.0 - tf.abs(h)))
                + 0.5 * tf.reduce_mean(tf.square(y - p))
            )
        trace.append(float(loss))
        epoch = (step - 1) // (ROWS // SMALL["labnet_batch"])
        rate = 10 ** -(3 + 0.5 * (epoch // settings["decay_epochs"])) * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for variable, (m, v), gradient in zip(variables, moments, tape.gradient(loss, variables), strict=True):
            gradient = np.clip(gradient.numpy(), -1, 1).astype(np.float64)
            m += 0.1 * (gradient - m)
            v += 0.001 * (gradient**2 - v)
            variable.assign((variable.numpy() - rate * m / (np.sqrt(v) + 1e-8)).astype(np.float32))
    return np.array(trace)


@pytest.mark.parametrize("row", ["nus_wide", "ms_coco"])
def test_equals_the_releases_loop(tf, rng, row):
    from dseh_tf.data import RetrievalDataset
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS
    from dseh_tf.models.labnet import build_labnet
    from dseh_tf.training.banks import SemanticMemory
    from dseh_tf.training.batches import TrainingRows

    labels = (rng.random((ROWS, CLASSES)) < 0.2).astype(np.uint8)
    labels[np.arange(ROWS), rng.integers(CLASSES, size=ROWS)] = 1
    few = (None, labels[:10])
    dataset = RetrievalDataset.from_arrays(train=(None, labels), query=few, database=few)
    # The rate falls on the way, which in four epochs it would not.
    method = METHODS["dseh"](BITS, SEED, preset_dataset=row, phases="labnet", decay_epochs=2, **SMALL)
    ours = method.fit(dataset, Runtime(progress=False)).traces["labnet/0/total"]

    weights = [v.numpy() for v in build_labnet(CLASSES, BITS, method.settings, SEED).trainable_variables]
    memory = SemanticMemory(tf.distribute.get_strategy(), labels, SMALL["feature_dim"], BITS)
    memory.fill_normal(SEED)
    drawn = TrainingRows({"labels": labels}, SMALL["labnet_batch"], SEED, "labnet", 0, {})
    batches = [batch["rows"] for batch in drawn.dataset(tf.distribute.InputContext(), 0, STEPS)]
    banks = memory.features.numpy(), memory.codes.numpy()
    plain = _plain_trace(tf, asdict(method.settings), labels, weights, banks, batches)
    assert len(ours) == STEPS and plain[-1] < 0.999 * plain[0]
    np.testing.assert_allclose(ours, plain, rtol=2e-6)
