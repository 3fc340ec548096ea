"""DJSRH: its loss against a float64 derivation, its settings, no labels in training, replicas, and saved encoders."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.errors import InputError
from tests.losses.test_affinity import naive_affinity, naive_error
from tests.methods.cross_modal.small import SMALL, small_data

pytestmark = pytest.mark.usefixtures("tf")

# zs-zhong/DJSRH:README.md, its rows: beta, eta, mu, lambda, alpha on NUS-WIDE.
ROWS = {
    "image_affinity": (1.0, 0.0, 1.0, 0.0, "sqrt"),
    "text_affinity": (0.0, 0.0, 1.0, 0.0, "sqrt"),
    "mixed_affinity": (0.6, 0.0, 1.0, 0.0, "sqrt"),
    "second_order": (0.6, 0.4, 1.0, 0.0, "sqrt"),
    "scaled": (0.6, 0.4, 1.5, 0.0, "sqrt"),
    "full": (0.6, 0.4, 1.5, 0.1, "sqrt"),
    "fixed_alpha": (0.6, 0.4, 1.5, 0.1, "fixed"),
}


def djsrh(bits: int = 8, **settings):
    from dseh_tf.methods import METHODS

    return METHODS["djsrh"](bits, 3, **{**SMALL, **settings})


def fit(data, strategy=None, **settings):
    from dseh_tf.devices.runtime import Runtime

    more = {} if strategy is None else {"strategy": strategy}
    return djsrh(**settings).fit(data, Runtime(progress=False, **more))


@pytest.fixture(scope="module")
def data() -> RetrievalDataset:
    return small_data()


@pytest.fixture(scope="module")
def fitted(data):
    return fit(data)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_ablation_is_a_setting(name):
    from dseh_tf.encoding.trunk import Trunk
    from dseh_tf.methods import METHODS

    method = METHODS["djsrh"](16, ablation=name, trunk=Trunk("cnn_f", 224, True))
    s = method.settings
    assert (s.beta, s.eta, s.mu, s.lambda_image, s.alpha) == ROWS[name] and s.lambda_text == s.lambda_image
    assert (s.batch, s.optimizer, s.momentum, s.weight_decay) == (32, "sgd", 0.9, 5e-4)
    given = METHODS["djsrh"](16, ablation=name, mu=1.2, lambda_text=0.7)
    assert (given.settings.mu, given.settings.lambda_text) == (1.2, 0.7)
    assert given.resolved.origin["mu"] == "given"


def test_published_rows():
    from dseh_tf.encoding.trunk import Trunk
    from dseh_tf.methods import METHODS

    def values(row):
        s = METHODS["djsrh"](16, preset_dataset=row, trunk=Trunk("cnn_f", 224, True)).settings
        return s.beta, s.lambda_image, s.lambda_text, s.epochs, s.learning_rate, s.text_learning_rate

    assert values("wikipedia") == (0.3, 0.3, 0.3, 200, 0.01, 0.01)
    assert values("mirflickr25k") == (0.9, 0.1, 0.1, 80, 0.001, 0.01)
    assert values("nus_wide") == (0.6, 0.1, 0.1, 80, 0.001, 0.01)


@pytest.mark.parametrize("name", ROWS)
def test_the_loss_of_a_batch(data, name):
    """The phase's loss in its sixth epoch, against naive loops on the same outputs."""
    import tensorflow as tf

    from dseh_tf.data.texts import padded

    recipe = djsrh(ablation=name, weight_decay=0.01, centre_features=False).recipe(data)
    (phase,) = recipe.stages()
    rows = np.arange(5, 21)
    columns, values = padded(data.train.texts[rows])
    batch = {
        "columns": tf.constant(columns), "values": tf.constant(values), "step": tf.constant(5 * phase.epoch_steps + 1, tf.int64),
        "affinity": tf.constant(data.train.features[rows]),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, 16, 8)).astype(np.float32)
    terms = phase.loss({"image": tf.constant(image), "text": tf.constant(text)}, batch)
    s = recipe.settings
    affinity = naive_affinity(
        data.train.features[rows].astype(float), data.train.texts.toarray()[rows].astype(float), s.beta, s.eta, s.mu
    )
    alpha = np.sqrt(6.0) if s.alpha == "sqrt" else 1.0
    image, text = np.tanh(alpha * image.astype(float)), np.tanh(alpha * text.astype(float))
    decay = 0.005 * sum(float((v.numpy().astype(float) ** 2).sum()) for g in recipe.groups for v in g.variables)
    parts = naive_error(image, image, affinity), naive_error(image, text, affinity), naive_error(text, text, affinity)
    np.testing.assert_allclose([float(terms[n]) for n in ("image_image", "image_text", "text_text")], parts, rtol=1e-5)
    total = s.lambda_image * parts[0] + parts[1] + s.lambda_text * parts[2] + decay
    assert float(terms["total"]) == pytest.approx(total, rel=1e-5)


def test_no_label_is_used_in_training(data, fitted):
    """With all labels 0 the codes are the same."""

    def bare(split: Split) -> Split:
        return replace(split, labels=np.zeros_like(split.labels))

    without = data.replace(train=bare(data.train), query=bare(data.query), database=bare(data.database))
    again = fit(without)
    for modality in ("image", "text"):
        codes = fitted.encode(data.database, modality)
        assert codes.dtype == np.int8 and codes.shape == (len(data.database), 8) and len(np.unique(codes, axis=0)) > 4
        np.testing.assert_array_equal(again.encode(data.database, modality), codes)


def test_both_affinities_are_learnt(data):
    """On clusters with noisy words: text searches images well above a random order, and so back."""
    from dseh_tf.retrieval import evaluate

    trained = fit(data, epochs=60)
    codes = {(p, m): trained.encode(getattr(data, p), m) for p in ("query", "database") for m in ("image", "text")}
    labels = data.query.labels, data.database.labels
    for asking, searched in (("image", "text"), ("text", "image")):
        report = evaluate(codes["query", asking], codes["database", searched], *labels)
        assert report.map > report.base_rate + 0.3
    trace = trained.traces["djsrh/0/total"]
    assert trace[-20:].mean() < 0.7 * trace[:5].mean()


def test_modalities(data, fitted):
    np.testing.assert_array_equal(
        fitted.encode(data.query.texts, "text"), fitted.encode(data.query.texts.toarray(), "text")
    )
    np.testing.assert_array_equal(fitted.encode(data.query.features), fitted.encode(data.query, "image"))
    assert set(fitted.health) == {"train", "train_text"}
    for call, message in (
        (lambda: fitted.encode(data.query, "sound"), "modality: found 'sound', expected image or text"),
        (lambda: fitted.encode(data.query.texts.toarray()[:, :5], "text"), "texts: found 5 columns, expected 14"),
        (lambda: fitted.encode(replace(data.query, texts=None), "text"), "texts: found none"),
        (lambda: fitted.texts.encode_words(["word1 nothing"]), "text: found the word 'nothing'"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_data_without_texts_is_refused(data):
    parts = {part: replace(getattr(data, part), texts=None) for part in ("train", "query", "database")}
    with pytest.raises(InputError, match="texts: found none in arrays, but djsrh learns from images and texts"):
        fit(data.replace(**parts, vocabulary=()))
    empty = {part: np.zeros(getattr(data, part).texts.shape) for part in ("train", "query", "database")}
    with pytest.raises(InputError, match="train texts: found no word in 96 rows"):
        fit(data.with_texts(empty))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 1.5}, "beta: found 1.5, expected a weight of at most 1"),
        ({"mu": 0.0}, "mu: found 0.0"),
        ({"ablation": "x"}, "ablation: found 'x', expected one of image_affinity"),
        ({"batch": 1}, "batch: found 1, expected at least 2"),
        ({"alpha": "x"}, "alpha: found 'x', expected one of sqrt, fixed"),
        ({"preset_dataset": "ms_coco"}, "preset_dataset: found"),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(InputError, match=message):
        djsrh(**given)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_are_the_same_run(data, replicas):
    from dseh_tf.devices.replicas import make_strategy

    one = fit(data, optimizer="sgd", learning_rate=0.05, text_learning_rate=0.05)
    several = fit(
        data, make_strategy("mirrored", replicas), optimizer="sgd", learning_rate=0.05, text_learning_rate=0.05
    )
    for name, trace in one.traces.items():
        np.testing.assert_allclose(several.traces[name], trace, atol=1e-4, err_msg=name)


def test_images_are_mirrored_with_their_affinity():
    """Above a trunk that is trained, the affinity of a mirrored image is that of its mirrored features."""
    from dseh_tf.encoding.trunk import Trunk
    from dseh_tf.methods.cross_modal.djsrh import affinity_features
    from dseh_tf.methods.image_encoder import training_inputs

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 16, 16, 3), np.uint8)
    data = RetrievalDataset.from_arrays((pixels, np.arange(12) % 3), (pixels[:2], np.arange(2)))
    from dseh_tf.devices.runtime import Runtime

    method = djsrh(trunk=Trunk("compact", 16))
    found = affinity_features(training_inputs(data.train, method.trunk), method, Runtime(progress=False))
    turned = data.replace(train=data.train.take(np.arange(12)))
    inputs = training_inputs(turned.train, method.trunk)
    again = affinity_features(replace(inputs, plain=inputs.plain[:, :, ::-1]), method, Runtime(progress=False))
    assert found.plain.shape == found.flipped.shape == (12, 128) and found.mirrors
    assert np.abs(found.plain - found.flipped).max() > 1e-3
    differences = again.plain - found.flipped  # apart from the mean, which is that of the plain rows
    np.testing.assert_allclose(differences, np.broadcast_to(differences[0], differences.shape), atol=1e-5)
    assert abs(found.plain.mean(axis=0)).max() < 1e-5


def test_settings_are_told_apart_by_trunk():
    from dseh_tf.methods import METHODS

    method = METHODS["djsrh"](16)
    features, compact = method.resolve(features=True), method.resolve()
    assert features.settings.feature_layer and not compact.settings.feature_layer
    assert features.origin["optimizer"] == "trunk: features" and asdict(features.settings)["beta"] == 0.6


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data, fitted, tmp_path, monkeypatch):
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training.checkpoints import CheckpointStore

    saved, save = [], CheckpointStore.save

    def stop_after_two(self, *arguments):
        save(self, *arguments)
        saved.append(arguments[0])
        if len(saved) == 2:
            raise KeyboardInterrupt

    runtime = Runtime(progress=False, checkpoints=tmp_path / "checkpoints", checkpoint_steps=4)
    monkeypatch.setattr(CheckpointStore, "save", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        djsrh().fit(data, runtime)
    monkeypatch.setattr(CheckpointStore, "save", save)
    again = djsrh().fit(data, runtime)
    for modality in ("image", "text"):
        np.testing.assert_array_equal(again.encode(data.database, modality), fitted.encode(data.database, modality))
    for name, trace in fitted.traces.items():
        np.testing.assert_array_equal(again.traces[name], trace)


def test_a_run_has_both_encoders(data, fitted, tmp_path):
    """What `save` writes is loaded as a run, and from the folder that `RunEncoder.save` makes of it."""
    import json

    from dseh_tf import load_run

    (tmp_path / "run").mkdir()
    fitted.save(tmp_path / "run" / fitted.encoder_file)
    trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
    config = {"method": "djsrh", "bits": 8, "seed": 3, "trunk": trunk}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    words = np.zeros((2, 14), np.float32)
    words[0, [0, 3]] = words[1, 8] = 1
    run = load_run(tmp_path / "run")
    run.save(tmp_path / "moved")
    for found in (run, load_run(tmp_path / "moved")):
        np.testing.assert_array_equal(found.encode(data.database.features), fitted.encode(data.database))
        np.testing.assert_array_equal(found.encode_texts(data.database.texts), fitted.encode(data.database, "text"))
        np.testing.assert_array_equal(found.encode_texts(["word3 word0", "word8"]), fitted.encode(words, "text"))
    (tmp_path / "run" / "txtnet.keras").unlink()
    with pytest.raises(InputError, match="text: found a run of djsrh, expected one of a cross-modal method"):
        load_run(tmp_path / "run").encode_texts(["word0"])
    (tmp_path / "moved" / "vocabulary.txt").write_text("word0\n")
    with pytest.raises(InputError, match=r"vocabulary\.txt: vocabulary: found 1 words, expected 14"):
        load_run(tmp_path / "moved")
