"""Batches as a pure function of (seed, phase, round, step)."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dseh_tf.errors import InputError


def _rows(**changes):
    from dseh_tf.training.batches import TrainingRows

    arrays = {"inputs": np.arange(40 * 2 * 3 * 3, dtype=np.uint8).reshape(40, 2, 3, 3), "labels": np.eye(40, dtype="f")}
    given = {"arrays": arrays, "batch_size": 8, "seed": 1, "phase": "imgnet", "round": 0, "flipped": {}}
    return TrainingRows(**{**given, **changes})


def _batches(tf, rows, first=0, last=6, replicas=1):
    context = tf.distribute.InputContext(num_input_pipelines=1, input_pipeline_id=0, num_replicas_in_sync=replicas)
    return [{k: v.numpy() for k, v in b.items()} for b in rows.dataset(context, first, last)]


def test_a_step_draws_rows_without_replacement_and_reads_them(tf):
    rows = _rows()
    batches = _batches(tf, rows)
    assert len(batches) == 6
    for batch in batches:
        assert len(set(batch["rows"])) == 8
        np.testing.assert_array_equal(batch["inputs"], rows.arrays["inputs"][batch["rows"]])
        np.testing.assert_array_equal(batch["labels"].argmax(1), batch["rows"])
    assert len({tuple(b["rows"]) for b in batches}) == 6
    drawn = np.concatenate([b["rows"] for b in _batches(tf, rows, last=500)])
    counts = np.bincount(drawn, minlength=40)  # 100 expected of each row, standard deviation below 9
    assert counts.min() > 60 and counts.max() < 140


def test_starting_later_continues_the_same_stream(tf):
    rows = _rows(flipped={"inputs": None})
    for late, early in zip(_batches(tf, rows, 3, 6), _batches(tf, rows)[3:], strict=True):
        for name in early:
            np.testing.assert_array_equal(late[name], early[name])


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_take_slices_of_the_global_batch(tf, replicas):
    rows = _rows(flipped={"inputs": None})
    shares = _batches(tf, rows, 0, 3, replicas)
    for step, whole in enumerate(_batches(tf, rows, 0, 3)):
        part = shares[step * replicas : (step + 1) * replicas]
        for name in whole:
            np.testing.assert_array_equal(np.concatenate([p[name] for p in part]), whole[name])


@pytest.mark.parametrize("permuted", [False, True])
def test_any_number_of_threads_reads_the_same_batches(tf, monkeypatch, permuted):
    """Slow and fast elements in turn, so that threads overtake each other."""
    from dseh_tf.training import batches

    rows = _rows(flipped={"inputs": None}, permuted=permuted)
    expected, read = _batches(tf, rows, 0, 30), batches._reader

    def slow(array):
        values = read(array)

        def of(rows):
            pause = tf.numpy_function(lambda r: time.sleep(0.002 * (r[0] % 3)) or r, [rows], rows.dtype)
            return values(tf.ensure_shape(pause, rows.shape))

        return of

    monkeypatch.setattr(batches, "_reader", slow)
    for threads in (1, 8):
        monkeypatch.setattr(batches, "_THREADS", threads)
        for found, batch in zip(_batches(tf, rows, 0, 30), expected, strict=True):
            for name in batch:
                np.testing.assert_array_equal(found[name], batch[name])


def test_streams_differ_by_seed_phase_and_round(tf):
    def first(**changes):
        return tuple(_batches(tf, _rows(**changes), 0, 1)[0]["rows"])

    assert len({first(), first(seed=2), first(phase="labnet"), first(round=1)}) == 4


def test_a_permutation_visits_each_row_once_an_epoch(tf):
    """40 rows in batches of 12: the last batch of an epoch has 4 new rows, and 8 of the first that do not count."""
    rows = _rows(batch_size=12, permuted=True, flipped={"inputs": None})
    assert rows.epoch_steps == 4 and _rows(batch_size=12).epoch_steps == 3 and _rows(permuted=True).epoch_steps == 5
    batches = _batches(tf, rows, 0, 12)
    orders = [np.concatenate([b["rows"] for b in batches[first : first + 4]]) for first in (0, 4, 8)]
    for order in orders:
        assert sorted(order[:40]) == list(range(40))
        np.testing.assert_array_equal(order[40:], order[:8])
    assert len({tuple(order) for order in orders}) == 3
    counted = np.concatenate([b["counted"] for b in batches]).reshape(3, 48)
    assert (counted[:, :40] == 1).all() and (counted[:, 40:] == 0).all()
    for late, early in zip(_batches(tf, rows, 5, 9), batches[5:9], strict=True):
        for name in early:
            np.testing.assert_array_equal(late[name], early[name])
    shares = _batches(tf, rows, 0, 4, replicas=4)
    for name in batches[3]:
        np.testing.assert_array_equal(np.concatenate([part[name] for part in shares[12:]]), batches[3][name])


@pytest.mark.parametrize("permuted", [False, True])
def test_batches_of_a_subset(tf, permuted):
    from dseh_tf.training.batches import resident

    subset = np.array([31, 2, 17, 8, 39, 0, 5, 22, 11, 12])
    whole = _rows()
    shared = {name: resident(array) for name, array in whole.arrays.items()}
    rows = _rows(arrays=shared, subset=subset, permuted=permuted, batch_size=5)
    assert rows.rows == 10 and rows.epoch_steps == 2
    batches = _batches(tf, rows, 0, 40)
    for batch in batches:
        np.testing.assert_array_equal(subset[batch["places"]], batch["rows"])
        np.testing.assert_array_equal(batch["inputs"], whole.arrays["inputs"][batch["rows"]])
        assert len(set(batch["rows"])) == 5
    assert {row for batch in batches for row in batch["rows"]} == set(subset)
    with pytest.raises(InputError, match="imgnet batch: found 11, expected at most the 10 training rows"):
        _rows(subset=subset, batch_size=11)


def test_mirrors_about_half_of_the_images(tf):
    rows = _rows(flipped={"inputs": None})
    mirrored = 0
    for batch in _batches(tf, rows, last=50):
        plain = rows.arrays["inputs"][batch["rows"]]
        for image, original in zip(batch["inputs"], plain, strict=True):
            assert np.array_equal(image, original) or np.array_equal(image, original[:, ::-1])
            mirrored += not np.array_equal(image, original)
    assert 150 < mirrored < 250  # of 400


def test_mirrored_features_come_from_their_twin(tf):
    plain = np.arange(40, dtype=np.float32)[:, None]
    rows = _rows(arrays={"inputs": plain}, flipped={"inputs": -plain - 1})
    values = np.concatenate([b["inputs"][:, 0] for b in _batches(tf, rows, last=20)])
    drawn = np.concatenate([b["rows"] for b in _batches(tf, rows, last=20)])
    assert set(values[values >= 0]) <= set(range(40)) and (values < 0).any()
    np.testing.assert_array_equal(np.where(values < 0, -values - 1, values), drawn)


def test_a_large_memory_map_is_read_by_rows(tf, tmp_path, monkeypatch):
    from dseh_tf.training import batches as input_pipeline

    rows = _rows(flipped={"inputs": None})
    np.save(tmp_path / "x.npy", rows.arrays["inputs"])
    monkeypatch.setattr(input_pipeline, "_TENSOR_BYTES", 1)
    mapped = _rows(
        arrays={**rows.arrays, "inputs": np.load(tmp_path / "x.npy", mmap_mode="r")}, flipped={"inputs": None}
    )
    for a, b in zip(_batches(tf, rows), _batches(tf, mapped), strict=True):
        np.testing.assert_array_equal(a["inputs"], b["inputs"])


def test_batches_that_do_not_fit(tf):
    for phase, setting in (("imgnet", "imgnet_batch"), ("labnet", "labnet_batch"), ("dpsh", "batch")):
        line = rf"{phase} batch: found 41, expected at most the 40 training rows \(--set={setting}=\.\.\.\)"
        with pytest.raises(InputError, match=line):
            _rows(batch_size=41, phase=phase)
    with pytest.raises(
        InputError, match=r"imgnet batch: found 8 rows for 3 replicas \(--replicas\), expected a multiple"
    ):
        _batches(tf, _rows(), replicas=3)
