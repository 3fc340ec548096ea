"""Trunks in bfloat16: what is computed in it, what is not, and that it learns what float32 learns."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset


def squares() -> RetrievalDataset:
    """Bright squares in one of four corners."""
    rng = np.random.default_rng(0)

    def rows(count):
        labels = np.arange(count) % 4
        images = rng.integers(0, 90, (count, 16, 16, 3), np.uint8)
        for image, corner in zip(images, labels, strict=True):
            image[corner // 2 * 8 :][:8, corner % 2 * 8 :][:, :8] += 150
        return images, labels

    return RetrievalDataset.from_arrays(train=rows(96), query=rows(16), database=rows(48))


SETTINGS = {
    "dpsh": {"epochs": 6},
    "dseh": {"labnet_width": 64, "feature_dim": 32, "labnet_batch": 16, "imgnet_batch": 32, "labnet_epochs": (8, 4),
             "imgnet_epochs": (4, 4), "labnet_weight_size": 0.3, "labnet_learning_rate": 1e-2, "imgnet_learning_rate": 1e-3},
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_trunks_compute_in_it_and_all_else_in_float32(tf, name, tmp_path):
    import keras

    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS
    from dseh_tf.methods.image_encoder import Trunk, load_network
    from dseh_tf.retrieval import evaluate

    dataset, found = squares(), {}
    for bfloat16 in (False, True):
        method = METHODS[name](8, seed=1, trunk=Trunk("compact", 16, mirror=False), **SETTINGS[name])
        found[bfloat16] = method.fit(dataset, Runtime(progress=False, bfloat16=bfloat16))
    assert keras.config.dtype_policy().name == "float32"
    half, whole = found[True], found[False]
    layers = {layer.name: layer for layer in half.network._flatten_layers() if not isinstance(layer, keras.Model)}
    assert {layers[f"conv{i}"].compute_dtype for i in range(1, 7)} == {"bfloat16"}
    assert layers["hash"].compute_dtype == "float32"
    assert {variable.dtype for variable in half.network.trainable_variables} == {"float32"}
    outputs = half.outputs(dataset.query)
    assert {value.dtype for value in outputs.values()} == {np.dtype(np.float32)}
    if name == "dseh":
        assert {layer.compute_dtype for layer in half.labnet.layers[1:]} == {"float32"}
        key = "labnet/0/total"  # before ImgNet has a word in it
        np.testing.assert_array_equal(half.traces[key], whole.traces[key])
    last = "imgnet/1/total" if name == "dseh" else "dpsh/0/total"
    assert half.traces[last].dtype == np.float32
    assert not np.array_equal(half.traces[last], whole.traces[last])
    np.testing.assert_allclose(
        half.traces[last.replace("/1/", "/0/")][0], whole.traces[last.replace("/1/", "/0/")][0], rtol=0.05
    )
    scores = [
        evaluate(f.encode(dataset.query), f.encode(dataset.database), dataset.query.labels, dataset.database.labels).map
        for f in (half, whole)
    ]
    assert min(scores) > 0.8, scores
    half.save(tmp_path / "network.keras")
    again = load_network(tmp_path / "network.keras")(np.asarray(dataset.query.images.read(0), np.float32)[None])
    np.testing.assert_allclose(again["logits"][0], outputs["logits"][0], rtol=0.02, atol=0.02)
