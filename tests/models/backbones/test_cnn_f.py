"""CNN-F against a forward pass by scipy and loops; its geometry; its two rates of learning."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.errors import InputError
from tests.models.matconvnet_files import forward, save, small_cnn_f

LAYOUTS = ["current", "older", "current in net", "older in net"]
# A small picture on which the geometry is as at 224: pads decide, and no column is left over by chance.
SMALL = 95  # -> 22 -> 11 -> 5 -> 2


@pytest.fixture
def cnn_f(tf):
    from dseh_tf.models.backbones.cnn_f import cnn_f

    return cnn_f


def _images(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def _outputs(backbone, name: str):
    import keras

    return keras.Model(backbone.model.inputs[0], backbone.model.get_layer(name).output)


def _assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-4 of the size of the outputs."""
    assert found.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0.1  # outputs that are all zero would agree with anything
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * size)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_agrees_with_an_independent_forward_pass(tmp_path, rng, cnn_f, layout):
    layers, mean = small_cnn_f(rng, fc6=2), rng.uniform(90, 130, (SMALL, SMALL, 3))
    path = save(tmp_path / "net.mat", layers, mean, layout)
    backbone = cnn_f(str(path), image_size=SMALL)
    images = _images(rng, 2, SMALL)
    expected = np.stack([forward(layers, mean, image, "relu7") for image in images])[:, 0, 0]
    _assert_close(backbone.model(images, training=False).numpy(), expected)


def test_agrees_at_its_full_size_layer_by_layer(tmp_path, rng, cnn_f):
    layers, mean = small_cnn_f(rng, fc6=6), rng.uniform(90, 130, (224, 224, 3))
    backbone = cnn_f(str(save(tmp_path / "imagenet-vgg-f.mat", layers, mean)), 224)
    image = _images(rng, 1, 224)
    for name in ("norm1", "pool1", "norm2", "pool5", "relu7"):
        expected = forward(layers, mean, image[0], name)
        _assert_close(_outputs(backbone, name)(image).numpy().reshape(expected.shape), expected)
    assert (backbone.name, backbone.dim) == ("cnn_f", 7)
    assert backbone.pretrained and backbone.has_dropout and not backbone.trained
    np.testing.assert_allclose(backbone.mean, mean, rtol=1e-6)


def test_pads_are_top_bottom_left_right(tmp_path, rng, cnn_f):
    """Four different pads: any other order, or the symmetric reading of them, gives other numbers."""
    layers, mean = small_cnn_f(rng, fc6=2), rng.uniform(90, 130, (1, 1, 3))
    image = _images(rng, 1, SMALL)
    layers[4]["pad"] = np.array([[0, 4, 1, 3]])
    layers[3]["pad"] = np.array([[1, 0, 0, 1]])
    path = save(tmp_path / "net.mat", layers, mean)
    found = _outputs(cnn_f(str(path), SMALL), "relu2")(image).numpy()[0]
    expected = forward(layers, mean, image[0], "relu2")
    _assert_close(found, expected)
    for index, other in ((4, [[2, 2, 2, 2]]), (4, [[4, 0, 3, 1]]), (4, [[1, 3, 0, 4]]), (3, [[0, 1, 0, 1]])):
        changed = [dict(layer) for layer in layers]
        changed[index]["pad"] = np.array(other)
        differing = forward(changed, mean, image[0], "relu2")
        assert differing.shape == expected.shape
        assert np.abs(differing - found).max() > 1e-2 * np.abs(expected).max()


def test_pads_of_pool1_that_shapes_cannot_tell_apart(tmp_path, rng, cnn_f):
    """At 224, [0 1 0 1], [1 0 1 0] and a symmetric [1 1 1 1] all give 27 x 27; the maxima differ."""
    layers, mean = small_cnn_f(rng), np.zeros((1, 1, 3))
    image = _images(rng, 1, 224)
    found = _outputs(cnn_f(str(save(tmp_path / "net.mat", layers, mean)), 224), "pool1")(image).numpy()[0]
    _assert_close(found, forward(layers, mean, image[0], "pool1"))
    for other in ([[1, 0, 1, 0]], [[1, 1, 1, 1]]):
        layers[3]["pad"] = np.array(other)
        shifted = forward(layers, mean, image[0], "pool1")
        assert shifted.shape == found.shape == (27, 27, 3)
        assert np.abs(shifted - found).max() > 0.1 * np.abs(found).max()


@pytest.fixture(scope="module")
def full(tf):
    from dseh_tf.models.backbones.cnn_f import cnn_f

    return cnn_f("random", train=True, seed=3)


def test_geometry(full):
    size = {layer.name: tuple(layer.output.shape[1:]) for layer in full.model.layers}
    assert full.model.input_shape == (None, 224, 224, 3)
    assert [size[n][0] for n in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")] == [54, 27, 27, 13, 13, 6]
    assert [size[f"conv{i}"][-1] for i in (1, 2, 3, 4, 5)] == [64, 256, 256, 256, 256]
    assert size["fc6"] == size["fc7"] == (4096,)
    assert full.dim == 4096
    # the 14 pretrained variables of the release
    shapes = [tuple(v.shape) for v in full.model.trainable_variables]
    assert shapes[::2] == [
        (11, 11, 3, 64), (5, 5, 64, 256), (3, 3, 256, 256), (3, 3, 256, 256), (3, 3, 256, 256), (9216, 4096), (4096, 4096)
    ]  # fmt: skip
    assert len(shapes) == 14
    lrn = full.model.get_layer("norm1")
    assert (lrn.radius, lrn.bias, lrn.alpha, lrn.beta) == (2, 2.0, 1e-4, 0.75)


def test_random_weights_come_from_the_seed(full):
    from dseh_tf.models.backbones.cnn_f import random_network

    kernel = full.model.get_layer("conv1").kernel.numpy()
    np.testing.assert_array_equal(random_network(3).layers[0].kernel, kernel)
    assert not np.array_equal(random_network(4).layers[0].kernel, kernel)


def test_dropout_behind_fc6_and_fc7(full):
    layers = {layer.name: layer for layer in full.model.layers}
    assert [(layers[n].rate, layers[n].salt) for n in ("dropout6", "dropout7")] == [(0.5, 6), (0.5, 7)]
    names = list(layers)
    assert names[names.index("relu6") + 1] == "dropout6"
    assert names[names.index("relu7") + 1] == "dropout7"


def test_dropout_reaches_the_trunk_and_works_in_training_only(tmp_path, rng, tf):
    from dseh_tf.methods.image_encoder import Trunk
    from dseh_tf.models.layers import DropoutStream, dropout_stream

    path = save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2), 117.0)
    backbone = Trunk("cnn_f", SMALL, train=True, weights=str(path)).build(seed=0, dropout=0.25)
    assert backbone.model.get_layer("dropout6").rate == 0.25
    images = _images(rng, 4, SMALL)
    clean = backbone.model(images, training=False).numpy()
    np.testing.assert_array_equal(clean, backbone.model(images).numpy())
    with dropout_stream(DropoutStream(tf.constant([1, 2], tf.int64), 0, 4)):
        dropped = backbone.model(images, training=True).numpy()
    assert not np.allclose(dropped, clean)


def test_kind_follows_train_backbone():
    from dseh_tf.methods.image_encoder import Trunk

    assert Trunk("cnn_f", 224).kind == "features"
    assert Trunk("cnn_f", 224, train=True).kind == "cnn_f"
    assert Trunk("resnet50", 224).kind == "features"
    assert Trunk("resnet50", 224, train=True).kind == "finetuned"
    assert Trunk().kind == Trunk(train=True).kind == "compact"


def test_frozen_by_default(tmp_path, rng, cnn_f):
    path = str(save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2), 117.0))
    assert not cnn_f(path, SMALL).model.trainable_variables
    assert len(cnn_f(path, SMALL, train=True).model.trainable_variables) == 14


def test_mean_can_be_kept_in(tmp_path, rng, tf):
    """The release's bug: with the mean added before, the trunk sees the image as it is."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.settings import DSEHSettings
    from dseh_tf.methods.image_encoder import ImageEncoder
    from dseh_tf.models.backbones.cnn_f import cnn_f
    from dseh_tf.models.imgnet import build_imgnet

    layers, mean = small_cnn_f(rng, fc6=2), rng.uniform(90, 130, (SMALL, SMALL, 3))
    with_mean = cnn_f(str(save(tmp_path / "a.mat", layers, mean)), SMALL)
    without = cnn_f(str(save(tmp_path / "b.mat", layers, 0.0)), SMALL)
    settings, runtime = DSEHSettings(feature_dim=8), Runtime(progress=False, encode_batch=2)
    images = _images(rng, 3, SMALL)
    kept = ImageEncoder(4, build_imgnet(4, settings, 0, with_mean), with_mean, runtime).forward(images, keep_mean=True)
    plain = ImageEncoder(4, build_imgnet(4, settings, 0, without), without, runtime).forward(images)
    np.testing.assert_allclose(kept["logits"], plain["logits"], rtol=1e-3, atol=1e-6)


def test_saved_and_loaded(tmp_path, rng, cnn_f):
    import keras

    backbone = cnn_f(str(save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2), 117.0)), SMALL)
    backbone.model.save(tmp_path / "trunk.keras")
    images = _images(rng, 2, SMALL)
    loaded = keras.models.load_model(tmp_path / "trunk.keras")
    np.testing.assert_allclose(loaded(images).numpy(), backbone.model(images).numpy(), rtol=1e-6)


def test_without_weights_it_says_what_is_missing(cnn_f):
    with pytest.raises(
        InputError, match=r"backbone_weights: found none for cnn_f, expected .*imagenet-vgg-f\.mat"
    ) as e:
        cnn_f(None)
    assert "MatConvNet" in str(e.value) and "\n" not in str(e.value)


def _swap(layers):
    layers[0], layers[1] = layers[1], layers[0]


def _channels(layers):
    layers[4]["filters"] = layers[4]["filters"][:, :, :2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers.pop(16), r"layers\{17\}: found Conv 'fc7'|layers\{17\}: found Relu 'relu6'"),
        (lambda layers: layers.pop(14), r"layers\{15\}: found Conv 'fc6', expected MaxPool 'pool5'|found .*'pool5'"),
        (lambda layers: layers.__delitem__(slice(10, None)), r"layers: found 10 of them, expected conv4 as number 11"),
        (_swap, r"layers\{1\}: found Relu 'relu1', expected Conv 'conv1'"),
        (_channels, r"conv2\.filters: found 2 input channels, expected 3"),
    ],
)
def test_another_network_is_named(tmp_path, rng, cnn_f, change, message):
    layers = small_cnn_f(rng, fc6=2)
    change(layers)
    path = save(tmp_path / "net.mat", layers, 117.0)
    with pytest.raises(InputError, match=r"net\.mat: " + f"({message})"):
        cnn_f(str(path), SMALL)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (160, r"fc6\.filters: found 2 x 2 on maps of 4 x 4 from image_size 160"),
        (12, r"pool1: found 3 x 3 windows on maps of 2 x 2 .*expected a larger image_size"),
        (8, r"conv1: found 11 x 11 windows on maps of 8 x 8"),
    ],
)
def test_image_size_that_does_not_fit(tmp_path, rng, cnn_f, size, message):
    layers = small_cnn_f(rng, fc6=2)
    with pytest.raises(InputError, match=message):
        cnn_f(str(save(tmp_path / "net.mat", layers, 117.0)), size)


def test_mean_of_another_size(tmp_path, rng, cnn_f):
    path = save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2), np.zeros((224, 224, 3)))
    with pytest.raises(InputError, match=r"averageImage: found 224 x 224, expected image_size, 95 x 95"):
        cnn_f(str(path), SMALL)


def _imgnet_groups(path, images):
    """DSEH's image network on CNN-F, and its variables in groups, under the paper's preset."""
    from dseh_tf.data import RetrievalDataset
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH
    from dseh_tf.methods.image_encoder import Trunk

    labels = np.eye(2, dtype=np.uint8)[np.arange(len(images)) % 2]
    method = DSEH(
        8, preset="paper", preset_dataset="nus_wide", trunk=Trunk("cnn_f", SMALL, train=True, weights=str(path)),
        imgnet_batch=4, labnet_batch=4, labnet_width=16, momentum=0.0,
    )  # fmt: skip
    dataset = RetrievalDataset.from_arrays((images, labels), (images, labels))
    training = method.recipe(dataset, Runtime(progress=False))
    return training.imgnet.network, training.imgnet.groups


def test_pretrained_layers_learn_at_a_tenth_of_the_rate(tmp_path, rng, tf):
    """One SGD step of the real Trainer: change / gradient is the rate of each group, for every variable."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.presets import PAPER, RELEASE
    from dseh_tf.training.batches import TrainingRows
    from dseh_tf.training.recipe import Phase
    from dseh_tf.training.trainer import Trainer

    assert RELEASE["nus_wide"].pretrained_multiplier == PAPER["nus_wide"].pretrained_multiplier == 0.1
    path = save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2, filters=4), 117.0)
    images, rate = _images(rng, 4, SMALL), 0.02
    imgnet, groups = _imgnet_groups(path, images)
    assert [len(group.variables) for group in groups] == [4, 14]

    def forward(batch):
        return imgnet(batch["inputs"], training=False)  # without masks, so that the gradient is known

    def loss(out, batch):
        return {"total": tf.reduce_sum(out["logits"] ** 2) + tf.reduce_sum(out["feature"])}

    before = [[v.numpy().copy() for v in group.variables] for group in groups]
    with tf.GradientTape() as tape:
        total = loss(forward({"inputs": images}), {})["total"]
    variables = [v for group in groups for v in group.variables]
    gradients = iter(g.numpy() for g in tape.gradient(total, [v.value for v in variables]))
    rows = TrainingRows({"inputs": images}, 4, 0, "imgnet", 0, {})
    trainer = Trainer(Runtime(progress=False), {}, 0, lambda: None)
    trainer.take(Phase("imgnet", 0, rows, 1, forward, loss, groups, lambda epoch: rate))
    for group, old, expected in zip(groups, before, (rate, 0.1 * rate), strict=True):
        for variable, start in zip(group.variables, old, strict=True):
            gradient = next(gradients).astype(np.float64)
            change = start.astype(np.float64) - variable.numpy()
            found = (change * gradient).sum() / (gradient**2).sum()  # least squares over the elements
            assert np.abs(gradient).max() > 0, variable.path
            assert found == pytest.approx(expected, rel=1e-2), variable.path


def _fit(path, images, strategy):
    from dseh_tf.data import RetrievalDataset
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH
    from dseh_tf.methods.image_encoder import Trunk

    labels = np.eye(4, dtype=np.uint8)[np.arange(len(images)) % 4]
    dataset = RetrievalDataset.from_arrays((images, labels), (images[:4], labels[:4]), (images, labels))
    trunk = Trunk("cnn_f", SMALL, train=True, weights=str(path))
    method = DSEH(
        8, trunk=trunk, labnet_epochs=(1,), imgnet_epochs=(4,), labnet_batch=4, imgnet_batch=4,
        labnet_width=16, feature_dim=8,
    )  # fmt: skip
    assert method.settings.imgnet_learning_rate == 1e-4 and method.settings.pretrained_multiplier == 0.1
    return method.fit(dataset, Runtime(strategy=strategy, progress=False)), dataset, trunk


@pytest.mark.slow
def test_dseh_fine_tunes_cnn_f_alike_on_any_number_of_replicas(tmp_path, rng, tf):
    """Through a whole fit: every pretrained layer moves, the mean stays; two replicas learn the same, with dropout."""
    from dseh_tf.devices.replicas import make_strategy

    path = save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2, filters=4), 117.0)
    images = _images(rng, 8, SMALL)
    fitted, dataset, trunk = _fit(path, images, tf.distribute.get_strategy())
    assert fitted.encode(dataset.query).shape == (4, 8)
    start, model = trunk.build(0).model.get_weights(), fitted.backbone.model
    moved = [not np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True)]
    assert [w.path for w, m in zip(model.weights, moved, strict=True) if not m] == ["mean/mean"]

    several, _, _ = _fit(path, images, make_strategy("mirrored", 2))
    one, two = fitted.traces["imgnet/0/total"], several.traces["imgnet/0/total"]
    assert len(one) == 8 and np.ptp(one) > 1e-3 * one[0]
    np.testing.assert_allclose(two, one, rtol=1e-4)
