"""Runs that fine-tune a pretrained trunk from one of its layers on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError


@pytest.fixture(scope="module")
def network(tf, tmp_path_factory) -> Path:
    import keras

    file = tmp_path_factory.mktemp("network") / "trunk.keras"
    keras.utils.set_random_seed(4)
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="first")(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="last")(x)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(file)
    return file


@pytest.mark.parametrize(
    ("method", "settings", "layers"),
    [
        ("dpsh", ["--set=epochs=1", "--set=batch=16"], ["last", None]),
        ("dseh", ["--set=labnet_width=16", "--rounds=1", "--labnet_epochs=1", "--imgnet_epochs=1"], ["last"]),
    ],
)
def test_layers_before_it_stay_as_they_came(run, lists, network, tmp_path, method, settings, layers):
    import keras

    from dseh_tf.methods.image_encoder import load_network

    common = ["--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}", f"--method={method}"]
    common += [f"--backbone={network}", "--image_size=12", "--bits=8", *settings, "--train_backbone"]
    came = keras.models.load_model(network, compile=False)
    for layer in layers:
        workdir = tmp_path / str(layer)
        run(*common, f"--workdir={workdir}", *([f"--train_backbone_from={layer}"] if layer else []))
        trunk = json.loads((workdir / "config.json").read_text())["trunk"]
        assert trunk["train"] and trunk.get("train_from") == layer
        wrapped = next(each for each in load_network(workdir / "imgnet.keras").layers if isinstance(each, keras.Model))
        left = wrapped.get_layer("network").network
        for name, changed in (("first", layer is None), ("last", True)):
            for before, after in zip(came.get_layer(name).weights, left.get_layer(name).weights, strict=True):
                assert np.array_equal(before, after) != changed, (layer, name, before.name)
    with pytest.raises(
        InputError, match=r"train_backbone_from: found 'middle', expected .* the last of which are first, last$"
    ):
        run(*common, f"--workdir={tmp_path / 'none'}", "--train_backbone_from=middle")
