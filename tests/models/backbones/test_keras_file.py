"""`.keras` files as trunks: what is read, and the one line for what is not. Small models, made here."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.models.backbones import Backbone, build_backbone, keras_file

pytestmark = pytest.mark.usefixtures("tf")
layers = keras.layers
SIZE = 8


def mean_of(x):
    return layers.GlobalAveragePooling2D()(x)


def network(shape=(None, None, 3), outputs: Callable = mean_of, **options) -> keras.Model:
    """A convolution to 4 channels and what `outputs` makes of them."""
    x = keras.Input(shape, name="picture", **options)
    return keras.Model(x, outputs(layers.Conv2D(4, 3, name="conv")(x)))


def saved(model: keras.Model, folder: Path, name: str = "net.keras") -> Path:
    model.save(folder / name)
    return folder / name


def trunk(model: keras.Model, folder: Path, **options) -> Backbone:
    return build_backbone(saved(model, folder), SIZE, **options)


def refused(path: Path | str, line: str, **options) -> None:
    """The whole error matches `line` after the file's name, on one line, without advice to load unsafely."""
    with pytest.raises(InputError) as error:
        build_backbone(path, options.pop("size", SIZE), **options)
    text = str(error.value)
    assert re.fullmatch(f"backbone: {re.escape(str(path))}: {line}", text), text
    assert "safe_mode" not in text and "unsafe" not in text


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with each member as `change` makes it, without those it makes None."""
    out = path.with_name("rewritten.keras")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            content = change(name, before.read(name))
            if content is not None:
                after.writestr(name, content)
    return out


def without_weights(path: Path, *groups: str) -> Path:
    """The file as a Keras wrote it that did not save these groups of weights."""

    def change(name: str, content: bytes) -> bytes:
        if name != "model.weights.h5":
            return content
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            for group in groups:
                del file[group]
        return buffer.getvalue()

    return rewritten(path, change)


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)


# Weights


@keras.saving.register_keras_serializable("dseh_tf_tests")
class Lazy(keras.Model):
    """A subclassed model, which has no weight before its first call."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.conv = layers.Conv2D(4, 3)

    def call(self, x):
        return keras.ops.mean(self.conv(x), (1, 2))


@keras.saving.register_keras_serializable("dseh_tf_tests")
class Nested(layers.Layer):
    """Layers in a list of lists, which older versions of Keras did not save."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.blocks = [[layers.Dense(3)], [layers.Dense(3)]]

    def build(self, shape) -> None:
        for (dense,) in self.blocks:
            dense.build(shape)

    def call(self, x):
        for (dense,) in self.blocks:
            x = dense(x)
        return x


def test_a_model_saved_before_it_was_built_is_refused(tmp_path):
    line = (
        r"found no values for 2 of 2 weights \(.*kernel, .*bias\), expected a model that was saved after it was built"
    )
    sequential = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    for name, model in (("sequential", sequential), ("subclass", Lazy())):
        with pytest.warns(UserWarning, match="not yet been built"):
            path = saved(model, tmp_path, f"{name}.keras")
        refused(path, line)
        refused(path, line, train=True)


@pytest.mark.parametrize(
    "kind", [Lazy, lambda: keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])]
)
def test_a_model_saved_after_it_was_built_keeps_its_weights(tmp_path, images, kind):
    model = kind()
    expected = model(images)
    found = trunk(model, tmp_path)
    np.testing.assert_allclose(found.model(images), expected, rtol=1e-5)
    assert found.fingerprint() == build_backbone(tmp_path / "net.keras", SIZE).fingerprint()


def test_weights_that_the_file_lacks_are_named(tmp_path):
    path = saved(network(), tmp_path)
    for group, count in (("layers/conv2d/vars/1", 1), ("layers/conv2d", 0)):
        what = rf"Layer 'conv' expected 2 variables, but received {count} variables during loading\. .*"
        refused(without_weights(path, group), rf"found no readable Keras model \({what}\), expected a \.keras file")


def test_layers_that_an_older_keras_left_out_are_named(tmp_path, recwarn):
    x = keras.Input((None, None, 3))
    path = saved(keras.Model(x, mean_of(Nested()(x))), tmp_path)
    build_backbone(path, SIZE)
    cut = without_weights(path, *(f"layers/nested/blocks/container{n}" for n in ("", "_1")))
    refused(
        cut, r"found no values for 4 of 4 weights \(.*, \.\.\.\), expected a model that was saved after it was built"
    )
    assert not [w for w in recwarn if "nested container" in str(w.message)]


def test_weights_that_are_nan_are_named(tmp_path):
    model = network()
    model.get_layer("conv").bias.assign([0, 0, np.nan, 0])
    refused(saved(model, tmp_path), r"found NaN in 1 of 2 weights \(conv/bias\), expected numbers")
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    refused(saved(model, tmp_path), r"found NaN in 2 of 2 weights \(conv/kernel, conv/bias\), expected numbers")


def test_nan_in_the_weights_of_an_application(tmp_path):
    model = build_backbone("mobilenet_v2", 32, weights="random").model.get_layer("network").network
    model.get_layer("Conv_1").kernel.assign(np.full(model.get_layer("Conv_1").kernel.shape, np.nan))
    model.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(
        InputError, match=r"backbone_weights: .*x\.weights\.h5: found NaN in 1 of 260 weights \(Conv_1/kernel\)"
    ):
        build_backbone("mobilenet_v2", 32, weights=tmp_path / "x.weights.h5")


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "bfloat16", "float64"])
def test_the_check_leaves_weights_of_every_dtype_as_they_were(tmp_path, rng, dtype):
    @keras.saving.register_keras_serializable("dseh_tf_tests", name=f"Holder_{dtype}")
    class Holder(layers.Layer):
        def build(self, _) -> None:
            self.held = self.add_weight(shape=(5,), dtype=dtype, initializer="zeros", trainable=False, name="held")

        def call(self, x):
            return x

    x = keras.Input((None, None, 3))
    model = keras.Model(x, mean_of(Holder()(x)))
    model.set_weights([np.asarray(rng.integers(0, 2, 5)).astype(model.weights[0].numpy().dtype)])
    path = saved(model, tmp_path)
    (found,) = trunk(model, tmp_path).model.get_weights()
    np.testing.assert_array_equal(found, model.get_weights()[0])
    with pytest.raises(InputError, match="found no values for 1 of 1 weights"):
        keras_file.check_weights(model, _of_other_names(path))


def _of_other_names(path: Path) -> Path:
    """An archive whose weights belong to other layers than the model's."""
    x = keras.Input((None, None, 3))
    return saved(keras.Model(x, mean_of(layers.ReLU()(x))), path.parent, "other.keras")


def test_weights_survive_under_several_replicas(tmp_path, tf, images):
    from dseh_tf.devices.replicas import make_strategy

    model = network()
    path = saved(model, tmp_path)
    strategy = make_strategy("mirrored", 2)
    with strategy.scope():
        found = build_backbone(path, SIZE)
    np.testing.assert_allclose(found.model(images), model(images), rtol=1e-5)


# Files


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), r"an HDF5 file, the \.h5 format of older Keras; .*"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; .*"),
        (b"<!doctype html><title>Sign in</title>", "a web page .*"),
        (b"PK\x03\x04" + bytes(40), "a zip archive that is cut off"),
        (b"no model", "no zip archive"),
    ],
)
def test_files_of_another_kind(tmp_path, content, what):
    (tmp_path / "x.keras").write_bytes(content)
    refused(tmp_path / "x.keras", rf"found no readable Keras model \({what}\), expected a \.keras file")


def test_no_file_and_folders(tmp_path):
    refused(tmp_path / "gone.keras", r"found no such file, expected a \.keras file")
    refused("/dev/null/x.keras", r"found no such file, expected a \.keras file")
    (tmp_path / "folder.keras").mkdir()
    refused(tmp_path / "folder.keras", r"found a folder, expected a \.keras file")
    (tmp_path / "folder.keras" / "saved_model.pb").write_bytes(b"")
    refused(tmp_path / "folder.keras", r"found a SavedModel's folder, expected a \.keras file")
    (tmp_path / "null.keras").symlink_to("/dev/null")
    refused(tmp_path / "null.keras", r"found no regular file, expected a \.keras file")


def test_other_names(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"")
    (tmp_path / "NET.KERAS").write_bytes(b"")
    shutil.copytree(tmp_path, tmp_path / "saved")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    for name, what in (
        ("x.h5", r", an HDF5 file \(load it with Keras and save it as \.keras\)"),
        ("NET.KERAS", r", a file whose name does not end in \.keras"),
        ("saved", ", a SavedModel's folder"),
        ("gone", ""),
    ):
        with pytest.raises(InputError, match=rf"^backbone: found '{tmp_path / name}'{what}, expected compact, .*"):
            build_backbone(tmp_path / name, SIZE)


def test_damaged_archives(tmp_path):
    path = saved(network(), tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole[: len(whole) // 2])
    refused(cut, r"found no readable Keras model \(a zip archive that is cut off\), expected a \.keras file")
    flipped = bytearray(whole)
    flipped[whole.find(weights) + len(weights) - 100] ^= 64
    cut.write_bytes(flipped)
    refused(cut, r"found no readable Keras model \(model\.weights\.h5 is damaged\), expected an undamaged file")
    for change, reason in (
        (lambda name, content: None if name == "config.json" else content, r"a zip archive without config\.json"),
        (lambda name, content: None if "weights" in name else content, r"a zip archive without model\.weights\.h5"),
        (lambda name, content: content[:40] if name == "config.json" else content, ".*"),
        (lambda name, content: b"null" if name == "config.json" else content, ".*"),
        (lambda name, content: b"[]" if name == "config.json" else content, ".*"),
        (lambda name, content: b'{"class_name": "Dense"}' if name == "config.json" else content, ".*"),
        (lambda name, content: content[:600] if "weights" in name else content, ".*truncated.*"),
    ):
        refused(rewritten(path, change), rf"found no readable Keras model \({reason}\), expected .*")


def test_bytes_changed_at_random_give_the_model_or_one_line(tmp_path, rng, images):
    """No weight is another one without a word. HYPOTHESIS_EXAMPLES: the number of files."""
    model = network()
    whole, expected = saved(model, tmp_path).read_bytes(), model(images).numpy()
    found, files = 0, int(os.environ.get("HYPOTHESIS_EXAMPLES", 40))
    for _ in range(files):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        path = tmp_path / "changed.keras"
        path.write_bytes(changed)
        try:
            again = build_backbone(path, SIZE).model(images)
        except InputError as error:
            assert "\n" not in str(error)
            continue
        found += 1
        np.testing.assert_allclose(again, expected, rtol=1e-5)
    assert found < files


def test_keras_2(tmp_path):
    """The config of a functional model of Keras 2 names a class that Keras 3 has not."""

    def change(name: str, content: bytes) -> bytes:
        if name == "metadata.json":
            return json.dumps({"keras_version": "2.15.0"}).encode()
        if name == "config.json":
            return json.dumps({**json.loads(content), "module": "keras.src.engine.functional"}).encode()
        return content

    path = rewritten(saved(network(), tmp_path), change)
    refused(
        path,
        r"found no readable Keras model \(saved by Keras 2\.15\.0: .*Functional.*\), expected a file saved by Keras 3",
    )


# Layers of one's own

MODULE = """
import keras

@keras.saving.register_keras_serializable("{package}")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


@pytest.fixture
def own_layers(tmp_path, monkeypatch) -> tuple[str, Path]:
    """(module, file of a model with a layer of it), as a new process finds them: nothing is imported."""
    name = f"layers_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE.format(package=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    keras_file.import_modules([name])
    module = sys.modules.pop(name)
    path = saved(network(outputs=lambda x: mean_of(module.Doubled()(x))), tmp_path)
    keras.saving.get_custom_objects().pop(f"{name}>Doubled")
    return name, path


def test_own_layers(own_layers, images):
    from dseh_tf.methods.image_encoder import Trunk

    name, path = own_layers
    refused(
        path,
        r"found the class 'Doubled', which Keras does not know, expected import_module to name the module that registers it "
        r"with keras\.saving\.register_keras_serializable",
    )
    found = Trunk(str(path), SIZE, import_modules=(name,)).build(0)
    network = found.model.get_layer("network").network
    expected = 2 * network.get_layer("conv")(images).numpy().mean((1, 2))
    np.testing.assert_allclose(found.model(images), expected, rtol=1e-5)


def test_modules_that_cannot_be_imported(own_layers, tmp_path):
    _, path = own_layers
    (tmp_path / "broken_layers.py").write_text("1 / 0")
    for module, line in (
        ("no_such_layers", "found ModuleNotFoundError .*, expected an importable module"),
        ("broken_layers", r"found ZeroDivisionError \(division by zero\), expected an importable module"),
        ("layers/mine.py", r"found ModuleNotFoundError .* \(a module name, not a file\)"),
        ("", "found ValueError .*"),
    ):
        with pytest.raises(InputError, match=f"^import_module: {module}: {line}$"):
            build_backbone(path, SIZE, import_modules=[module])


def test_code_in_the_file_is_not_run(tmp_path):
    line = r"found a Lambda layer, which would run code that comes with the file, expected layers of Keras, or .*import_module.*"
    refused(saved(network(outputs=lambda x: mean_of(layers.Lambda(lambda y: y * 2)(x))), tmp_path), line)
    inner = keras.Sequential([keras.Input((None, None, 4)), layers.Lambda(lambda y: y * 2)])
    refused(saved(network(outputs=lambda x: mean_of(inner(x))), tmp_path), line)


def a_function(x):
    return x * 2


def test_a_function_that_keras_does_not_know(tmp_path):
    for layer in (layers.Lambda(a_function), layers.Activation(a_function)):
        path = saved(network(outputs=lambda x, layer=layer: mean_of(layer(x))), tmp_path)
        refused(path, "found the function 'a_function', which Keras does not know, expected import_module .*")


# Inputs


@pytest.mark.parametrize("shape", [(3, None, None), (3, SIZE, SIZE)])
def test_channels_first(tmp_path, images, shape):
    """Both for a vector and for a map [b, c, h, w], whose positions are averaged."""
    first = {"data_format": "channels_first"}
    x = keras.Input(shape)
    y = layers.Conv2D(4, 3, **first)(x)
    expected = y_of = keras.Model(x, y)
    expected = y_of(images.transpose(0, 3, 1, 2)).numpy().mean((2, 3))
    for model in (y_of, keras.Model(x, layers.GlobalAveragePooling2D(**first)(y))):
        found = trunk(model, tmp_path)
        assert found.dim == 4
        np.testing.assert_allclose(found.model(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float64"])
def test_dtypes_of_the_input(tmp_path, images, dtype):
    x = keras.Input((None, None, 3), dtype=dtype)
    model = keras.Model(x, mean_of(layers.Rescaling(1 / 255)(x)))
    np.testing.assert_allclose(trunk(model, tmp_path).model(images), images.mean((1, 2)) / 255, rtol=1e-3)


def test_other_dtypes_of_the_input(tmp_path):
    for dtype in ("int8", "bool"):
        x = keras.Input((None, None, 3), dtype=dtype)
        path = saved(keras.Model(x, mean_of(layers.Rescaling(1 / 255)(x))), tmp_path)
        refused(path, f"found input of {dtype}, expected a dtype that holds 0..255, such as uint8 or float32")
    x = keras.Input((None, None, 3), dtype="uint8")
    path = saved(keras.Model(x, mean_of(layers.Rescaling(1 / 255)(x))), tmp_path)
    refused(
        path, r"found input of uint8 and scaling \(127\.5, 0\.01\), which it cannot hold, .*", scaling=(127.5, 0.01)
    )


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((SIZE, SIZE, 1), r"found input \(None, 8, 8, 1\) \(grayscale\), expected 3 channels \(RGB\)"),
        ((1, SIZE, SIZE), r"found input \(None, 1, 8, 8\) \(grayscale\), expected 3 channels \(RGB\)"),
        ((None, None, 4), r"found input \(None, None, None, 4\), expected 3 channels \(RGB\)"),
        ((16, 12, 3), r"image_size: found 8, expected 16 x 12, the size that this model was built for"),
        ((32, 32, 3), r"image_size: found 8, expected 32 x 32, the size that this model was built for"),
        ((3, 32, 32), r"image_size: found 8, expected 32 x 32, the size that this model was built for"),
        ((192,), r"found input \(None, 192\), expected images \(None, 8, 8, 3\)"),
        ((SIZE, SIZE), r"found input \(None, 8, 8\), expected images \(None, 8, 8, 3\)"),
    ],
)
def test_inputs_that_are_no_images_of_this_size(tmp_path, shape, line):
    x = keras.Input(shape)
    refused(
        saved(keras.Model(x, layers.Dense(2)(layers.Flatten()(x) if None not in shape else mean_of(x))), tmp_path), line
    )
    if None not in shape:
        model = keras.Sequential([x, layers.Flatten(), layers.Dense(2)])
        refused(saved(model, tmp_path), line)


def test_several_inputs_and_a_dict_of_one(tmp_path, images):
    a, b = keras.Input((None, None, 3), name="a"), keras.Input((5,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([mean_of(a), b]))
    line = r"found 2 inputs \(a \(None, None, None, 3\), b \(None, 5\)\), expected one, of images"
    refused(saved(model, tmp_path), line)
    model = keras.Model({"image": a}, mean_of(a))
    np.testing.assert_allclose(trunk(model, tmp_path).model(images), images.mean((1, 2)), rtol=1e-5)


# Outputs


@pytest.mark.parametrize("wrap", [lambda y: {"vector": y}, lambda y: [y], lambda y: (y,), lambda y: {"a": [y]}])
def test_one_output_in_a_structure(tmp_path, images, wrap):
    model = network(outputs=lambda x: wrap(mean_of(x)))
    expected = keras.tree.flatten(model(images))[0]
    found = trunk(model, tmp_path)
    assert found.dim == 4
    np.testing.assert_allclose(found.model(images), expected, rtol=1e-5)


def test_several_outputs_are_named(tmp_path):
    def both(x):
        return layers.GlobalAveragePooling2D(name="mean")(x), layers.Dense(2, name="map")(x)

    rest = r", expected one; save keras\.Model\(model\.input, \.\.\.\) of that one"
    path = saved(network(outputs=both), tmp_path)
    refused(path, r"found 2 outputs \(mean \(None, 4\), map \(None, 6, 6, 2\)\)" + rest)
    path = saved(network(outputs=lambda x: dict(zip(("feature", "logits"), both(x), strict=True))), tmp_path)
    refused(path, r"found 2 outputs \(feature \(None, 4\), logits \(None, 6, 6, 2\)\)" + rest)


def test_a_feature_map_is_averaged(tmp_path, images):
    model = network(outputs=lambda x: x)
    np.testing.assert_allclose(
        trunk(model, tmp_path).model(images), model(images).numpy().mean((1, 2)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        (
            lambda x: layers.Reshape((36, 4))(x),
            r"found output \(None, 36, 4\) \(tokens\), expected one vector .*pooling.*",
        ),
        (lambda x: keras.ops.mean(x, (1, 2, 3)), r"found output \(None,\), expected one vector per image.*"),
        (lambda x: mean_of(x) > 0, r"found output of bool, expected numbers"),
        (lambda x: keras.ops.reshape(x, (-1, 12)), r"found output \(24, 12\) for 2 images, expected \(2, 12\)"),
        (lambda x: keras.ops.log(-1 - keras.ops.abs(mean_of(x))), "found nan in the output for noise images, .*"),
    ],
)
def test_outputs_that_are_no_vector(tmp_path, outputs, line):
    refused(saved(network((SIZE, SIZE, 3), outputs), tmp_path), line)


def test_outputs_of_other_dtypes_become_float32(tmp_path, images):
    model = network(outputs=lambda x: keras.ops.cast(keras.ops.clip(mean_of(x), -9, 9), "int32"))
    found = trunk(model, tmp_path)
    assert found.model.output.dtype == "float32"
    np.testing.assert_array_equal(found.model(images), model(images).numpy())


def test_half_precision_that_overflows(tmp_path):
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float16")
        model = network()
    finally:
        keras.config.set_dtype_policy(policy)
    model.get_layer("conv").kernel.assign(np.full(model.get_layer("conv").kernel.shape, 1e4))
    refused(saved(model, tmp_path), "found inf in the output for noise images, expected finite numbers; .*")
    found = trunk(model, tmp_path, scaling=(0.0, 1e-4))
    assert found.model.output.dtype == "float32"


@keras.saving.register_keras_serializable("dseh_tf_tests")
class Failing(layers.Layer):
    """Fails while its call is traced (`traced`), or only when it runs."""

    def __init__(self, traced: bool, **options) -> None:
        super().__init__(**options)
        self.traced = traced

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x):
        import tensorflow as tf

        if self.traced:
            raise AttributeError("no such thing\nand more")
        with tf.control_dependencies([tf.debugging.assert_less(x, -1e9, message="too bright")]):
            return tf.identity(x)

    def get_config(self):
        return {**super().get_config(), "traced": self.traced}


def test_a_model_that_fails(tmp_path):
    for traced, line in (
        (True, r"found a model that cannot be applied to \(None, 8, 8, 3\) \(no such thing\), expected one of images"),
        (False, r"found a model that fails on images \(.*too bright.*\), expected one that runs"),
    ):
        refused(saved(network(outputs=lambda x, traced=traced: mean_of(Failing(traced)(x))), tmp_path), line)


# Arguments


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (0, "image_size: found 0, expected a positive number"),
        (-3, "image_size: found -3, expected a positive number"),
        (100_000, "image_size: found 100000, expected at most 8192"),
        ("32", "image_size: found '32', expected a whole number"),
        (8.5, "image_size: found 8.5, expected a whole number"),
    ],
)
def test_image_sizes(size, line):
    with pytest.raises(InputError, match=f"^{line}$"):
        build_backbone("compact", size)


@pytest.mark.parametrize("scaling", [(0.0, 0.0), (np.nan, 1.0), (0.0, np.inf), (1.0,)])
def test_scalings(tmp_path, scaling):
    with pytest.raises(InputError, match=r"^backbone_scaling: found .*, expected a mean and a scale"):
        trunk(network(), tmp_path, scaling=scaling)
