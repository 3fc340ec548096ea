"""LabNet learns under both presets: codes that tell label vectors apart, and rank by shared labels."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset


@pytest.fixture(scope="module")
def labels_only() -> RetrievalDataset:
    """One to three of ten labels a row, as multi_digits has them."""
    rng = np.random.default_rng(4)

    def draw(rows: int) -> np.ndarray:
        labels = np.zeros((rows, 10), np.uint8)
        for row in labels:
            row[rng.choice(10, rng.integers(1, 4), replace=False)] = 1
        return labels

    return RetrievalDataset.from_arrays(train=(None, draw(2000)), query=(None, draw(200)), database=(None, draw(3000)))


@pytest.mark.parametrize(("preset", "published"), [("release", 0.999), ("paper", 1.0)])
def test_data_without_published_settings(tf, preset, published):
    """They have S smoothed in LabNet, and nothing else; NUS-WIDE's own settings stay what they are."""
    from dataclasses import asdict

    from dseh_tf.methods import METHODS
    from dseh_tf.methods.image_encoder import Trunk

    trunk = Trunk("cnn_f", train=True)
    own, other = (
        asdict(METHODS["dseh"](32, preset=preset, preset_dataset=row, trunk=trunk).settings)
        for row in ("nus_wide", None)
    )
    smoothed = ("labnet_feature_similarity", "labnet_code_similarity")
    assert {name for name in own if own[name] != other[name]} == set(smoothed)
    assert [own[name] for name in smoothed] == [published] * 2 and [other[name] for name in smoothed] == [0.8] * 2


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["release", "paper"])
def test_labnet_learns(tf, labels_only, preset):
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS["dseh"](32, preset=preset, phases="labnet", labnet_epochs=(6, 0, 0))
    results = method.fit(labels_only, Runtime(progress=False)).results
    assert results["map_labels"] > 0.9  # a code that says nothing has .36
    assert results["distinct_label_codes"] > 0.8 * results["distinct_label_vectors"]
