"""The check of an export, with models that are wrong in one way each; no network is needed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.export import check
from dseh_tf.retrieval import evaluate, pack, save_codes, sign
from tests.export.runs import SHAPE, dataset, shallow_run

DATA = dataset(*SHAPE)


@pytest.fixture
def run(tmp_path):
    return shallow_run(tmp_path / "run")


def runner(run, change=lambda logits: logits):
    """The run's own encoder as an exported model, with another value of its logits."""

    def encode(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = change(run.outputs(images).astype(np.float32))
        return pack(sign(np.nan_to_num(logits))), logits

    return encode


def checked(run, model, encoder="float32", sizes=(100, 100)):
    return check.check(run, DATA, model, encoder, SHAPE, sizes)


def set_bit(value):
    def change(logits: np.ndarray) -> np.ndarray:
        logits[:, 3] = value
        return logits

    return change


def test_a_model_that_is_right(run):
    found = checked(run, runner(run))
    assert found["images"] == 56 and found["bits_differ"] == found["codes_differ"] == 0
    assert found["logit_error"] < 1e-5 and found["milliseconds_an_image"] >= 0
    assert "map" not in found and "stored_queries" not in found
    json.dumps(found)


def test_bits_that_may_differ(run):
    """Of float32 those of logits near zero alone: here all logits are moved by less than that."""
    logits = run.outputs(np.concatenate([DATA.query.images.array, DATA.database.images.array]))
    smallest = np.abs(logits).min()
    shift = float(smallest * 1.01)
    before = check.NEAR_ZERO
    found = None
    try:
        check.NEAR_ZERO = float(smallest * 1.001 / logits.std())
        sign_of_it = -np.sign(logits.flat[np.abs(logits).argmin()])
        found = checked(run, runner(run, lambda x: (x + sign_of_it * shift).astype(np.float32)))
    finally:
        check.NEAR_ZERO = before
    assert found["bits_differ"] * logits.size == pytest.approx(1)
    assert found["codes_differ"] == pytest.approx(1 / len(logits))
    assert found["largest_logit_that_changed_sign"] == pytest.approx(smallest)
    with pytest.raises(InputError, match=r"codes: found 1 other bits where \|logit\| >"):
        checked(run, runner(run, lambda x: (x + sign_of_it * shift).astype(np.float32)))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (set_bit(np.nan), "logits: found 56 that are not finite, expected numbers"),
        (set_bit(np.inf), "logits: found 56 that are not finite"),
        (set_bit(5.0), "logits: found a constant bit 3, expected both signs, as in the run"),
        (lambda x: -x, "codes: found 672 other bits where"),
        (lambda x: x[:, ::-1].copy(), r"codes: found \d+ other bits where"),
        (lambda x: x + (1.0 if len(x) == 1 else 0), r"batch 1: found \d+ bits that differ from those at batch 64"),
    ],
)
def test_models_that_are_refused(run, change, line):
    with pytest.raises(InputError, match=f"check of the export: float32: {line}") as caught:
        checked(run, runner(run, change))
    assert str(caught.value).endswith("the model was not kept") and "\n" not in str(caught.value)


def test_codes_in_another_bit_order(run):
    def model(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = run.outputs(images).astype(np.float32)
        return np.packbits(logits >= 0, axis=1), logits  # numpy's own order: the first bit is the highest

    with pytest.raises(
        InputError, match=r"code: found bits that are not the signs of the logits, expected the order of"
    ):
        checked(run, model)


@pytest.mark.parametrize(("encoder", "least"), [("float32", 750), ("litert_float16", 375), ("litert_int8", 187)])
def test_a_file_without_its_weights(run, monkeypatch, encoder, least):
    """Of 1,000 bytes of weights a quarter may have been folded into others."""
    monkeypatch.setattr(check, "MAP_MOVES", 1.0)
    checked(run, runner(run), encoder, (least, 1000))
    with pytest.raises(InputError, match=f"{encoder}: file: found {least - 1} bytes, expected at least {least} of its"):
        checked(run, runner(run), encoder, (least - 1, 1000))


@pytest.mark.parametrize(
    ("encoder", "most", "bits"), [("litert_float16", "0.3%", (2, 3)), ("litert_int8", "5.0%", (33, 34))]
)
def test_shares_of_bits_by_precision(run, encoder, most, bits):
    """Of 672 bits 2 are under .3 % and 33 under 5 %, one more is above; which ones depends on the image alone."""
    images = np.concatenate([DATA.query.images.array, DATA.database.images.array])
    known = {image.tobytes(): row for row, image in enumerate(images)}
    found = []
    for count in bits:
        wrong = np.zeros(672, bool)
        wrong[np.arange(count) * (672 // count)] = True
        wrong = wrong.reshape(56, 12)

        def model(batch: np.ndarray, wrong: np.ndarray = wrong) -> tuple[np.ndarray, np.ndarray]:
            rows = [known[image.tobytes()] for image in batch]
            logits = run.outputs(batch).astype(np.float32) * np.where(wrong[rows], -1, 1)
            return pack(sign(logits)), logits

        found.append(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "MAP_MOVES", 1.0)
        assert checked(run, found[0], encoder)["bits_differ"] == pytest.approx(bits[0] / 672)
        with pytest.raises(
            InputError, match=rf"{encoder}: codes: found {bits[1] / 672:.2%} other bits, expected at most {most}"
        ):
            checked(run, found[1], encoder)


def test_map_of_an_int8_encoder(run, monkeypatch):
    """Against `evaluate` on the same codes; a bit that no longer means anything moves MAP too far."""

    def change(logits: np.ndarray) -> np.ndarray:
        logits[:, 0] *= np.where(logits[:, 1] >= 0, 1, -1)
        return logits

    numbers = check.compare_map(run, DATA, runner(run, change), SHAPE)
    codes = {part: run.outputs(getattr(DATA, part).images.array) for part in ("query", "database")}
    labels = DATA.query.labels, DATA.database.labels
    moved = {part: change(x.copy()) for part, x in codes.items()}
    for name, query, database in (
        ("float32", codes["query"], codes["database"]),
        ("alone", moved["query"], moved["database"]),
        ("float32_database", moved["query"], codes["database"]),
    ):
        expected = evaluate(pack(sign(query)), pack(sign(database)), *labels, bits=12).map
        assert numbers[name] == pytest.approx(expected, abs=1e-12)
    assert numbers["queries"] == 16 and numbers["database"] == 40
    assert len({numbers[name] for name in ("float32", "alone", "float32_database")}) == 3
    monkeypatch.setitem(check.DIFFERING, "litert_int8", 1.0)
    with pytest.raises(
        InputError, match=r"litert_int8: MAP, alone: found 0\.\d{4}, expected 0\.\d{4} of float32 within"
    ):
        checked(run, runner(run, change), "litert_int8")


def test_codes_that_the_run_stored(run, tmp_path):
    """One bit of one query of the four that the file has."""
    signs = sign(run.outputs(DATA.query.images.array))
    signs[2, 5] *= -1
    save_codes(
        tmp_path / "codes.npz",
        query_codes=signs[:4],
        database_codes=signs[:4],
        query_labels=np.ones((4, 1), np.uint8),
        database_labels=np.ones((4, 1), np.uint8),
        query_ids=DATA.query.ids[:4],
        database_ids=DATA.query.ids[:4],
        bits=12,
    )
    run.codes_file = tmp_path / "codes.npz"
    found = checked(run, runner(run))
    assert found["stored_queries"] == 4
    assert found["bits_that_differ_from_codes_npz"] == pytest.approx(1 / 48)


def test_rows_are_spread_over_a_split():
    rows = check.evenly(DATA.database, 3, (4, 4))
    assert rows.ids.tolist() == DATA.database.ids[[0, 20, 39]].tolist() and rows.images.shape == (3, 4, 4, 3)
    assert len(check.evenly(DATA.query, 100, SHAPE).ids) == 16
