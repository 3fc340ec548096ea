"""What DSEH hands to the trainer: rates, groups of variables, mirrored rows; and what its reports and banks read."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.errors import InputError
from tests.models.matconvnet_files import save, small_cnn_f

SMALL = {"labnet_batch": 4, "imgnet_batch": 4, "labnet_width": 16, "feature_dim": 8}


@pytest.fixture
def made(tf):
    """made(dataset, **settings): DSEH before its first step."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH

    def make(dataset, **options):
        method = DSEH(8, **{**SMALL, **options})
        return method.recipe(dataset, Runtime(progress=False))

    return make


@pytest.fixture
def features(rng) -> RetrievalDataset:
    x, labels = rng.normal(size=(12, 6)).astype(np.float32), np.eye(3, dtype=np.uint8)[np.arange(12) % 3]
    return RetrievalDataset.from_arrays((x, labels), (x[:3], labels[:3]))


@pytest.fixture
def photographs(rng) -> RetrievalDataset:
    x = rng.integers(0, 256, (8, 95, 95, 3)).astype(np.uint8)
    labels = np.eye(4, dtype=np.uint8)[np.arange(8) % 4]
    return RetrievalDataset.from_arrays((x, labels), (x[:4], labels[:4]))


@pytest.fixture
def cnn_f(tmp_path, rng):
    from dseh_tf.methods.image_encoder import Trunk

    path = save(tmp_path / "net.mat", small_cnn_f(rng, fc6=2, filters=4), 117.0)
    return Trunk("cnn_f", 95, train=True, weights=str(path))


@pytest.mark.parametrize(
    ("preset", "row", "labnet", "imgnet"),
    [
        ("release", "nus_wide", 10**-3, 10**-4),
        ("release", "ms_coco", 10**-3, 10**-3.5),
        ("release", "imagenet", 10**-3, 10**-4.5),
        ("paper", "nus_wide", 10**-1, 10**-2),
    ],
)
def test_rates_fall_with_epochs_and_rounds(made, photographs, cnn_f, preset, row, labnet, imgnet):
    training = made(photographs, preset=preset, preset_dataset=row, trunk=cnn_f)
    every = {"release": 10, "paper": 20}[preset]
    for round_ in range(3):
        phases = training.labnet_phase(round_), training.imgnet_phase(round_)
        for phase, first in zip(phases, (labnet, imgnet), strict=True):
            for epoch in (0, 9, 10, 19, 20, 39):
                expected = first * 10 ** (-0.5 * (epoch // every + round_))
                assert phase.learning_rate(epoch) == pytest.approx(expected, rel=1e-12), (phase.name, round_, epoch)


@pytest.mark.parametrize(
    ("preset", "row", "multiplier", "labnet", "imgnet"),
    [
        ("release", "nus_wide", 0.1, (1.0, 0.0), 0.0),
        ("release", "imagenet", 1.0, (1.0, 0.0), 1.0),
        ("paper", "nus_wide", 0.1, (0.0, 1.0), 0.0),
    ],
)
def test_groups_of_variables(made, photographs, cnn_f, preset, row, multiplier, labnet, imgnet):
    """LabNet's in one, ImgNet's new and pretrained ones apart; each variable in one."""
    training = made(photographs, preset=preset, preset_dataset=row, trunk=cnn_f)
    (group,) = training.labnet_phase(0).groups
    assert (group.multiplier, group.clip, group.clip_norm) == (1.0, *labnet)
    assert {id(v) for v in group.variables} == {id(v) for v in training.labnet.network.trainable_variables}
    new, pretrained = training.imgnet_phase(0).groups
    assert [g.multiplier for g in (new, pretrained)] == [1.0, multiplier]
    assert [(g.clip, g.clip_norm) for g in (new, pretrained)] == [(imgnet, 0.0)] * 2
    assert [len(g.variables) for g in (new, pretrained)] == [4, 14]
    assert {id(v) for g in (new, pretrained) for v in g.variables} == {
        id(v) for v in training.imgnet.network.trainable_variables
    }
    for g in (group, new, pretrained):
        assert type(g.optimizer).__name__ == {"release": "OnePassAdam", "paper": "SGD"}[preset]
        assert preset == "release" or g.optimizer.momentum == 0.9


def test_epochs_are_the_rounds(made, features):
    training = made(features, labnet_epochs=(5, 3), imgnet_epochs=(2, 4))
    assert [training.labnet_phase(r).epochs for r in (0, 1)] == [5, 3]
    assert [training.imgnet_phase(r).epochs for r in (0, 1)] == [2, 4]


def test_mirrored_rows_are_drawn(tf, made, rng, features, photographs, cnn_f):
    from dataclasses import replace

    assert made(features).imgnet_phase(0).rows.flipped == {}
    twins = replace(features, train=replace(features.train, flipped_features=-features.train.features))
    phase = made(twins).imgnet_phase(0)
    drawn = next(iter(phase.rows.dataset(tf.distribute.InputContext(), 0, 1)))
    signs = (drawn["inputs"] / tf.gather(twins.train.features, drawn["rows"])).numpy()
    assert set(signs.round(4).ravel()) <= {-1.0, 1.0}
    np.testing.assert_array_equal(phase.rows.flipped["inputs"], -features.train.features)
    assert made(photographs, trunk=cnn_f).imgnet_phase(0).rows.flipped == {"inputs": None}
    assert made(photographs, trunk=replace(cnn_f, mirror=False)).imgnet_phase(0).rows.flipped == {}
    assert made(twins).labnet_phase(0).rows.flipped == {}


def test_map_l_leaves_training_rows_out(made, rng):
    """The database of Table 2: the rows that are not trained on, unless there is none."""
    from dseh_tf.retrieval import evaluate

    labels = (rng.random((40, 5)) < 0.4).astype(np.uint8)
    ids = np.array([f"i{i}" for i in range(40)])
    parts = {"train": slice(0, 16), "query": slice(32, 40), "database": slice(0, 32)}
    dataset = RetrievalDataset("x", **{part: Split(ids[rows], labels[rows]) for part, rows in parts.items()})
    training = made(dataset, phases="labnet", labnet_weight_size=0.4)
    found = training.reports.label_numbers()
    codes = training.reports._label_codes(labels)
    expected = evaluate(codes[32:], codes[16:32], labels[32:], labels[16:32]).map
    whole = evaluate(codes[32:], codes[:32], labels[32:], labels[:32]).map
    assert found["map_labels"] == pytest.approx(expected, abs=1e-12) and abs(expected - whole) > 1e-3
    assert found["map_labels_database"] == "database_minus_train"
    assert found["distinct_label_codes"] == len({tuple(code) for code in codes[:16].tolist()})
    assert found["distinct_label_vectors"] == len({tuple(row) for row in labels[:16].tolist()})


def test_clean_passes_over_distinct_label_vectors(made, rng):
    labels = (rng.random((60, 4)) < 0.4).astype(np.uint8)
    dataset = RetrievalDataset.from_arrays((None, labels), (None, labels[:8]))
    training = made(dataset, preset="release", phases="labnet", labnet_weight_size=0.4)
    assert len(training.distinct.vectors) < 20
    plain = training.labnet.network(labels.astype(np.float32), training=False)
    found, index = training.reports.label_outputs(), training.distinct.index
    np.testing.assert_allclose(found.features[index], plain["feature"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.activations[index], plain["code"], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(training.reports._label_codes(labels), np.where(plain["code"].numpy() >= 0, 1, -1))


def test_banks_from_images_without_their_mean(made, photographs, cnn_f):
    """The release's slip: the images keep the mean that training takes off; asked for nowhere else."""
    pixels = photographs.train.images
    images = np.stack([pixels.read(i) for i in range(len(pixels))]).astype(np.float32)
    right, slip = (
        made(photographs, preset="release", trunk=cnn_f, bank_reinit_mean_subtract=value) for value in (True, False)
    )
    plain = right.imgnet.network(images, training=False)
    raised = slip.imgnet.network(images + 117.0, training=False)
    for training, expected in ((right, plain), (slip, raised)):
        training.open_round(1)
        np.testing.assert_allclose(training.memory.features, expected["feature"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(training.memory.codes, np.where(expected["logits"].numpy() >= 0, 1, -1))
    np.testing.assert_allclose(slip.imgnet.outputs().activations, plain["logits"], rtol=1e-4, atol=1e-5)
    assert not np.allclose(plain["logits"], raised["logits"], rtol=1e-2)


def test_a_mean_that_nothing_subtracts(made, features):
    with pytest.raises(
        InputError, match=r"bank_reinit_mean_subtract: found False, but this trunk subtracts no mean image"
    ):
        made(features, bank_reinit_mean_subtract=False)
