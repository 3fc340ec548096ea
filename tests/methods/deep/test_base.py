"""The deep rivals on the shared machinery: settings, networks, normalised outputs, health. The battery trains each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.errors import InputError
from dseh_tf.methods import METHODS
from tests.methods.small import fit, small_dataset, small_settings

pytestmark = pytest.mark.usefixtures("tf")


RIVALS = [name for name, kind in METHODS.items() if kind.__module__.startswith("dseh_tf.methods.deep.")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpsh", "dnnh"])
def test_normalized_outputs_are_those_of_the_whole_batch(tf, name):
    """Every bit has mean 0 and variance 1 while training, over the rows of all replicas; encoding has running statistics."""
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.deep.recipe import build_network

    features = small_dataset().train.features
    network, plain = (
        build_network(METHODS[name](8, seed=3, dropout=0.0, feature_layer=24, normalize_outputs=wanted), None, 12)
        for wanted in (True, False)
    )
    u = plain(features)["logits"].numpy().astype(float)
    normalized = network(features, training=True)["logits"]
    np.testing.assert_allclose(normalized, (u - u.mean(0)) / np.sqrt(u.var(0) + 1e-3), atol=1e-4)
    mean, variance = 0.1 * u.mean(0), 0.9 + 0.1 * u.var(0)
    np.testing.assert_allclose(network(features)["logits"], (u - mean) / np.sqrt(variance + 1e-3), atol=1e-4)

    alone = fit(name, normalize_outputs=True)
    several = fit(name, Runtime(strategy=make_strategy("mirrored", 2), progress=False), normalize_outputs=True)
    for term, values in alone.traces.items():
        # Dividing by the small deviations of first weights enlarges float32's differences, step by step.
        np.testing.assert_allclose(several.traces[term][:15], values[:15], rtol=1e-4, err_msg=term)
        np.testing.assert_allclose(several.traces[term], values, rtol=1e-2, err_msg=term)


@pytest.mark.parametrize("name", RIVALS)
def test_the_rate_falls(tf, name):
    """The first rate, and that of two later epochs, through `phase` itself."""
    from dseh_tf.devices.runtime import Runtime

    dataset = small_dataset()
    method = METHODS[name](8, learning_rate=0.25, decay=0.5, decay_epochs=3, batch=16, epochs=7)
    phase = method.recipe(dataset, Runtime(progress=False)).phase()
    assert [phase.learning_rate(epoch) for epoch in (0, 2, 3, 6)] == [0.25, 0.25, 0.125, 0.0625]
    assert (phase.epochs, phase.epoch_steps) == (7, len(dataset.train) // 16)
    np.testing.assert_array_equal(phase.rows.flipped["inputs"], dataset.train.flipped_features)
    alone = replace(dataset, train=replace(dataset.train, flipped_features=None))
    assert method.recipe(alone, Runtime(progress=False)).phase().rows.flipped == {}


def test_settings_follow_the_trunk():
    from dseh_tf.methods.image_encoder import Trunk

    for name in RIVALS:
        kind = METHODS[name]
        published = kind(16, trunk=Trunk("cnn_f", train=True)).settings
        assert published == kind.PUBLISHED["nus_wide"]
        features, compact = kind(16, trunk=Trunk("x.keras")).settings, kind(16).settings
        shared = {"optimizer": "adam", "learning_rate": 1e-3, "decay_epochs": 20, "epochs": 60}
        above = {"feature_layer": 2048, "dropout": 0.3, "normalize_outputs": False, "batch": 128}
        scratch = {"feature_layer": 0, "dropout": 0.0, "normalize_outputs": True, "batch": 32}
        for found, own in ((features, above), (compact, scratch)):
            expected = {**shared, **own, **kind.UNTUNED}
            assert {field: getattr(found, field) for field in expected} == expected
        assert kind(16, learning_rate=0.5).settings.learning_rate == 0.5
    rows = {
        row: METHODS["hashnet"](16, preset_dataset=row).settings.class_num
        for row in ("nus_wide", "imagenet", "ms_coco")
    }
    assert rows == {"nus_wide": 5.0, "imagenet": 100.0, "ms_coco": 1.0}


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("dpsh", {"optimizer": "nope"}, "optimizer: found 'nope', expected one of adam, rmsprop, sgd"),
        ("dhn", {"pair_set": "nope"}, "pair_set: found 'nope', expected one of bank, batch"),
        ("hashnet", {"batch": 33}, "batch: found 33, expected an even number"),
        ("csq", {"centres": "nope"}, "centres: found 'nope', expected one of hadamard_or_search, random, dpn"),
        ("dpn", {"margin": 0.0}, "margin: found 0.0, expected a positive number"),
        ("orthohash", {"normalize_outputs": True}, "normalize_outputs: found True, expected False"),
        ("dnnh", {"preset_dataset": "nope"}, "preset_dataset: found 'nope', expected one of nus_wide"),
    ],
)
def test_bad_settings(name, given, line):

    with pytest.raises(InputError) as error:
        METHODS[name](16, **given)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_each_group_has_its_rate(tf, optimizer):
    """Pretrained layers at a tenth, biases at twice their kernels' rate, under every optimiser."""
    from dseh_tf.methods.deep.recipe import build_network, variable_groups
    from dseh_tf.models.backbones import build_backbone

    backbone = replace(build_backbone("compact", 16), pretrained=True)
    method = METHODS["dpsh"](8, optimizer=optimizer, pretrained_multiplier=0.1, bias_multiplier=2.0)
    groups = variable_groups(build_network(method, backbone, None), backbone, method.settings)
    rates = {v.path: group.multiplier for group in groups for v in group.variables}
    assert rates["hash/kernel"] == 1.0 and rates["hash/bias"] == 2.0
    assert {rate for path, rate in rates.items() if path.startswith("conv")} == {0.1}
    assert {rate for path, rate in rates.items() if path.startswith("norm")} == {0.2}


def test_rmsprop_is_torchs(tf, rng):
    """v <- .99 v + .01 g^2, w <- w - rate g / (sqrt v + 1e-8)."""
    from dseh_tf.training.optimizers import build_optimizer

    variable = tf.Variable([1.0, -2.0, 0.5])
    optimizer = build_optimizer("rmsprop", [variable])
    optimizer.learning_rate.assign(0.01)
    w, v = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    for _ in range(5):
        g = rng.normal(0, [1.0, 1e-2, 1e-4])
        optimizer.apply([tf.constant(g, tf.float32)], [variable])
        v = 0.99 * v + 0.01 * g**2
        w -= 0.01 * g / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(variable.numpy(), w, rtol=1e-3)


def test_weight_decay_is_of_all_kernels(tf):
    """The first step's loss has half the weights' squares times the decay on top."""
    plain, decayed = fit("dpsh", epochs=1), fit("dpsh", weight_decay=0.5, epochs=1)
    assert decayed.traces["dpsh/0/pairs"][0] == pytest.approx(plain.traces["dpsh/0/pairs"][0], rel=1e-6)
    initial = fit("dpsh", epochs=0)
    squares = sum(float((w.numpy() ** 2).sum()) for w in initial.network.trainable_variables if len(w.shape) > 1)
    added = decayed.traces["dpsh/0/total"][0] - plain.traces["dpsh/0/total"][0]
    assert added == pytest.approx(0.25 * squares, rel=1e-4)


def test_dnnh_encodes_each_bit_from_its_slice(tf, rng):
    from dseh_tf.methods.deep.recipe import build_network

    network = build_network(METHODS["dnnh"](6, slice_width=5, dropout=0.0, normalize_outputs=False), None, 7)
    x = rng.standard_normal((3, 7)).astype(np.float32)
    w = {v.path: v.numpy() for v in network.trainable_variables}
    slices = np.maximum(x @ w["slices/kernel"] + w["slices/bias"], 0)
    for bit in range(6):
        expected = slices[:, 5 * bit : 5 * bit + 5] @ w["hash/kernel"][bit] + w["hash/bias"][bit]
        np.testing.assert_allclose(network(x)["logits"][:, bit], expected, rtol=1e-4, atol=1e-6)


def test_greedyhash_classifies_signs(tf, rng, tmp_path):
    """Its classifier reads signs, of normalised outputs where they are normalised, and passes its gradient to them as it is."""
    from dseh_tf.methods.deep.recipe import build_network
    from dseh_tf.methods.image_encoder import load_network

    x = rng.standard_normal((9, 7)).astype(np.float32)
    for normalized in (False, True):
        method = METHODS["greedyhash"](6, dropout=0.0, feature_layer=0, normalize_outputs=normalized)
        method.prepare(np.zeros((9, 4), np.float32))
        network = build_network(method, None, 7)
        w = {v.path: v.numpy() for v in network.trainable_variables}
        assert w["classes/kernel"].shape == (6, 4) and "classes/bias" not in w
        assert np.abs(w["classes/kernel"]).max() <= 1 / np.sqrt(6)
        outputs = network(x)
        signs = np.where(outputs["logits"].numpy() >= 0, 1.0, -1.0)
        np.testing.assert_allclose(outputs["classes"], signs @ w["classes/kernel"], rtol=1e-5, atol=1e-6)
        upstream = rng.standard_normal((9, 4)).astype(np.float32)
        with tf.GradientTape() as tape:
            score = tf.reduce_sum(upstream * network(x)["classes"])
        by_output = upstream @ w["classes/kernel"].T
        scale = 1 / np.sqrt(1 + 1e-3) if normalized else 1.0  # of the statistics at first: mean 0, variance 1
        found = tape.gradient(score, [v for v in network.trainable_variables if v.path == "hash/kernel"])[0]
        np.testing.assert_allclose(found, scale * x.T @ by_output, rtol=1e-4, atol=1e-5)
    network.save(tmp_path / "network.keras")
    np.testing.assert_array_equal(load_network(tmp_path / "network.keras")(x)["classes"], network(x)["classes"])


def test_orthohash_normalises_over_the_batch(tf, rng):
    """No bias, then mean 0 and variance 1 of every bit while training, a scale and a shift that are learnt."""
    from dseh_tf.methods.deep.recipe import build_network

    network = build_network(METHODS["orthohash"](6, dropout=0.0, feature_layer=0), None, 7)
    x = rng.standard_normal((30, 7)).astype(np.float32)
    w = {v.path: v for v in network.trainable_variables}
    assert set(w) == {"hash/kernel", "hash_norm/gamma", "hash_norm/beta"}
    w["hash_norm/gamma"].assign(np.arange(1, 7))
    w["hash_norm/beta"].assign(np.arange(6))
    u = x.astype(float) @ w["hash/kernel"].numpy().astype(float)
    expected = (u - u.mean(0)) / np.sqrt(u.var(0) + 1e-5) * np.arange(1, 7) + np.arange(6)
    np.testing.assert_allclose(network(x, training=True)["logits"], expected, rtol=1e-3, atol=1e-3)


def test_centres_are_a_function_of_the_seed(tf):
    from dseh_tf.methods.deep.centres import class_centres

    labels = np.zeros((3, 5), np.float32)
    for name, kind in (("csq", "hadamard_or_search"), ("dpn", "dpn"), ("orthohash", "random")):
        found = []
        for seed in (0, 0, 1):
            method = METHODS[name](9, seed=seed)
            method.prepare(labels)
            np.testing.assert_array_equal(method.centres, class_centres(5, 9, seed, kind))
            found.append((*method.centres.ravel(), *method.ties))
        assert found[0] == found[1] != found[2]


def test_more_classes_than_codes(tf):
    from dseh_tf.devices.runtime import Runtime

    with pytest.raises(InputError, match="bits: found 1, expected at least 2 for 4 classes"):
        METHODS["csq"](1, batch=32).fit(small_dataset(), Runtime(progress=False))


def test_images_through_the_compact_trunk(tf):
    """From pixels, batch normalisation and mirroring included, the same on two replicas."""
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import Trunk

    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=64)
    images = np.clip(rng.integers(0, 256, (3, 16, 16, 3))[labels] + rng.normal(0, 20, (64, 16, 16, 3)), 0, 255)
    dataset = RetrievalDataset.from_arrays((images.astype(np.uint8), labels), (images[:8].astype(np.uint8), labels[:8]))
    method = METHODS["hashnet"](8, trunk=Trunk("compact", 16), epochs=10)
    one, two = (
        method.fit(dataset, Runtime(strategy=strategy, progress=False)).traces["hashnet/0/total"]
        for strategy in (tf.distribute.get_strategy(), make_strategy("mirrored", 2))
    )
    assert len(one) == 20
    np.testing.assert_allclose(two, one, rtol=1e-4)


@pytest.mark.slow
def test_a_network_from_scratch_leaves_the_constant_code(tf, digits_dir):
    """multi_digits: the loss of pairs falls from the first epochs on.

    The first outputs of `compact` hardly differ from row to row. Normalised to a variance of 1 they would be noise, whose
    loss is twice as high and stays there: so the normalisation must leave small outputs small.
    """
    from dseh_tf.data import catalog
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import Trunk

    dataset = catalog.load("multi_digits", catalog.DataOptions(data_dir=digits_dir))
    method = METHODS["dpsh"](32, trunk=Trunk("compact", 32), epochs=4)
    total = method.fit(dataset, Runtime(progress=False)).traces["dpsh/0/total"]
    assert total[:31].mean() < 0.9  # noise has 1.4
    assert total[-31:].mean() < 0.96 * total[:31].mean()


def test_watched_rows_take_one_percent_of_the_training():
    """A forward pass takes less than half of a step, so the checked rows may be 2 % of the rows of all epochs."""
    from dseh_tf.methods.deep.recipe import watched_epochs, watched_rows

    assert watched_epochs(60) == (6, 12, 24, 42) and watched_epochs(1) == () and watched_epochs(4) == (1, 2, 3)
    for rows, epochs, batch in ((2000, 60, 256), (10_000, 150, 256), (96, 10, 256), (500, 60, 64), (300, 1, 256)):
        times = len(watched_epochs(epochs))
        sample = watched_rows(rows, epochs, times, batch)
        padded = -(-len(sample) // batch) * batch
        assert times * padded <= 0.02 * rows * epochs and len(sample) <= 512
        assert len(set(sample.tolist())) == len(sample) and (sample < rows).all()
    assert len(watched_rows(2000, 60, 4, 256)) == 512 and len(watched_rows(96, 10, 4, 256)) == 0


def test_looking_at_codes_changes_no_step(monkeypatch):
    """The same steps to the same codes."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.deep import recipe as deep

    looked = []
    watched_rows = deep.watched_rows
    monkeypatch.setattr(deep, "watched_rows", lambda *sizes: looked.append(watched_rows(*sizes)) or looked[-1])
    monkeypatch.setattr(deep, "_WATCHED_COST", 1.0)
    watched = fit("dpsh", Runtime(progress=False, encode_batch=16))
    monkeypatch.setattr(deep, "_WATCHED_COST", 0.0)
    unwatched = fit("dpsh", Runtime(progress=False, encode_batch=16))
    assert [len(rows) for rows in looked] == [96, 0]
    for name, values in unwatched.traces.items():
        np.testing.assert_array_equal(watched.traces[name], values)
    assert watched.health["train"] == unwatched.health["train"]
    assert watched.health["train"].rows == 96


def test_a_collapse_is_said_while_it_trains(tf, monkeypatch, caplog):
    """Every output is pushed to +1: one code for all rows."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.deep import recipe as deep
    from dseh_tf.training import health_watch

    class Constant(METHODS["dpsh"]):
        def loss(self, outputs, batch, bank):
            return {"total": tf.reduce_mean(tf.square(outputs["logits"] - 5.0))}

    monkeypatch.setattr(deep, "_WATCHED_COST", 1.0)
    monkeypatch.setattr(health_watch, "_FIRST_STEPS", 3)
    method = Constant(8, seed=3, **{**small_settings("dpsh"), "learning_rate": 0.05})
    fitted = method.fit(small_dataset(), Runtime(progress=False, encode_batch=16))
    lines = [r.getMessage() for r in caplog.records if "collapsed" in r.getMessage()]
    assert len(lines) == 1 and "1 distinct code for" in lines[0] and "try a smaller learning_rate" in lines[0]
    assert int(lines[0].split("epoch ")[1].split(")")[0]) in (2, 4, 7)
    assert fitted.health["train"].constant_bits == 8
