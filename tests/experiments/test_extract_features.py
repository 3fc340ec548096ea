"""Features extracted by the program, and runs on them: no image is needed, and the codes are those of the images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, pack
from tests.experiments.conftest import parsed
from tests.models.matconvnet_files import forward, save, small_cnn_f

SMALL = [
    "--bits=8",
    "--set=labnet_width=32",
    "--set=feature_dim=16",
    "--rounds=1",
    "--labnet_epochs=1",
    "--imgnet_epochs=1",
]


@pytest.fixture(scope="module")
def network(tf, tmp_path_factory) -> Path:
    import keras

    file = tmp_path_factory.mktemp("network") / "trunk.keras"
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(x))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(file)
    return file


@pytest.fixture
def extract(run):
    """extract(out, "--dataset=...", ...) is the program; errors are raised."""
    from experiments import extract_features

    def call(out: Path | None, *arguments: str, mirrored: bool | None = None) -> None:
        with parsed(*arguments):
            given = SimpleNamespace(out=out and str(out), mirrored=mirrored, seed=0, progress=False)
            extract_features.main(["extract_features"], given)

    return call


@pytest.fixture
def labels_only(lists, tmp_path) -> Path:
    """The lists without any image."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in ("train.txt", "test.txt"):
        (folder / name).write_bytes((lists / name).read_bytes())
    return folder


def test_runs_on_features_are_runs_on_images(extract, run, lists, labels_only, network, tmp_path, result, capsys):
    out = tmp_path / "features"
    data = f"--data_dir={tmp_path / 'data'}"
    trunk = [f"--backbone={network}", "--image_size=12"]
    extract(out, "--dataset=image_lists", f"--lists_dir={lists}", *trunk)
    assert "16 features of 160 train, 12 query, 160 database" in capsys.readouterr().out
    extract(out, "--dataset=image_lists", f"--lists_dir={lists}", *trunk)
    assert "these features were already extracted" in capsys.readouterr().out
    for method, settings in (("itq", ["--bits=8"]), ("dseh", [*SMALL, "--set=imgnet_batch=32"])):
        common = ["--dataset=image_lists", f"--method={method}", data, *settings]
        run(*common, f"--lists_dir={lists}", *trunk, f"--workdir={tmp_path / method / 'images'}")
        run(*common, f"--lists_dir={labels_only}", f"--features={out}", f"--workdir={tmp_path / method / 'features'}")
        images, features = (
            load_codes(tmp_path / method / kind / "codes.npz", bits=8) for kind in ("images", "features")
        )
        np.testing.assert_array_equal(images.query_codes, features.query_codes)
        np.testing.assert_array_equal(images.database_codes, features.database_codes)
        if method == "itq":
            assert len(np.unique(features.database_codes)) > 1
        else:  # so few steps leave codes alike; the losses are not
            images, features = (np.load(tmp_path / method / kind / "losses.npz") for kind in ("images", "features"))
            assert set(images.files) == set(features.files) and len(np.unique(images["imgnet/0/total"])) > 1
            for name in images.files:
                np.testing.assert_array_equal(images[name], features[name])
        config = json.loads((tmp_path / method / "features" / "config.json").read_text())
        assert config["features"]["dim"] == 16 and config["trunk"]["backbone"] == str(network)
    run("--dataset=image_lists", "--method=itq", data, f"--lists_dir={labels_only}", f"--features={out}",
        "--validation=0.25", "--bits=8", f"--workdir={tmp_path / 'held'}")  # fmt: skip
    assert result(tmp_path / "held")["n_query"] == 40

    # Features of another split are refused.
    lines = (labels_only / "test.txt").read_text().replace("test3.png", "test99.png")
    (labels_only / "test.txt").write_text(lines)
    with pytest.raises(
        InputError, match=r"query_ids\.npy: found no test99\.png \(1 of the 12 query rows are missing\)"
    ):
        run("--dataset=image_lists", "--method=itq", f"--lists_dir={labels_only}", f"--features={out}",
            f"--workdir={tmp_path / 'other'}")  # fmt: skip


def test_cnn_f_features_come_from_its_weights(extract, run, lists, labels_only, rng, tmp_path):
    layers, mean, size = small_cnn_f(rng, fc6=2), rng.uniform(90, 140, (1, 1, 3)), 95
    weights = save(tmp_path / "imagenet-vgg-f.mat", layers, mean)
    out = tmp_path / "features"
    extract(out, "--dataset=image_lists", f"--lists_dir={lists}", "--backbone=cnn_f", f"--backbone_weights={weights}",
            f"--image_size={size}", mirrored=False)  # fmt: skip
    assert not (out / "train_mirrored.npy").exists()
    from dseh_tf.data.decoding import decode_file, resize

    ids = np.load(out / "query_ids.npy")
    for row in (0, 7):
        expected = forward(layers, mean, resize(decode_file(lists / ids[row]), size), "relu7").ravel()
        np.testing.assert_allclose(np.load(out / "query.npy")[row], expected, rtol=1e-3, atol=1e-3)
    run("--dataset=image_lists", "--method=lsh", f"--lists_dir={labels_only}", f"--features={out}", "--bits=8",
        "--backbone=cnn_f", f"--workdir={tmp_path / 'run'}")  # fmt: skip
    for arguments, message in (
        (
            ["--backbone=resnet50"],
            r"backbone: found 'resnet50', expected 'cnn_f', as the features in .*features have it",
        ),
        (["--image_size=99"], rf"image_size: found 99, expected {size}, as the features"),
        (["--train_backbone"], "train_backbone: found True, expected False, as the features"),
        (
            [f"--features={tmp_path}"],
            r"features\.json: found no such file, expected a folder that extract_features has finished",
        ),
    ):
        with pytest.raises(InputError, match=message):
            run("--dataset=image_lists", "--method=lsh", f"--lists_dir={labels_only}", f"--features={out}",
                f"--workdir={tmp_path / 'bad'}", *arguments)  # fmt: skip


def test_bad_flags(extract, lists, tmp_path):
    data = ["--dataset=image_lists", f"--lists_dir={lists}"]
    for out, arguments, message in (
        (None, data, "out: found none, expected the folder to write"),
        (tmp_path / "f", data, "backbone: found compact, which is trained from scratch, expected a frozen one"),
        (tmp_path / "f", [*data, "--backbone=cnn_f", "--train_backbone"], r"cnn_f, which is to be fine-tuned"),
        (
            tmp_path / "f",
            [*data, "--backbone=cnn_f"],
            r"backbone_weights: found none for cnn_f, expected .*imagenet-vgg-f\.mat",
        ),
    ):
        with pytest.raises(InputError, match=message):
            extract(out, *arguments)
    assert not (tmp_path / "f").exists()


def test_a_query_goes_through_the_trunk_of_its_run(extract, run, lists, labels_only, network, tmp_path):
    """The codes of the run, by images or features; another network in the trunk's file is refused."""
    import keras

    from experiments.query import encode

    copy, out = tmp_path / "trunk.keras", tmp_path / "features"
    copy.write_bytes(network.read_bytes())
    common = ["--dataset=image_lists", "--method=dpsh", "--bits=8", "--set=epochs=1", "--set=batch=16"]
    trunk = [f"--backbone={copy}", "--image_size=12"]
    extract(out, "--dataset=image_lists", f"--lists_dir={lists}", *trunk)
    run(*common, f"--lists_dir={lists}", *trunk, f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'images'}")
    run(*common, f"--lists_dir={labels_only}", f"--features={out}", f"--workdir={tmp_path / 'features_run'}")
    codes = load_codes(tmp_path / "images" / "codes.npz")
    asked = tuple(lists / name for name in codes.query_ids[:5])
    for workdir in (tmp_path / "images", tmp_path / "features_run"):
        np.testing.assert_array_equal(pack(encode(workdir, asked)), codes.query_codes[:5])
    other = keras.models.load_model(network, compile=False)
    other.set_weights([2 * w for w in other.get_weights()])
    other.save(copy)
    with pytest.raises(
        InputError, match=r"trunk\.keras: found another file, expected the backbone that the run was made with"
    ):
        encode(tmp_path / "images", asked)
    with pytest.raises(
        InputError, match=r"trunk\.keras: found different weights, expected those that the run's features were"
    ):
        encode(tmp_path / "features_run", asked)
    copy.unlink()
    with pytest.raises(InputError, match=r"trunk\.keras: found no such file"):
        encode(tmp_path / "images", asked)
