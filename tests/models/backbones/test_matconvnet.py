"""Both layouts read alike; what does not fit is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.models.backbones import matconvnet
from dseh_tf.models.backbones.matconvnet import Conv, MaxPool, Norm, Relu, Softmax, read_here, read_network
from tests.models.matconvnet_files import save, small_cnn_f

LAYOUTS = ["current", "older", "current in net", "older in net"]


@pytest.fixture
def layers(rng):
    return small_cnn_f(rng)


@pytest.fixture
def mean(rng):
    return rng.uniform(90, 130, (16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_layout_holds_the_same_network(tmp_path, layers, mean, layout, compressed):
    network = read_here(save(tmp_path / "net.mat", layers, mean, layout, do_compression=compressed))
    assert [layer.name for layer in network.layers] == [layer["name"] for layer in layers]
    np.testing.assert_array_equal(network.mean, mean)
    by_name = {layer.name: layer for layer in network.layers}
    for layer in layers:
        if layer["type"] == "conv":
            read = by_name[layer["name"]]
            assert isinstance(read, Conv)
            np.testing.assert_array_equal(read.kernel, layer["filters"])
            np.testing.assert_array_equal(read.bias, layer["biases"].ravel())
            assert read.stride == (layer["stride"],) * 2
    assert by_name["conv1"].pad == (0, 0, 0, 0)
    assert by_name["conv2"].pad == (2, 2, 2, 2)
    assert by_name["conv4"].pad == (1, 1, 1, 1)
    assert by_name["pool1"] == MaxPool("pool1", (3, 3), (2, 2), (0, 1, 0, 1))
    assert by_name["pool2"].pad == (0, 0, 0, 0)
    assert by_name["norm1"] == Norm("norm1", 5, 2.0, pytest.approx(0.01), 0.75)
    assert by_name["relu7"] == Relu("relu7")
    assert by_name["prob"] == Softmax("prob")


def test_missing_pad_and_stride(tmp_path, layers, mean):
    for layer in layers:
        layer.pop("pad", None)
    del layers[3]["stride"]
    network = read_here(save(tmp_path / "net.mat", layers, mean, "older"))
    assert network.layers[0].stride == (4, 4)
    assert network.layers[3].stride == (1, 1)
    assert all(layer.pad == (0, 0, 0, 0) for layer in network.layers if isinstance(layer, (Conv, MaxPool)))


def test_trailing_dimension_of_one_comes_back(tmp_path, layers, mean):
    """MATLAB stores one filter of 3 x 3 x 4 without its fourth dimension, and 1 x 1 x 7 x 5 as it is."""
    layers[8]["filters"], layers[8]["biases"] = layers[8]["filters"][..., 0], layers[8]["biases"][:, 0]
    network = read_here(save(tmp_path / "net.mat", layers, mean, "older"))
    assert network.layers[8].kernel.shape == (3, 3, 4, 1)
    assert network.layers[19].kernel.shape == (1, 1, 7, 5)


@pytest.mark.parametrize(
    "stored",
    [np.array([[[120.0, 110.0, 100.0]]]), np.array([[120.0, 110.0, 100.0]]), np.array([[120.0], [110.0], [100.0]])],
)
def test_mean_colour(tmp_path, layers, stored):
    mean = read_here(save(tmp_path / "net.mat", layers, stored)).mean
    assert mean.shape == (1, 1, 3)
    np.testing.assert_array_equal(mean.ravel(), [120, 110, 100])


def test_grey_mean_holds_for_all_channels(tmp_path, layers, mean):
    grey = read_here(save(tmp_path / "grey.mat", layers, mean[:, :, 0])).mean
    np.testing.assert_array_equal(grey, np.repeat(mean[:, :, :1], 3, axis=2))
    assert read_here(save(tmp_path / "one.mat", layers, 117.5)).mean.tolist() == [[[117.5] * 3]]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.mat: found no such file, expected a MatConvNet"):
        read_here(tmp_path / "gone.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, layers, mean, share, compressed):
    whole = save(tmp_path / "net.mat", layers, mean, do_compression=compressed).read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"cut\.mat: .*found .*expected"):
        read_network(tmp_path / "cut.mat")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(200), b"name,label\n" * 50, bytes(4096)])
def test_foreign_file(tmp_path, content):
    (tmp_path / "other.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.mat: .*found .*expected"):
        read_network(tmp_path / "other.mat")


def test_format_7_3_is_named(tmp_path):
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"
    (tmp_path / "new.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(512))
    with pytest.raises(InputError, match=r"new\.mat: format: found MATLAB 7\.3 \(HDF5\), expected format 7"):
        read_here(tmp_path / "new.mat")


def test_another_mat_file(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "features.mat", {"XTrain": np.ones((3, 4))})
    with pytest.raises(InputError, match=r"features\.mat: layers: found XTrain, expected the field `layers`"):
        read_here(tmp_path / "features.mat")
    savemat(tmp_path / "text.mat", {"layers": "conv1"})
    with pytest.raises(InputError, match=r"layers\{1\}\.type: found no struct, expected"):
        read_here(tmp_path / "text.mat")


def _without(index: int, field: str):
    def change(layers):
        del layers[index][field]

    return change


def _with(index: int, field: str, value):
    def change(layers):
        layers[index][field] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without(0, "filters"), r"conv1\.filters: found .*biases.*, expected the field `filters`"),
        (_without(0, "type"), r"layers\{1\}\.type: found .*name.*, expected the field `type`"),
        (_without(2, "param"), r"norm1\.param: found .*, expected the field `param`"),
        (_without(3, "pool"), r"pool1\.pool: found .*, expected the field `pool`"),
        (_with(0, "type", "bnorm"), r"conv1\.type: found 'bnorm', expected conv, relu"),
        (_with(0, "pad", [[1, 1, 1]]), r"conv1\.pad: found \[1, 1, 1\], expected one number, or four"),
        (_with(0, "pad", -1), r"conv1\.pad: found \[-1.0\], expected non-negative integers"),
        (_with(0, "stride", 0), r"conv1\.stride: found \[0\], expected one positive number"),
        (_with(0, "dilate", 2), r"conv1\.dilate: found \[2\], expected 1"),
        (_with(0, "biases", np.zeros((1, 9))), r"conv1\.biases: found 9 numbers, expected 3, one per filter"),
        (_with(0, "biases", "none"), r"conv1\.biases: found text, expected numbers"),
        (_with(0, "filters", np.zeros((0, 0))), r"conv1\.filters: found nothing, expected numbers"),
        (_with(0, "filters", np.full((11, 11, 3, 3), np.nan)), r"conv1\.filters: found NaN or infinite values"),
        (_with(0, "filters", np.zeros((2, 2, 2, 2, 3))), r"conv1\.filters: found shape \(2, 2, 2, 2, 3\)"),
        (_with(2, "param", np.array([[4, 2, 1e-4, 0.75]])), r"norm1\.param: found \[4\.0, .*N odd"),
        (_with(3, "method", "avg"), r"pool1\.method: found 'avg', expected max"),
        (_with(0, "name", 5), r"layers\{1\}\.name: found an array of shape \(1, 1\), expected a text"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, layers, mean, change, message):
    change(layers)
    path: Path = save(tmp_path / "net.mat", layers, mean, "older")
    with pytest.raises(InputError, match=r"net\.mat: " + message) as error:
        read_here(path)
    assert "\n" not in str(error.value)


def test_two_weights_a_layer(tmp_path, layers, mean):
    from scipy.io import savemat

    cell, weights = np.empty((1, 1), object), np.empty((1, 3), object)
    weights[:] = [[np.ones((1, 1, 3, 3)), np.ones(3), np.ones(3)]]
    cell[0, 0] = {"name": "conv1", "type": "conv", "weights": weights}
    savemat(tmp_path / "net.mat", {"layers": cell})
    with pytest.raises(InputError, match=r"conv1\.weights: found 3 arrays, expected filters and biases"):
        read_here(tmp_path / "net.mat")


@pytest.mark.parametrize(("stored", "found"), [(np.zeros((4, 4, 2)), r"shape \(4, 4, 2\)"), ("grey", "text")])
def test_mean_of_another_kind(tmp_path, layers, stored, found):
    with pytest.raises(InputError, match=rf"normalization\.averageImage: found {found}"):
        read_here(save(tmp_path / "net.mat", layers, stored))


def test_mean_missing(tmp_path, layers):
    from scipy.io import savemat

    cell = np.empty((1, 1), object)
    cell[0, 0] = {"name": "relu1", "type": "relu"}
    savemat(tmp_path / "a.mat", {"layers": cell})
    with pytest.raises(InputError, match=r"normalization\.averageImage: found no normalization, expected the mean"):
        read_here(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"layers": cell, "meta": {"normalization": {"imageSize": [[224, 224, 3]]}}})
    with pytest.raises(InputError, match=r"normalization\.averageImage: found imageSize, expected the mean"):
        read_here(tmp_path / "b.mat")


def test_a_child_reads_the_same(tmp_path, layers, mean):
    """All arrays, names and numbers come through the pipe; so does the line on a file that does not fit."""
    file = save(tmp_path / "net.mat", layers, mean)
    here, there = read_here(file), read_network(file)
    np.testing.assert_array_equal(there.mean, here.mean)
    assert [type(layer) for layer in there.layers] == [type(layer) for layer in here.layers]
    for one, other in zip(there.layers, here.layers, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_array_equal(getattr(one, name), value)
    del layers[0]["filters"]
    with pytest.raises(InputError, match=r"net\.mat: conv1\.filters: found .*, expected the field `filters`"):
        read_network(save(tmp_path / "net.mat", layers, mean, "older"))


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("raise SystemExit(3)", "exit code 3"),
        ("raise MemoryError", "exit code 1"),
        ("import time; time.sleep(60)", "no end in 1 s"),
    ],
)
def test_a_reader_that_dies_is_one_line(tmp_path, layers, mean, monkeypatch, program, how):
    """The file is whole here; the child ends as it does where a file crashes the library that reads it."""
    file = save(tmp_path / "net.mat", layers, mean)
    monkeypatch.setattr(matconvnet, "_CHILD", program)
    monkeypatch.setattr(matconvnet, "_PATIENCE", 1 if "sleep" in program else 60)
    with pytest.raises(InputError) as error:
        read_network(file)
    assert (
        str(error.value)
        == f"{file}: found a damaged file that its reader fails on ({how}), expected a MATLAB .mat file"
    )


def test_the_child_loads_no_tensorflow():
    code = "import sys, dseh_tf.models.backbones.matconvnet; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_a_named_pipe_is_told_as_one(tmp_path):
    os.mkfifo(tmp_path / "pipe.mat")
    with pytest.raises(InputError, match=r"pipe\.mat: found a named pipe, expected a MatConvNet"):
        read_here(tmp_path / "pipe.mat")
