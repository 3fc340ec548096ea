"""`.keras` backbones in the programs: layers of one's own by --import_module, paths, and run folders that name another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, pack
from experiments import backbone_flags, own_layers, run_data
from tests.experiments.conftest import parsed

MODULE = """
import keras

@keras.saving.register_keras_serializable("own")
class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""


def forget() -> None:
    """As in a new process: the module is not imported, its class not registered."""
    import keras

    sys.modules.pop("halved_layers", None)
    keras.saving.get_custom_objects().pop("own>Halved", None)


@pytest.fixture
def network(tf, tmp_path, monkeypatch) -> Path:
    """A network with a layer of the module `halved_layers`, which is not imported."""
    import keras

    (tmp_path / "halved_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import halved_layers

    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu", name="conv")(
        halved_layers.Halved()(keras.layers.Rescaling(1 / 99)(x))
    )
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(tmp_path / "trunk.keras")
    forget()
    yield tmp_path / "trunk.keras"
    forget()


@pytest.mark.parametrize("flags", [[], ["--train_backbone"]])
def test_layers_of_ones_own(run, lists, network, tmp_path, flags):
    """The run and each query need the flag: what a run folder names is not imported."""
    from experiments.query import encode

    workdir = tmp_path / "run"
    arguments = ["--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}", "--method=dpsh"]
    arguments += ["--bits=8", "--set=epochs=1", "--set=batch=16", f"--backbone={network}", "--image_size=12", *flags]
    unknown = r"trunk\.keras: found the class 'Halved', which Keras does not know, expected import_module"
    with pytest.raises(InputError, match=unknown):
        run(*arguments, f"--workdir={tmp_path / 'without'}")
    assert not (tmp_path / "without" / "result.json").exists()
    run(*arguments, f"--workdir={workdir}", "--import_module=halved_layers")
    assert json.loads((workdir / "config.json").read_text())["trunk"]["import_modules"] == ["halved_layers"]
    forget()
    codes = load_codes(workdir / "codes.npz")
    asked = tuple(lists / name for name in codes.query_ids[:4])
    with parsed(), pytest.raises(InputError, match=r"keras: found the class 'Halved', which Keras does not know"):
        encode(workdir, asked)
    assert "halved_layers" not in sys.modules
    with parsed("--import_module=halved_layers"):
        np.testing.assert_array_equal(pack(encode(workdir, asked)), codes.query_codes[:4])


def test_a_module_that_is_not_there(run, network, tmp_path):
    for program in (lambda: run(f"--backbone={network}", "--import_module=no_such"), lambda: _imported("no_such")):
        with pytest.raises(
            InputError, match=r"^import_module: no_such: found ModuleNotFoundError .*, expected an importable"
        ):
            program()


def _imported(*names: str) -> None:
    with parsed(f"--import_module={','.join(names)}"):
        own_layers.imported()


def test_flags_of_the_backbone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments, backbone, weights in (
        (["--backbone=~/x.keras"], str(tmp_path / "x.keras"), None),
        (["--backbone=./x.keras"], "./x.keras", None),
        (["--backbone=cnn_f", "--backbone_weights=~/f.mat"], "cnn_f", str(tmp_path / "f.mat")),
    ):
        with parsed(*arguments):
            trunk = backbone_flags.trunk()
        assert (trunk.backbone, trunk.weights) == (backbone, weights)
    for given, line in (
        ("--backbone_scaling=1,2,3", "backbone_scaling: found 1,2,3, expected mean,scale"),
        ("--backbone_scaling=1,x", "backbone_scaling: found 1,x, expected mean,scale"),
    ):
        with parsed("--backbone=x.keras", given), pytest.raises(InputError, match=line):
            backbone_flags.trunk()


@pytest.mark.parametrize(
    "trunk",
    [None, [], "compact", {}, {"backbone": "compact"}, {"backbone": 3, "scaling": None}, {"scaling": 3},
     {"backbone": "x.keras", "image_size": 12, "scaling": ["a", "b"]}, {"scaling": None, "no_such": 1},
     {"backbone": "x.keras", "image_size": "12", "scaling": None}],
)  # fmt: skip
def test_config_without_a_trunk(tf, trunk):
    with pytest.raises(InputError, match=r"config\.json: trunk: found .*, expected that of a run on images"):
        run_data.trunk_of({} if trunk is None else {"trunk": trunk})


def test_config_with_a_trunk(tf):
    trunk = run_data.trunk_of(
        {"trunk": {"backbone": "x.keras", "image_size": 12, "scaling": [1, 2], "import_modules": ["antigravity"]}}
    )
    assert (trunk.backbone, trunk.image_size, trunk.scaling, trunk.import_modules) == ("x.keras", 12, (1.0, 2.0), ())


@pytest.mark.parametrize(
    ("field", "value"),
    [("trunk", 3), ("backbone_weights", ["x.mat"]), ("backbone_scaling", 3), ("backbone_scaling", ["a", 1]),
     ("backbone_scaling", [1])],
)  # fmt: skip
def test_features_with_odd_facts_of_their_trunk(tf, field, value):
    facts = {"trunk": "cnn_f", "backbone": "cnn_f", "image_size": 224, "mirrored": True, "backbone_scaling": [1, 2]}
    with parsed():
        assert backbone_flags.trunk_of_features(facts, "f").scaling == (1.0, 2.0)
        with pytest.raises(InputError, match=rf"^f/features\.json: {field}: found .*, expected "):
            backbone_flags.trunk_of_features({**facts, field: value}, "f")


def test_a_bad_backbone_is_said_before_the_data_is_read(tf, tmp_path, monkeypatch):
    from dseh_tf.data.catalog import DataOptions
    from dseh_tf.methods.image_encoder import Trunk

    monkeypatch.setattr(run_data.catalog, "load", lambda *_: pytest.fail("the data was read"))
    options = DataOptions(data_dir=tmp_path)
    with pytest.raises(InputError, match=r"gone\.keras: found no such file, expected a \.keras file"):
        run_data.load("multi_digits", options, Trunk(str(tmp_path / "gone.keras"), 12))
