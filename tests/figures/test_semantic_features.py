"""Fig. 5 and the training curves."""

import numpy as np
import pytest

from dseh_tf.errors import InputError
from figures import semantic_features, training_curves
from figures.runs import read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run


def test_principal_components_equal_the_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(150, 20)) * np.linspace(3, 1, 20)
    rows = np.array([3, 77, 10])
    found = semantic_features.principal_components(features, rows)
    centred = features - features.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    expected = centred[rows] @ vectors[:, np.argsort(values)[::-1]]
    assert found.shape == (3, 20)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-8)  # the sign of a component is free


def test_components_without_variance_are_left_out():
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(200, 4)) @ rng.normal(size=(4, 30))).astype(np.float32)
    assert semantic_features.principal_components(features, np.arange(100)).shape == (100, 4)


def test_sampled_rows_are_fixed_and_sorted_by_label():
    labels = WORLD.labels("database")
    rows = semantic_features.sample_rows(len(labels), labels)
    assert len(set(rows)) == 100 and (rows == semantic_features.sample_rows(len(labels), labels)).all()
    as_numbers = ["".join(map(str, labels[row])) for row in rows]
    assert as_numbers == sorted(as_numbers, reverse=True)
    assert semantic_features.sample_rows(30, None).tolist() == list(range(30))


def test_training_labels_are_found_by_id(runs_root):
    run = read_runs(runs_root / "digits-dseh-12-0").runs[0]
    ids = np.array(["database/00007", "database/00002"])
    assert (semantic_features.training_labels(run, ids) == WORLD.labels("database")[[7, 2]]).all()
    assert semantic_features.training_labels(run, np.array(["elsewhere"])) is None


def test_draws_one_or_two_maps(runs_root, tmp_path):
    runs = read_runs(runs_root)
    both = semantic_features.draw(runs.of(dataset="nus_wide_21", method="dseh"), tmp_path)
    assert [path.suffix for path in both] == [".png", ".pdf"] and all(path.stat().st_size > 1000 for path in both)
    assert len(semantic_features.draw(runs.of(dataset="ms_coco"), tmp_path)) == 2
    assert semantic_features.draw(runs.of(method="itq"), tmp_path) == []


def test_features_that_do_not_fit_are_named(tmp_path):
    write_run(tmp_path / "r", WORLD, "dseh", 16)
    path = tmp_path / "r" / "semantic_features.npz"
    np.savez(path, labnet=np.zeros((5, 8), np.float16), train_ids=np.array(["a"]))
    with pytest.raises(InputError, match=r"semantic_features.npz: labnet: found \[5, 8\]"):
        semantic_features.draw(read_runs(tmp_path), tmp_path)
    np.savez(path, labnet=np.full((1, 8), np.nan, np.float16), train_ids=np.array(["a"]))
    with pytest.raises(InputError, match="found NaN"):
        semantic_features.draw(read_runs(tmp_path), tmp_path)


def test_running_mean_is_centred():
    trace = np.array([1.0, 5.0, 3.0, 7.0])
    np.testing.assert_allclose(training_curves.running_mean(trace, 3), [3, 3, 5, 5])
    np.testing.assert_allclose(training_curves.running_mean(trace, 1), trace)


def test_phases_and_rounds_in_order(runs_root, tmp_path):
    run = read_runs(runs_root / "digits-dseh-12-0").runs[0]
    found = training_curves.phases(run)
    assert set(found) == {"labnet", "imgnet"} and list(found["labnet"]) == [0, 1]
    assert "total" in found["imgnet"][1]
    paths = training_curves.draw_run(run, tmp_path, "title")
    assert [path.suffix for path in paths] == [".png", ".pdf"]


def test_a_trace_of_another_name_is_told(tmp_path):
    write_run(tmp_path / "r", WORLD, "dseh", 16)
    np.savez(tmp_path / "r" / "losses.npz", total=np.ones(4))
    with pytest.raises(InputError, match=r"losses\.npz: found total"):
        training_curves.draw(read_runs(tmp_path), tmp_path)
