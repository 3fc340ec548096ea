"""SSAH: its presets, schedule and banks, learning in both directions and on pixels."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.errors import InputError
from tests.methods.cross_modal.small import small_data

pytestmark = pytest.mark.usefixtures("tf")

SMALL = {
    "batch": 16, "rounds": 2, "label_passes": 4, "passes": 4, "text_passes": 4, "label_stages": 2, "stages": 2,
    "label_hidden": 32, "text_hidden": 32, "feature_dim": 16, "feature_layer": 0, "dropout": 0.0, "discriminator_widths": (8, 4),
    "label_learning_rate": 1e-2, "learning_rate": 1e-2, "text_learning_rate": 1e-2,
}  # fmt: skip
DIRECTIONS = (("image", "text"), ("text", "image"))


def ssah(preset: str = "paper", **settings):
    from dseh_tf.methods import METHODS

    return METHODS["ssah"](8, 3, preset=preset, **{**SMALL, **settings})


def fit(data, preset: str = "paper", strategy=None, **settings):
    from dseh_tf.devices.runtime import Runtime

    more = {} if strategy is None else {"strategy": strategy}
    return ssah(preset, **settings).fit(data, Runtime(progress=False, **more))


def gains(fitted, data) -> list[float]:
    """MAP over that of a random order, in both directions."""
    from dseh_tf.retrieval import evaluate

    codes = {(p, m): fitted.encode(getattr(data, p), m) for p in ("query", "database") for m in ("image", "text")}
    reports = [
        evaluate(codes["query", asking], codes["database", searched], data.query.labels, data.database.labels)
        for asking, searched in DIRECTIONS
    ]
    return [report.map - report.base_rate for report in reports]


@pytest.fixture(scope="module")
def data() -> RetrievalDataset:
    return small_data()


@pytest.fixture(scope="module")
def fitted(data):
    return fit(data)


def test_the_presets_differ_in_named_settings():
    from dseh_tf.encoding.trunk import Trunk
    from dseh_tf.methods import METHODS

    trunk = Trunk("cnn_f", 224, True)
    release, paper = (asdict(METHODS["ssah"](16, preset=name, trunk=trunk).settings) for name in ("release", "paper"))
    assert {name: (release[name], paper[name]) for name in release if release[name] != paper[name]} == {
        "pair_loss": ("squared", "likelihood"),
        "similarity": (0.999, 1.0),
        "adversary_weight": (0.0, 1.0),
        "discriminator_widths": ((512, 256), (4096, 4096)),
    }
    assert METHODS["ssah"](16).preset == "paper" == METHODS["ssah"](16).config()["preset"]
    given = METHODS["ssah"](16, preset="release", trunk=trunk, adversary_weight=0.5)
    assert given.settings.adversary_weight == 0.5 and given.settings.pair_loss == "squared"


def test_published_rates_and_passes(data):
    """lelan-li/SSAH: 15, 7 and 5 passes, and a rate that falls by 10^.5 from stage to stage and from round to round."""
    from dseh_tf.encoding.trunk import Trunk
    from dseh_tf.methods import METHODS

    published = METHODS["ssah"](16, trunk=Trunk("cnn_f", 224, True)).settings
    names = [name for name in asdict(published) if name.endswith(("passes", "stages", "rate"))]
    method = ssah(label_hidden=8, text_hidden=8, **{name: getattr(published, name) for name in names})
    phases = [stage for stage in method.recipe(data).stages() if hasattr(stage, "learning_rate")]
    assert [phase.key for phase in phases[3:5]] == ["texts/0", "labels/1"]
    rates = {phase.key: [phase.learning_rate(epoch) for epoch in range(phase.epochs)] for phase in phases}
    exponents = {
        "labels": (2.0, (10, 5)), "discriminators": (3.0, (1, 1)), "images": (4.5, (15, 7, 5)), "texts": (3.5, (15, 7, 5)),
    }  # fmt: skip
    for round_ in (0, 1):
        for name, (first, passes) in exponents.items():
            expected = [10 ** -(first + (round_ + stage) / 2) for stage, n in enumerate(passes) for _ in range(n)]
            np.testing.assert_allclose(rates[f"{name}/{round_}"], expected)


def test_the_release_has_no_discriminators(data):
    recipe = ssah("release").recipe(data)
    assert not recipe.networks.discriminators
    assert [stage.key for stage in recipe.stages()] == [
        "banks/0", "labels/0", "images/0", "texts/0", "labels/1", "images/1", "texts/1",
    ]  # fmt: skip


@pytest.mark.parametrize("preset", ["release", "paper"])
def test_both_directions_are_learnt(data, preset):
    trained = fit(data, preset, label_passes=20, passes=20, text_passes=20)
    assert min(gains(trained, data)) > 0.4
    assert set(trained.health) == {"labnet", "train", "train_text"}


def test_pixels(tf):
    """Images of three colours, whose words name the colour, above a trunk that is trained."""
    from dseh_tf.encoding.trunk import Trunk

    rng = np.random.default_rng(0)

    def rows(count: int):
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 90, (count, 16, 16, 3), np.uint8)
        pixels[np.arange(count), :, :, labels] += 150
        texts = np.eye(3)[labels].repeat(2, axis=1) * (rng.random((count, 6)) < 0.8)
        return (pixels, labels), texts

    (train, train_texts), (query, query_texts) = rows(96), rows(24)
    data = RetrievalDataset.from_arrays(train, query, texts={"train": train_texts, "query": query_texts})
    passes = {"label_passes": 12, "passes": 12, "text_passes": 12}
    trained = fit(data, trunk=Trunk("compact", 16), rounds=1, learning_rate=3e-3, **passes)
    assert min(gains(trained, data)) > 0.3


def test_the_adversary_reaches_the_networks(data):
    """A discriminator's gradient reaches the features of images and texts, and their training changes no discriminator."""
    import tensorflow as tf

    recipe = ssah().recipe(data)
    phases = {stage.name: stage for stage in recipe.stages()}
    batch = {name: tf.gather(array, range(16)) for name, array in recipe.networks._arrays.items()}
    batch |= {"rows": tf.range(16)}
    for name, kind in (("images", "image"), ("texts", "text")):
        network, discriminator = getattr(recipe.networks, name), recipe.networks.discriminators[kind]
        with tf.GradientTape() as tape:
            adversary = phases[name].loss(phases[name].forward(batch), batch)["adversary"]
        layer = network.get_layer(f"{kind}_feature")
        assert np.abs(tape.gradient(adversary, layer.kernel)).max() > 0
        trained = {id(variable) for group in phases[name].groups for variable in group.variables}
        assert trained == {id(variable) for variable in network.trainable_variables}
        assert not trained & {id(variable) for variable in discriminator.trainable_variables}


def test_discriminators_tell_features_apart(data):
    """With features that do not change any more, their loss falls well below that of a guess, log 2."""
    trained = fit(data, rounds=1, discriminator_passes=60, discriminator_stages=1, discriminator_learning_rate=1e-2)
    trace = trained.traces["discriminators/0/total"]
    assert trace[0] == pytest.approx(np.log(2), abs=0.01) and trace[-6:].mean() < 0.4


def test_banks_and_the_shared_optimizer(data):
    """The banks' rows are what the label network had for them last; one optimizer counts the steps of all networks."""
    from dseh_tf.devices.runtime import Runtime

    recipe = ssah(rounds=1, label_learning_rate=1e-9).recipe(data, Runtime(progress=False))
    groups = recipe.networks.groups
    assert groups["labels"][0].optimizer is groups["images"][0].optimizer is groups["texts"][0].optimizer
    assert groups["discriminators"][0].optimizer is not groups["labels"][0].optimizer
    recipe.trainer.run(recipe)
    steps = [stage.steps for stage in recipe.stages() if hasattr(stage, "steps") and stage.name != "discriminators"]
    assert int(groups["labels"][0].optimizer.iterations) == sum(steps)
    features, codes = (variable.numpy() for variable in recipe.memory.checkpointed().values())
    outputs = recipe.networks.labels(data.train.labels.astype(np.float32))
    written = (features >= 0).all(axis=1)  # features are; rows of the normal banks are not
    assert written.mean() > 0.9
    np.testing.assert_allclose(features[written], outputs["feature"].numpy()[written], atol=1e-4)
    np.testing.assert_allclose(codes[written], np.tanh(outputs["logits"].numpy())[written], atol=1e-4)


def test_the_release_on_two_replicas_is_the_same_run(data):
    """Its pair loss reads each replica's part of the banks. The battery has `paper`."""
    from dseh_tf.devices.replicas import make_strategy

    chosen = {"preset": "release", "rounds": 1, "label_passes": 2, "passes": 2, "text_passes": 2}
    one, several = fit(data, **chosen), fit(data, strategy=make_strategy("mirrored", 2), **chosen)
    assert set(one.traces) == set(several.traces)
    for name, trace in one.traces.items():
        np.testing.assert_allclose(several.traces[name], trace, rtol=1e-4, err_msg=name)


def test_saved_encoders(data, fitted, tmp_path):
    from dseh_tf.encoding.network import load_network
    from dseh_tf.encoding.text import load_text_encoder

    fitted.save(tmp_path / fitted.encoder_file)
    texts = load_text_encoder(tmp_path)
    np.testing.assert_array_equal(texts.encode(data.query), fitted.encode(data.query, "text"))
    images = load_network(tmp_path / fitted.encoder_file)(data.query.features)["logits"].numpy()
    np.testing.assert_array_equal(np.where(images >= 0, 1, -1), fitted.encode(data.query))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pair_loss": "x"}, "pair_loss: found 'x', expected one of squared, likelihood"),
        ({"rounds": 0}, "rounds: found 0, expected at least 1"),
        ({"text_windows": (5, 0)}, r"text_windows: found \(5, 0\), expected at least 1"),
        ({"text_learning_rate": 0.0}, "text_learning_rate: found 0.0, expected a positive number"),
        ({"preset": "modern"}, "preset: found 'modern', expected one of release, paper"),
        ({"batch": 200}, "batch: found 200, expected at most the 96 training rows"),
    ],
)
def test_bad_settings(data, given, message):
    with pytest.raises(InputError, match=message):
        list(ssah(**{"preset": "paper", **given}).recipe(data).stages())


def test_data_without_texts_or_similarity_is_refused(data):
    parts = {part: replace(getattr(data, part), texts=None) for part in ("train", "query", "database")}
    with pytest.raises(InputError, match="texts: found none in arrays, but ssah learns from images and texts"):
        fit(data.replace(**parts, vocabulary=()))
    alike = replace(data.train, labels=np.ones_like(data.train.labels))
    with pytest.raises(InputError, match="train labels: found a common label in every two"):
        fit(data.replace(train=alike))
