"""The run program: its contract, and bad input."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dseh_tf
from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes, load_counts, pack
from tests.data import miniatures
from tests.experiments.conftest import parsed

SMALL = [
    "--set=labnet_width=32", "--set=feature_dim=16", "--set=labnet_batch=32", "--rounds=1", "--labnet_epochs=3", "--bits=8",
]  # fmt: skip


def test_labels_alone(run, label_lists, tmp_path, result):
    workdir = tmp_path / "run"
    run("--dataset=image_lists", f"--lists_dir={label_lists}", "--phases=labnet", f"--workdir={workdir}", *SMALL)
    found = result(workdir)
    assert found["map_labels_database"] == "database"  # without database.txt every row is a training row
    assert 0.3 < found["map_labels"] <= 1
    assert 1 <= found["distinct_label_codes"] <= found["distinct_label_vectors"]
    assert (found["n_train"], found["n_query"], found["n_database"]) == (120, 30, 120)
    assert [r["round"] for r in found["rounds"]] == [0]
    for absent in ("map", "map_at", "precision_at"):
        assert absent not in found
    assert not (workdir / "codes.npz").exists()
    config = json.loads((workdir / "config.json").read_text())
    assert config["preset"] == "modern" and config["preset_dataset"] == "nus_wide"
    assert config["settings"]["labnet_width"] == 32
    assert config["versions"]["tensorflow"]


@pytest.mark.slow
def test_whole_run_on_the_embedded_data_set(run, digits_dir, tmp_path, result, capsys):
    """Every file of the run folder, and its numbers against an evaluation of its own codes."""
    workdir = tmp_path / "run"
    arguments = [f"--workdir={workdir}", f"--data_dir={digits_dir}", "--imgnet_epochs=1", *SMALL]
    run(*arguments)
    found = result(workdir)
    codes = load_codes(workdir / "codes.npz", bits=8)
    report = evaluate(codes.query_codes, codes.database_codes, codes.query_labels, codes.database_labels, bits=8)
    assert found["map"] == pytest.approx(report.map, abs=1e-12)
    assert found["map_stable_order"] == pytest.approx(report.map_stable_order, abs=1e-12)
    assert found["rounds"][0]["map"] == pytest.approx(found["map"], abs=1e-12)
    np.testing.assert_array_equal(load_counts(workdir / "counts.npz").relevant, report.counts.relevant)
    assert (found["n_train"], found["n_query"], found["n_database"]) == (2000, 500, 5000)
    assert not set(codes.query_ids) & set(codes.database_ids)
    for name in ("semantic_features.npz", "losses.npz", "thumbnails.npz", "tensorboard", "checkpoints"):
        assert (workdir / name).exists()
    # A new image is encoded by the saved network as it was in the run.
    from PIL import Image

    from experiments.query import encode

    with np.load(workdir / "thumbnails.npz", allow_pickle=False) as shown:
        rows = shown["query_rows"][:3]
    from dseh_tf.data import catalog

    dataset = catalog.load("multi_digits", catalog.DataOptions(data_dir=digits_dir))
    for row in rows:
        Image.fromarray(dataset.query.images.read(int(row))).save(tmp_path / f"{row}.png")
    found_codes = encode(workdir, tuple(tmp_path / f"{row}.png" for row in rows))
    np.testing.assert_array_equal(pack(found_codes), codes.query_codes[rows])
    where = (
        f"run folder {workdir}: checkpoints/, codes.npz, config.json, counts.npz, imgnet.keras, losses.npz, result.json"
    )
    assert where in capsys.readouterr().out
    assert found["class_names"][:3] == ["zero", "one", "two"]
    run(*arguments)
    assert "finished" in (again := capsys.readouterr().out) and where in again


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--bits=0"], "bits: found 0, expected a positive number"),
        (["--bits=-3"], "bits: found -3, expected a positive number"),
        (["--method=nope"], "method: found 'nope', expected one of lsh, sh, itq"),
        (["--dataset=nope"], "dataset: found 'nope', expected one of multi_digits"),
        (
            ["--lists_dir=x"],
            "lists_dir: found 'x', which --dataset=multi_digits does not read, expected --dataset=image_lists",
        ),
        (["--preset=nope"], "preset: found 'nope', expected one of release, paper"),
        (["--preset_dataset=nope"], "preset_dataset: found 'nope', expected one of nus_wide"),
        (["--phases=nope"], "phases: found 'nope', expected one of all, labnet"),
        (["--strategy=nope"], "strategy: found 'nope', expected default, mirrored or multi_worker"),
        (["--optimizer=nope"], "optimizer: found 'nope', expected one of adam, sgd"),
        (["--set=nope=1"], "set: found 'nope=1', expected name=value"),
        (["--set=theta_scale=x"], "set: theta_scale: found 'x', expected float"),
        (["--set=labnet_epochs=5"], "set: labnet_epochs: found '5', expected whole numbers as in"),
        (["--set=labnet_batch=8.5"], "set: labnet_batch: found '8.5', expected int"),
        (["--set=decay_epochs=0"], "decay_epochs: found 0, expected at least 1"),
        (["--set=dropout=1.0"], "dropout: found 1.0, expected a fraction of at least 0 and below 1"),
        (["--method=dpsh", "--set=batch=0"], "batch: found 0, expected at least 1"),
        (["--method=dpsh", "--phases=labnet"], "phases: found 'labnet', but dpsh has no such setting"),
        (["--method=adsh", "--rounds=2"], "rounds: found 2, but adsh takes it from --set=rounds=2"),
        (["--method=itq", "--imgnet_epochs=5"], "imgnet_epochs: found 5, but itq has no such setting"),
        (["--method=itq", "--optimizer=adam"], "optimizer: found 'adam', but itq has no such setting"),
        (["--method=itq", "--train_backbone"], "train_backbone: found True, but itq has no network to train"),
        (["--train_backbone_from=fc7"], "train_backbone_from: found 'fc7' without --train_backbone, expected both"),
        (["--rounds=2", "--set=labnet_epochs=5,4"], "set: found 'labnet_epochs=5,4' beside a flag for labnet_epochs"),
        (
            ["--learning_rate=.5", "--set=imgnet_learning_rate=.1"],
            "beside a flag for imgnet_learning_rate, expected one of them",
        ),
        (["--method=dnnh", "--set=triplets=0"], "triplets: found 0, expected at least 1"),
        (["--method=cnnh", "--set=block=0"], "block: found 0, expected at least 1"),
        (["--method=hashnet", "--set=continuation_every=0"], "continuation_every: found 0, expected at least 1"),
        (["--method=dnnh", "--set=threshold=0"], "threshold: found 0.0, expected above 0 and at most 0.5"),
        (["--method=dpsh", "--set=momentum=-3.0"], "momentum: found -3.0, expected at least 0"),
        (["--method=dpsh", "--set=learning_rate=0"], "learning_rate: found 0.0, expected a positive number"),
        (["--set=labnet_clip=-1"], "labnet_clip: found -1.0, expected at least 0"),
        (["--set=quantization_weight=1e999"], "quantization_weight: found inf, expected at least 0"),
        (["--method=ksh", "--set=anchors=0"], "anchors: found 0, expected at least 1"),
        (["--method=sdh", "--set=width=0"], "width: found 0.0, expected a positive number"),
        (["--method=itq_cca", "--set=ridge=-1"], "ridge: found -1.0, expected at least 0"),
        (["--method=itq", "--set=iterations=-3"], "iterations: found -3, expected at least 0"),
        (["--method=fasth", "--set=rounds=0"], "rounds: found 0, expected at least 1"),
        (["--method=itq", "--preset_dataset=nope"], "preset_dataset: found 'nope', expected one of nus_wide"),
        (["--backbone_scaling=127.5,2"], "backbone_scaling: found 127.5,2, but compact scales by itself"),
        (["--split_seed=3"], "split_seed: found 3, but multi_digits comes with its split"),
        (["--split=greedy-image"], "split: found greedy-image, but multi_digits comes with its split"),
        (["--strategy=multi_worker"], "TF_CONFIG: found none, expected {"),
        (["--image_size=4"], "image_size: found 4, expected at least 8 for compact"),
        (["--validation=.9999"], "validation: found 0.9999, which leaves none of 2000 training rows to train on"),
        (["--dataset=image_lists"], "lists_dir: found none"),
        (["--backbone=nope.keras", "--dataset=multi_digits"], "nope.keras: found no such file"),
    ],
)
def test_bad_flags(run, digits_dir, tmp_path, arguments, line):
    with pytest.raises(InputError) as error:
        run(f"--workdir={tmp_path / 'run'}", f"--data_dir={digits_dir}", *arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_places_are_absolute(tf, label_lists, monkeypatch):
    """Programs that read the run later may be started from another folder."""
    from experiments import run as module

    monkeypatch.chdir(label_lists.parent)
    with parsed("--dataset=image_lists", f"--lists_dir={label_lists.name}", "--data_dir=data", "--method=itq"):
        config = module.config_of(module._method(), module.data_config())
    assert (config["lists_dir"], config["data_dir"]) == (str(label_lists), str(label_lists.parent / "data"))
    assert config["images"]["root"] == str(label_lists)
    with parsed("--method=itq"):
        assert module.config_of(module._method(), module.data_config())["lists_dir"] is None


def test_another_configuration_overwrites_nothing(run, label_lists, tmp_path):
    workdir = tmp_path / "run"
    common = ["--dataset=image_lists", f"--lists_dir={label_lists}", "--phases=labnet", f"--workdir={workdir}", *SMALL]
    run(*common)
    before = {f: f.read_bytes() for f in workdir.rglob("*") if f.is_file()}
    with pytest.raises(InputError, match=r"settings: found theta_scale=0\.5, expected theta_scale=1\.0"):
        run(*common, "--set=theta_scale=1.0")
    assert {f: f.read_bytes() for f in workdir.rglob("*") if f.is_file()} == before


def test_a_folder_that_is_no_run(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"found files but no config\.json"):
        run(f"--workdir={tmp_path}")


def test_other_lists_in_the_same_folder(run, label_lists, tmp_path):
    """Not another run of the first lists, finished or not; the same lists elsewhere are."""
    common = ["--dataset=image_lists", "--phases=labnet", f"--workdir={tmp_path / 'run'}", *SMALL]
    run(*common, f"--lists_dir={label_lists}")
    moved, other = tmp_path / "moved", tmp_path / "other"
    for folder in (moved, other):
        shutil.copytree(label_lists, folder)
    lines = (other / "train.txt").read_text().splitlines()
    (other / "train.txt").write_text("\n".join(lines[::-1]) + "\n")
    run(*common, f"--lists_dir={moved}")
    with pytest.raises(InputError, match=r"config\.json: lists: found"):
        run(*common, f"--lists_dir={other}")


def test_an_image_folder_is_known_by_its_files(run, result, tmp_path, capsys):
    """It may move; another image in it is another run."""
    miniatures.write_image_folder(tmp_path / "a", {"cat": 30, "dog": 30})
    flags = ["--dataset=image_folder", "--method=lsh", "--bits=8", "--image_size=8", f"--workdir={tmp_path / 'run'}"]
    run(*flags, f"--images_root={tmp_path / 'a'}")
    before = result(tmp_path / "run")
    (tmp_path / "a").rename(tmp_path / "b")
    run(*flags, f"--images_root={tmp_path / 'b'}")
    assert "this run is finished" in capsys.readouterr().out and result(tmp_path / "run") == before
    (tmp_path / "b" / "cat" / "7.png").rename(tmp_path / "b" / "dog" / "70.png")
    with pytest.raises(InputError, match=r"config\.json: folder_files: found '\w{16}', expected '\w{16}'"):
        run(*flags, f"--images_root={tmp_path / 'b'}")


def test_another_precision_is_another_run(run, label_lists, tmp_path):
    flags = ["--dataset=image_lists", f"--lists_dir={label_lists}", f"--workdir={tmp_path / 'run'}"]
    with pytest.raises(InputError, match=r"0\.jpg: no such file"):  # begun, and no photographs there
        run(*flags, "--bfloat16")
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"config\.json: bfloat16: found True, expected None"):
        run(*flags)


@pytest.mark.parametrize("flag", [(), ("--tf32",)])
def test_tensor_float_32_is_off_unless_asked_for(tf, run, label_lists, tmp_path, flag):
    """It matters on a GPU alone, but the switch can be read anywhere."""
    flags = ["--dataset=image_lists", f"--lists_dir={label_lists}", f"--workdir={tmp_path / 'run'}", *flag]
    run(*flags, "--method=dseh", "--bits=8", "--phases=labnet", "--labnet_epochs=1")
    assert tf.config.experimental.tensor_float_32_execution_enabled() == bool(flag)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config.get("tf32") == (True if flag else None)
    tf.config.experimental.enable_tensor_float_32_execution(False)


def test_another_network_in_the_same_file(run, label_lists, tmp_path):
    """The path of a trunk says less than what lies there; runs that did not note it go on."""
    from experiments import backbone_flags, run_data

    trunk = tmp_path / "trunk.keras"
    trunk.write_bytes(b"one")
    flags = [
        f"--workdir={tmp_path / 'run'}",
        "--dataset=image_lists",
        f"--lists_dir={label_lists}",
        f"--backbone={trunk}",
    ]
    with parsed(*flags):
        known = run_data.trunk_digests(backbone_flags.trunk())
    assert known == {"backbone": hashlib.sha256(b"one").hexdigest()[:16]}
    with pytest.raises(InputError, match=r"trunk\.keras: found no readable Keras model"):  # begun, and no network there
        run(*flags)
    (tmp_path / "run" / "checkpoints").mkdir()
    trunk.write_bytes(b"two")
    with pytest.raises(
        InputError, match=r"config\.json: trunk_files: found backbone='7692c3ad3540bb80', expected backbone="
    ):
        run(*flags)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for name in ("trunk_files", "format", "identity"):  # as written before there were any
        del config[name]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"trunk\.keras: found no readable Keras model"):  # goes on as far as that
        run(*flags)


def test_features_of_another_data_set(run, label_lists, tmp_path):
    (tmp_path / "features").mkdir()
    summary = {"dataset": "tfds:cifar10", "backbone": "x", "image_size": 8, "dim": 4, "mirrored": False}
    (tmp_path / "features" / "features.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"features\.json: dataset: found 'tfds:cifar10', expected 'image_lists'"):
        run("--dataset=image_lists", f"--lists_dir={label_lists}", "--method=itq", f"--workdir={tmp_path / 'run'}",
            f"--features={tmp_path / 'features'}")  # fmt: skip


def test_a_saved_network_is_read_in_a_fresh_process(tf, tmp_path):
    """Its own layers are known there: those of CNN-F and of keras.applications too."""
    from dseh_tf.models.backbones.applications import Preprocessing
    from dseh_tf.models.backbones.cnn_f import SubtractMean

    inputs = tf.keras.Input((4, 4, 3))
    x = SubtractMean((4, 4, 3))(inputs)
    network = tf.keras.Model(inputs, Preprocessing("resnet50")(x))
    network.save(tmp_path / "imgnet.keras")
    program = (
        "import keras, pathlib, sys; from dseh_tf.encoding.network import load_network; "
        "print(len(load_network(pathlib.Path(sys.argv[1])).layers), *keras.saving.get_custom_objects())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "imgnet.keras")], capture_output=True, text=True, check=True
    )
    count, *known = found.stdout.splitlines()[-1].split()
    assert count == str(len(network.layers))
    registered = re.compile(r'register_keras_serializable\("dseh_tf"\)\nclass (\w+)')
    sources = [path.read_text() for path in Path(dseh_tf.__file__).parent.rglob("*.py")]
    assert set(known) >= {f"dseh_tf>{name}" for text in sources for name in registered.findall(text)} > set()
    (tmp_path / "imgnet.keras").write_bytes((tmp_path / "imgnet.keras").read_bytes()[:500])
    from dseh_tf.methods.image_encoder import load_network

    with pytest.raises(
        InputError, match=r"imgnet\.keras: found no readable Keras model \(a zip archive that is cut off\)"
    ):
        load_network(tmp_path / "imgnet.keras")


def test_where_settings_come_from(run, tmp_path):
    """config.json has the source of every setting: the preset, the trunk, a given number of rounds, what was given."""
    import json

    arguments = ["--rounds=1", "--imgnet_epochs=0", "--set=dropout=0.25", "--labnet_epochs=1", "--noprogress"]
    run(f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}", *arguments)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    origin = config["settings_origin"]
    assert set(origin) == set(config["settings"])
    expected = {"dropout": "given", "labnet_epochs": "given", "imgnet_epochs": "given", "feature_dim": "preset modern: nus_wide",
                "imgnet_batch": "trunk: compact"}  # fmt: skip
    assert {name: origin[name] for name in expected} == expected
