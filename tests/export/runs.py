"""Small run folders of each kind of encoder, and data for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding import RunEncoder, load_run, shallow, trees

SHAPE = (6, 5)  # of raw images
WIDTH = 3 * SHAPE[0] * SHAPE[1]
NODES = {  # three trees of bit 0 (one is a single leaf), one of bit 1, none of bit 2
    "first_tree": np.array([0, 3, 4, 4]),
    "roots": np.array([0, 5, 6, 9]),
    "feature": np.array([0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0]),
    "threshold": np.array([99.5, 0, 120, 0, 0, 0, 60.5, 0, 0, 130.5, 0, 0]),
    "left": np.array([1, -1, 3, -1, -1, -1, 7, -1, -1, 10, -1, -1]),
    "right": np.array([2, -1, 4, -1, -1, -1, 8, -1, -1, 11, -1, -1]),
    "value": np.array([0, 1.0, 0, -2.0, 0.5, 0.25, 0, -0.75, 1.5, 0, 1.0, -1.0]),
}
TRUNK = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None, "mirror": True, "weights": None}


def encoders(normalise: bool = True) -> dict[str, shallow.ShallowEncoder]:
    """One encoder of each kind on raw images, from a fixed seed."""
    rng = np.random.default_rng(5)
    given = {"rows": shallow.Rows(normalise, rng.normal(0.1, 0.02, WIDTH)), "image_shape": SHAPE}
    anchors = rng.random((7, WIDTH)).astype(np.float32)
    if normalise:
        anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    divisor, lowest, step = (-0.3, -1.0, 0.008) if normalise else (-20.0, -10.0, 0.07)
    return {
        "projection": shallow.Projection(weights=rng.normal(size=(WIDTH, 12)), **given),
        "sinusoids": shallow.Sinusoids(
            directions=rng.normal(size=(WIDTH, 3)),
            lowest=rng.normal(size=3),
            direction=np.array([0, 1, 2, 0, 1]),
            frequency=rng.uniform(1, 9, 5),
            **given,
        ),
        "centred_kernel": shallow.CentredKernel(
            anchors=anchors, divisor=divisor, centre=rng.random(7), weights=rng.normal(size=(7, 9)), **given
        ),
        "biased_kernel": shallow.BiasedKernel(
            anchors=anchors, divisor=divisor, weights=rng.normal(size=(8, 9)), **given
        ),
        "trees": trees.Trees(
            directions=rng.normal(size=(WIDTH, 2)),
            lowest=np.array([lowest, lowest]),
            step=np.array([step, step]),
            baseline=np.array([0.125, -0.25, 1.0]),
            **NODES,
            **given,
        ),
    }


def dataset(height: int, width: int, seed: int = 0) -> RetrievalDataset:
    """Images of two classes, dark and bright, with noise: 40 to train on, 16 queries."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        images = rng.integers(0, 128, (count, height, width, 3)) + 127 * labels[:, None, None, None]
        return images.astype(np.uint8), labels

    return RetrievalDataset.from_arrays(train=rows(40), query=rows(16))


def shallow_run(folder: Path, kind: str = "projection", **config) -> RunEncoder:
    folder.mkdir()
    encoder = encoders()[kind]
    encoder.save(folder / "encoder.npz")
    _config(folder, {"bits": encoder.bits, "method": "lsh", "trunk": TRUNK, **config})
    return load_run(folder)


def deep_run(folder: Path, bits: int = 12, size: int = 16) -> RunEncoder:
    """The compact network with an output besides the logits, and a layer that the logits do not need."""
    import keras

    from dseh_tf.encoding.network import NetworkEncoder
    from dseh_tf.models.backbones.compact import compact

    folder.mkdir()
    trunk = compact(size).model
    unused = keras.layers.Dense(500, name="other")(trunk.output)
    logits = keras.layers.Dense(bits, kernel_initializer=keras.initializers.RandomNormal(seed=1), name="hash")
    network = keras.Model(trunk.input, {"feature": unused, "logits": logits(trunk.output)})
    # Statistics as after training, so that batch normalisation does something.
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            rng = np.random.default_rng(len(layer.name))
            layer.moving_mean.assign(rng.normal(0, 0.3, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    NetworkEncoder(network, size).save(folder / "imgnet.keras")
    _config(folder, {"bits": bits, "method": "dseh", "trunk": {**TRUNK, "image_size": size}})
    return load_run(folder)


def frozen_run(folder: Path, size: int = 9) -> RunEncoder:
    """ITQ's kind of encoder on the features of a small frozen `.keras` file."""
    import keras

    folder.mkdir()
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 3, kernel_initializer=keras.initializers.RandomNormal(0, 0.02, seed=2))(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))
    file = folder.parent / "small.keras"
    model.save(file)
    rng = np.random.default_rng(3)
    rows = shallow.Rows(True, rng.normal(0.3, 0.1, 8))
    shallow.Projection(rows=rows, weights=rng.normal(size=(8, 10))).save(folder / "encoder.npz")
    trunk = {**TRUNK, "backbone": str(file), "image_size": size}
    _config(folder, {"bits": 10, "method": "itq", "trunk": trunk, "features": {"backbone": "small", "dim": 8}})
    return load_run(folder)


def _config(folder: Path, config: dict) -> None:
    (folder / "config.json").write_text(json.dumps({"seed": 0, "dataset": "arrays", **config}))
