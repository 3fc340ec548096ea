"""DSEH with the preset `modern`: where it is the default, what both networks are taught, and runs in several sessions."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.errors import InputError
from dseh_tf.methods.dseh import presets
from tests.losses.naive import log_one_plus_exp
from tests.methods.steps import terms_of

pytestmark = pytest.mark.usefixtures("tf")

BITS, CLASSES, BATCH = 8, 5, 16
SMALL = {"labnet_batch": BATCH, "imgnet_batch": BATCH, "labnet_width": 16, "feature_dim": 12, "feature_layer": 16}
# Adam makes a whole step of a gradient of nearly nothing, by its sign, which float32 decides: at 1e-3 a network from scratch
# carries that on to the loss of another number of replicas.
TWO_ROUNDS = {"labnet_epochs": (4, 4), "imgnet_epochs": (4, 4), "imgnet_learning_rate": 3e-4}


def features_and_labels(seed: int = 0, rows: int = 96, twins: bool = True) -> RetrievalDataset:
    """Features around class centres, one to three labels a row; the database is the training set."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((CLASSES, 10))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random((count, CLASSES)) < 0.2).astype(np.uint8)
        labels[np.arange(count), rng.integers(CLASSES, size=count)] = 1
        return (labels @ centres + 0.5 * rng.standard_normal((count, 10))).astype(np.float32), labels

    dataset = RetrievalDataset.from_arrays(draw(rows), draw(20))
    if not twins:
        return dataset
    train = dataset.train.with_features(dataset.train.features, dataset.train.features + np.float32(0.1))
    return dataset.replace(train=train, database=train)


def pictures() -> RetrievalDataset:
    """Small pictures, each the mean of its labels' patterns."""
    rng = np.random.default_rng(1)
    labels = np.zeros((96, CLASSES), np.uint8)
    for _ in range(2):
        labels[np.arange(96), rng.integers(CLASSES, size=96)] = 1
    patterns = rng.integers(0, 256, (CLASSES, 16 * 16 * 3))
    images = (labels @ patterns / labels.sum(1, keepdims=True)).reshape(-1, 16, 16, 3) + rng.normal(
        0, 20, (96, 16, 16, 3)
    )
    images = np.clip(images, 0, 255).astype(np.uint8)
    return RetrievalDataset.from_arrays((images, labels), (images[:20], labels[:20]), (images, labels))


def small_trunk():
    from dseh_tf.methods.image_encoder import Trunk

    return Trunk("compact", 16)


@pytest.fixture
def made():
    """made(dataset, **settings): DSEH of the default preset before its first step."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH

    def make(dataset: RetrievalDataset, **options):
        method = DSEH(BITS, seed=3, trunk=small_trunk(), **{**SMALL, **TWO_ROUNDS, **options})
        return method.recipe(dataset, Runtime(progress=False))

    return make


@pytest.fixture
def solutions(monkeypatch) -> list[dict]:
    """Every call of the solver while a test runs: its arguments by name, and the codes it gave."""
    from dseh_tf.methods.dseh import dseh

    solve, calls = dseh.solve_label_codes, []

    def record(rows, bits, targets, embedded, **others):
        codes = solve(rows, bits, targets, embedded, **others)
        calls.append({"embedded": embedded, "codes": codes})
        return codes

    monkeypatch.setattr(dseh, "solve_label_codes", record)
    return calls


# Which preset


def for_trunk(settings, trunk):
    return replace(settings, **presets.trunk_changes(settings, trunk))


@pytest.mark.parametrize("kind", ["compact", "features", "cnn_f", "finetuned"])
def test_it_is_the_preset_of_data_without_published_settings(kind):
    from dseh_tf.methods import METHODS
    from dseh_tf.methods.image_encoder import Trunk

    trunk = {
        "compact": Trunk(), "features": Trunk("x.keras"), "cnn_f": Trunk("cnn_f", train=True),
        "finetuned": Trunk("y.keras", train=True),
    }[kind]  # fmt: skip
    assert trunk.kind == kind
    found = METHODS["dseh"](32, trunk=trunk)
    named = METHODS["dseh"](32, trunk=trunk, preset="modern")
    assert (found.preset, found.preset_dataset) == (named.preset, named.preset_dataset) == ("modern", "nus_wide")
    assert found.settings == named.settings == for_trunk(presets.MODERN["nus_wide"], kind)
    assert found.settings.label_codes == "solved" and found.settings.imgnet_feature_weight == 0
    assert found.settings.rounds == (1 if kind == "features" else 2)
    for row in presets.ROWS:
        published = METHODS["dseh"](32, trunk=trunk, preset_dataset=row)
        assert (published.preset, published.preset_dataset) == ("release", row)
        assert published.settings == for_trunk(presets.RELEASE[row], kind)
        there = METHODS["dseh"](32, trunk=trunk, preset="modern", preset_dataset=row)
        assert (there.preset, there.settings) == ("modern", found.settings)


@pytest.mark.parametrize("name", ["dseh_s", "dseh_ss", "dseh_l", "dseh_a"])
def test_ablations_stay_with_the_release(name):
    from dseh_tf.methods import METHODS

    for row, expected in (
        (None, replace(presets.RELEASE["nus_wide"], **presets.OTHER_DATA)),
        ("ms_coco", presets.RELEASE["ms_coco"]),
    ):
        found = METHODS[name](32, preset_dataset=row)
        expected = for_trunk(expected, "compact")
        assert found.preset == "release" and found.settings == replace(expected, **found.changes(expected))
    assert METHODS[name](32, preset="paper").preset == "paper"


def test_the_sources_presets_solve_no_codes():
    for settings in (*presets.RELEASE.values(), *presets.PAPER.values()):
        for kind in ("compact", "features", "cnn_f", "finetuned"):
            found = for_trunk(settings, kind)
            assert (found.label_codes, found.labnet_target_weight, found.imgnet_schedule) == ("labnet", 0.0, "steps")
            assert found.rounds == 3
    assert set(presets.MODERN) == set(presets.ROWS)


# What is learnt


def test_first_round_on_features(made, solutions):
    """The codes are those that solve the problem with embeddings of the features; both networks' targets equal them."""
    from dseh_tf.methods.dseh.label_codes import CodeTargets, LabelEmbedding, solve_label_codes

    dataset = features_and_labels()
    wanted = CodeTargets(similarity=0.6, affinity=0.7, distance=0.25, class_balance=0.8)
    training = made(dataset, code_similarity=0.6, code_affinity=0.7, code_distance=0.25, code_class_balance=0.8)
    training.open_round(0)
    (call,) = solutions
    vectors = np.unique(dataset.train.labels, axis=0)
    embedded = LabelEmbedding(dataset.train.features, dataset.train.labels)(vectors)
    expected = solve_label_codes(training.distinct, BITS, wanted, embedded, None, 3)
    np.testing.assert_array_equal(call["codes"], expected)
    without = solve_label_codes(training.distinct, BITS, wanted, None, None, 3)
    assert not np.array_equal(expected, without)

    rows = np.arange(len(dataset.train))
    place = {tuple(vector): i for i, vector in enumerate(vectors.tolist())}
    taught = np.array([expected[place[tuple(labels)]] for labels in dataset.train.labels.tolist()])
    np.testing.assert_array_equal(training.targets.codes_of(rows.astype(np.int32)), taught)
    np.testing.assert_array_equal(training.reports.label_outputs().signs, expected)
    training.teach()
    np.testing.assert_array_equal(training.targets.codes_of(rows.astype(np.int32)), taught)


def test_without_features_label_vectors_are_near_by_their_common_labels(made, solutions):
    """Where images are trained on, or labels alone: cosines of label vectors. Either way codes are solved once."""
    dataset = pictures()
    labels = RetrievalDataset.from_arrays((None, dataset.train.labels), (None, dataset.query.labels))
    several = [made(dataset), made(labels, phases="labnet"), made(features_and_labels(), phases="labnet")]
    for training in several:
        training.open_round(0)
        training.open_round(1)
    assert len(solutions) == 3
    for training, call in zip(several, solutions, strict=True):
        vectors = training.distinct.vectors.tolist()
        for a, row in zip(vectors, call["embedded"] @ call["embedded"].T, strict=True):
            for b, cosine in zip(vectors, row, strict=True):
                common = sum(x * y for x, y in zip(a, b, strict=True))
                assert cosine == pytest.approx(common / math.sqrt(sum(a) * sum(b)), abs=1e-6)
        np.testing.assert_array_equal(training.targets.codes_array(), call["codes"])


def test_a_vector_without_labels_is_near_none(made, solutions):
    labels = np.array([[1, 0, 0]] * 3 + [[0, 1, 1]] * 3 + [[0, 0, 0]] * 2, np.uint8)
    training = made(RetrievalDataset.from_arrays((None, labels), (None, labels)), phases="labnet")
    training.open_round(0)
    assert not training.distinct.vectors[0].any() and not solutions[0]["embedded"][0].any()


def test_what_labnet_learns(tf, rng, made):
    """A squared error to the codes, J3 and J4, each a mean; none of the pairs' terms, and no banks."""
    dataset = features_and_labels()
    weights = {"labnet_target_weight": 0.7, "quantization_weight": 1.1, "label_weight": 1.7}
    training = made(dataset, labnet_weight_size=0.4, **weights)
    codes = np.where(rng.random((len(training.distinct.vectors), BITS)) < 0.5, -1, 1)
    training.targets.fill_codes(codes)
    rows = rng.permutation(96)[:BATCH].astype(np.int32)
    y = dataset.train.labels[rows].astype(np.float32)
    terms = terms_of(training.labnet_phase(0), {"labels": tf.constant(y), "rows": tf.constant(rows)})
    out = {name: value.numpy().astype(float) for name, value in training.labnet.network(y).items()}
    target = quantization = label = 0.0
    for b, row in enumerate(rows):
        for k in range(BITS):
            target += (out["code"][b, k] - codes[training.distinct.index[row], k]) ** 2 / (BATCH * BITS)
            quantization += abs(1 - abs(out["code"][b, k])) / (BATCH * BITS)
        for c in range(CLASSES):
            label += 0.5 * (out["label"][b, c] - y[b, c]) ** 2 / (BATCH * CLASSES)
    assert set(terms) == {"total", "target", "quantization", "label"}
    assert float(terms["target"]) == pytest.approx(target, rel=1e-5)
    assert float(terms["total"]) == pytest.approx(0.7 * target + 1.1 * quantization + 1.7 * label, rel=1e-5)
    assert not training.settings.reads_banks
    assert training.memory.features.shape == training.memory.codes.shape == (96, 0)


def test_what_imgnet_learns(tf, rng, made):
    """The codes' cross entropy, at the preset's temperature, with a gradient for every layer there is."""
    dataset = features_and_labels()
    training = made(dataset, dropout=0.0)
    codes = np.where(rng.random((len(training.distinct.vectors), BITS)) < 0.5, -1, 1)
    training.targets.fill_codes(codes)
    rows = rng.permutation(96)[:BATCH].astype(np.int32)
    x = dataset.train.features[rows]
    batch = {
        "inputs": tf.constant(x),
        "labels": tf.constant(dataset.train.labels[rows], tf.float32),
        "rows": tf.constant(rows),
    }
    variables = [v.value for v in training.imgnet.network.trainable_variables]
    with tf.GradientTape() as tape:
        terms = terms_of(training.imgnet_phase(0), batch)
    logits = training.imgnet.network(x)["logits"].numpy().astype(float)
    expected = 0.0
    for b, row in enumerate(rows):
        for k in range(BITS):
            z = training.settings.logit_scale * logits[b, k]
            wanted = 0.999 * (codes[training.distinct.index[row], k] + 1) / 2
            expected += (log_one_plus_exp(z) - wanted * z) / (BATCH * BITS)
    assert set(terms) == {"total", "code"}
    assert float(terms["code"]) == float(terms["total"]) == pytest.approx(expected, rel=1e-5)
    assert not math.isclose(expected, math.log(2), rel_tol=1e-3)
    assert [v.path.split("/")[0] for v in training.imgnet.network.trainable_variables] == ["adapt"] * 2 + ["hash"] * 2
    assert all(float(tf.norm(slope)) > 0 for slope in tape.gradient(terms["total"], variables))


def test_codes_of_label_vectors(made, rng):
    """Solved ones where a vector was trained on, LabNet's signs elsewhere; map_l and n_h count those."""
    from dseh_tf.retrieval import evaluate

    known = np.eye(CLASSES, dtype=np.uint8)[np.arange(40) % CLASSES]
    unseen = known | np.roll(known, 1, axis=1)
    x = rng.standard_normal((40, 10)).astype(np.float32)
    dataset = RetrievalDataset.from_arrays((x, known), (x, unseen), (np.vstack([x, x]), np.vstack([unseen, known])))
    training = made(dataset, labnet_weight_size=0.4)
    training.open_round(0)
    signs = {tuple(v): tuple(np.where(training.labnet.network(v[None].astype(np.float32))["code"].numpy()[0] >= 0, 1, -1))
             for v in np.vstack([known, unseen])}  # fmt: skip
    solved = dict(zip(map(tuple, training.distinct.vectors), map(tuple, training.targets.codes_array()), strict=True))
    mixed = np.vstack([unseen, known])
    expected = np.array([solved.get(tuple(v), signs[tuple(v)]) for v in mixed])
    found = training.reports._label_codes(mixed)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(expected, [signs[tuple(v)] for v in mixed])
    numbers = training.reports.label_numbers()
    assert numbers["distinct_label_codes"] == numbers["distinct_label_vectors"] == CLASSES
    rest = dataset.database.take(~dataset.database_is_train())
    rest = rest if len(rest) else dataset.database
    codes = [np.array([solved.get(tuple(v), signs[tuple(v)]) for v in labels]) for labels in (unseen, rest.labels)]
    assert numbers["map_labels"] == pytest.approx(evaluate(*codes, unseen, rest.labels).map, abs=1e-12)


def test_imgnets_rate_falls_along_a_cosine(made):
    """From the middle of the first epoch to that of the last, in each round anew; LabNet's by steps as ever."""
    training = made(features_and_labels(), imgnet_learning_rate=0.25, imgnet_epochs=(4, 10), labnet_learning_rate=0.5)
    for round_, epochs in ((0, 4), (1, 10)):
        phase = training.imgnet_phase(round_)
        rates = [phase.learning_rate(epoch) for epoch in range(epochs)]
        first = 0.25 * 10 ** (-0.5 * round_)
        for epoch, rate in enumerate(rates):
            # cos^2 of half the angle, which is another way to write half of one plus the cosine
            assert rate == pytest.approx(first * math.cos(math.pi * (2 * epoch + 1) / (4 * epochs)) ** 2, rel=1e-9)
        assert sum(rates) == pytest.approx(epochs * first / 2)
        assert 0.9 * first < rates[0] < first and 0 < rates[-1] < 0.05 * first
        assert rates == sorted(rates, reverse=True)
        assert [training.labnet_phase(round_).learning_rate(e) for e in (0, 9, 10)] == pytest.approx(
            [0.5 * 10 ** (-0.5 * (round_ + step)) for step in (0, 0, 1)]
        )


def test_few_rows_get_more_epochs(made):
    """A phase of ImgNet has at least so many steps where its epochs are not given; the rate falls over all of them."""
    dataset = features_and_labels()
    small = {"imgnet_batch": 16, "labnet_batch": 16, "labnet_width": 16, "feature_dim": 12, "feature_layer": 16}
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH

    def phase(**settings):
        method = DSEH(BITS, **{**small, **settings})
        return method.recipe(dataset, Runtime(progress=False)).imgnet_phase(0)

    epochs = DSEH(BITS).resolve(features=True).settings.imgnet_epochs[0]
    most = 6 * epochs  # 96 rows
    assert phase(imgnet_least_steps=0).epochs == phase(imgnet_least_steps=most).epochs == epochs
    longer = phase(imgnet_least_steps=most + 1, imgnet_learning_rate=0.5)
    assert longer.epochs == epochs + 1
    assert longer.learning_rate(epochs) == pytest.approx(0.5 * math.sin(math.pi / (4 * (epochs + 1))) ** 2)
    assert phase(imgnet_epochs=(3,)).epochs == 3
    assert phase(imgnet_epochs=(3,), imgnet_least_steps=25).epochs == 5
    assert phase(imgnet_epochs=(0,), imgnet_least_steps=25).epochs == 0


@pytest.mark.parametrize("preset", ["modern", "release"])
def test_rounds_are_those_of_the_epochs_given(preset):
    """The other network's epochs follow: cut, or the last number repeated; whatever number of rounds the data has."""
    from dseh_tf.methods.dseh.dseh import DSEH

    own = DSEH(BITS, preset=preset).resolve(features=True).settings
    for name, other in (("labnet_epochs", "imgnet_epochs"), ("imgnet_epochs", "labnet_epochs")):
        for given in ((3,), (3, 2, 1, 4)):
            found = DSEH(BITS, preset=preset, **{name: given}).resolve(features=True).settings
            assert getattr(found, name) == given and found.rounds == len(given)
            before = getattr(own, other)
            assert getattr(found, other) == tuple(before[min(i, len(before) - 1)] for i in range(len(given)))
    with pytest.raises(InputError, match="imgnet_epochs: found 1 rounds, expected 2 as labnet_epochs"):
        DSEH(BITS, preset=preset, labnet_epochs=(1, 1), imgnet_epochs=(1,))


# Settings that do not go together


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"label_codes": "labnet"}, r"labnet_target_weight: found 1\.0 with label_codes=labnet, expected solved"),
        (
            {"hash_input": "trunk", "labnet_target_weight": 0.0, "labnet_code_weight": 1.0},
            r"bank_reinit: found imgnet where ImgNet learns no semantic feature \(hash_input=trunk, imgnet_feature_weight=0\), "
            "expected keep or random",
        ),
        ({"label_codes": "other"}, "label_codes: found 'other', expected one of labnet, solved"),
        ({"imgnet_schedule": "linear"}, "imgnet_schedule: found 'linear', expected one of steps, cosine"),
        ({"hash_input": "fc8"}, "hash_input: found 'fc8', expected one of pre_activation, feature, trunk"),
        ({"code_distance": 1.0}, r"code_distance: found 1\.0, expected a fraction of at least 0 and below 1"),
        ({"code_affinity": -0.5}, r"code_affinity: found -0\.5, expected at least 0"),
        ({"labnet_epochs": ()}, "labnet_epochs: found 0 rounds, expected at least 1"),
        ({"imgnet_code_weight": 0.0}, "imgnet_feature_weight, imgnet_code_weight: found 0 for all of them"),
    ],
)
def test_settings_that_cannot_be(settings, line):
    from dseh_tf.methods import METHODS

    with pytest.raises(InputError, match=f"^{line}"):
        METHODS["dseh"](BITS, **settings)


@pytest.mark.parametrize(
    "settings",
    [{"bank_reinit": "keep"}, {"bank_reinit": "random"}, {"imgnet_feature_weight": 0.5}, {"hash_input": "feature"},
     {"pair_set": "batch"}, {"labnet_epochs": (2,), "imgnet_epochs": (2,)}],
)  # fmt: skip
def test_banks_that_imgnet_need_not_fill(settings):
    from dseh_tf.methods import METHODS

    METHODS["dseh"](BITS, **{"hash_input": "trunk", "labnet_code_weight": 1.0, **settings})


@pytest.mark.parametrize("labels", [np.ones((8, 1), np.uint8), np.eye(8, dtype=np.uint8)])
def test_labels_without_a_similarity_to_learn(made, labels):
    x = np.zeros((8, 4), np.float32)
    with pytest.raises(InputError, match=r"^train labels: found .* no similarity can be learned$"):
        made(RetrievalDataset.from_arrays((x, labels), (x, labels)))


# Whole runs


def fit(dataset: RetrievalDataset, runtime=None, **settings):
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    method = METHODS["dseh"](BITS, seed=3, trunk=small_trunk(), **{**SMALL, **TWO_ROUNDS, **settings})
    return method.fit(dataset, runtime or Runtime(progress=False))


@pytest.fixture(scope="module")
def whole():
    """One undisturbed run of two rounds on images; `tests/methods/test_battery.py` has features."""
    return fit(pictures())


def assert_same(found, expected, query) -> None:
    assert set(found.traces) == set(expected.traces)
    for term, values in expected.traces.items():
        np.testing.assert_array_equal(found.traces[term], values, err_msg=term)
    assert found.results == expected.results
    np.testing.assert_array_equal(found.outputs(query)["logits"], expected.outputs(query)["logits"])
    for name, array in expected.arrays["semantic_features"].items():
        np.testing.assert_array_equal(found.arrays["semantic_features"][name], array, err_msg=name)


def test_two_rounds(whole):
    phases = {f"{phase}/{round_}" for phase in ("labnet", "imgnet") for round_ in (0, 1)}
    assert {trace.rsplit("/", 1)[0] for trace in whole.traces} == phases
    assert all(len(values) == 24 and np.isfinite(values).all() for values in whole.traces.values())
    terms = {"total", "target", "quantization", "label", "code"}
    assert {trace.rsplit("/", 1)[1] for trace in whole.traces} == terms
    assert [report["round"] for report in whole.results["rounds"]] == [0, 1]
    for report in whole.results["rounds"]:  # similar label vectors may share a code
        assert report["distinct_label_codes"] > 0.8 * report["distinct_label_vectors"]
    codes = whole.encode(pictures().query)
    assert codes.dtype == np.int8 and codes.shape == (20, BITS) and set(np.unique(codes)) <= {-1, 1}


def test_defaults_of_a_user_learn():
    """Features, no settings at all but small widths and few epochs: images get the codes of their labels."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS
    from dseh_tf.retrieval import evaluate

    dataset = features_and_labels(rows=256, twins=False)
    small = {"feature_layer": 64, "labnet_width": 64, "feature_dim": 32, "labnet_batch": 32, "imgnet_batch": 32}
    method = METHODS["dseh"](16, imgnet_epochs=(10,), labnet_epochs=(2,), **small)
    fitted = method.fit(dataset, Runtime(progress=False))
    assert method.preset == "modern" and len(fitted.results["rounds"]) == 1
    labels = dataset.query.labels, dataset.database.labels
    found = evaluate(fitted.encode(dataset.query), fitted.encode(dataset.database), *labels).map
    chance = float((labels[0].astype(int) @ labels[1].T > 0).mean())
    assert found == pytest.approx(fitted.results["rounds"][0]["map"]) and found > chance + 0.35


class Interrupted(Exception):
    """Stands for a power cut, in the process of the test."""


def cut_in(monkeypatch, phase: str, round_: int, step: int) -> None:
    """The trainer raises when it would note that step of that phase."""
    from dseh_tf.training.trainer import Trainer

    record = Trainer._record

    def cut(self, what, done, *others) -> None:
        if (what.name, what.round) == (phase, round_) and done >= step:
            raise Interrupted
        record(self, what, done, *others)

    monkeypatch.setattr(Trainer, "_record", cut)


@pytest.mark.parametrize("phase", ["labnet", "imgnet"])
def test_interrupted_and_resumed(tmp_path, monkeypatch, whole, solutions, phase):
    """The codes are those of the checkpoint; they are not solved again."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training.trainer import Trainer

    runtime = Runtime(progress=False, checkpoints=tmp_path, checkpoint_steps=10)
    with monkeypatch.context() as patched:
        cut_in(patched, phase, 1, 18)
        with pytest.raises(Interrupted):
            fit(pictures(), runtime)
    assert len(solutions) == 1
    record, steps = Trainer._record, []
    monkeypatch.setattr(Trainer, "_record", lambda *given: (steps.append((given[1].name, given[2])), record(*given)))
    resumed = fit(pictures(), runtime)
    assert len(solutions) == 1
    assert steps[0] == (phase, 18)  # six steps at a time, after the checkpoint of step 12
    assert_same(resumed, whole, pictures().query)


def test_interrupted_on_two_replicas(tmp_path, monkeypatch):
    """Restored codes are on both: the second copy is no part of a checkpoint."""
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime

    def runtime(folder=None) -> Runtime:
        return Runtime(make_strategy("mirrored", 2), progress=False, checkpoints=folder, checkpoint_steps=10)

    expected = fit(features_and_labels(), runtime())
    with monkeypatch.context() as patched:
        cut_in(patched, "labnet", 0, 18)
        with pytest.raises(Interrupted):
            fit(features_and_labels(), runtime(tmp_path))
    assert_same(fit(features_and_labels(), runtime(tmp_path)), expected, features_and_labels().query)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 4])
def test_loss_trace_is_that_of_one_replica(whole, replicas):
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime

    several = fit(pictures(), Runtime(make_strategy("mirrored", replicas), progress=False))
    assert set(several.traces) == set(whole.traces)
    for term, values in whole.traces.items():
        np.testing.assert_allclose(several.traces[term], values, rtol=1e-4, err_msg=term)


def test_config_names_every_setting():
    """What a run folder keeps of the preset: plain values."""
    from dseh_tf.methods import METHODS

    found = asdict(METHODS["dseh"](BITS).settings)
    assert found["label_codes"] == "solved"
    assert all(isinstance(value, (int, float, str, bool, tuple)) for value in found.values())
