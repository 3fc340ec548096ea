"""The check of every export: the exported file, in its own runtime, is compared with the run's encoder on real
images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.data.pixels import image_batches
from dseh_tf.encoding import RunEncoder
from dseh_tf.errors import InputError
from dseh_tf.export.runtimes import Runner
from dseh_tf.retrieval import evaluate, load_codes, pack, sign

IMAGES = 512  # compared bit by bit
MAP_QUERIES, MAP_DATABASE = 500, 2000  # rows of the MAP of an encoder of lower precision, at most
BATCH, ALONE = 64, 64  # rows of a batch, and images that are encoded one by one too
NEAR_ZERO = 1e-4  # of the logits' deviation: float32 logits below may change sign
MAP_MOVES = 0.005
_WEIGHT_BYTES = {"litert_float16": 2, "litert_int8": 1}  # of the 4 of a float32
_FOLDED = 0.75  # of the weights' bytes that a file has at least: batch normalisation is folded into convolutions
DIFFERING = {"float32": 0.0, "litert_float16": 0.003, "litert_int8": 0.05}  # the largest share of bits


@dataclass(frozen=True)
class Rows:
    """Images of one size with labels: uint8 [n, height, width, 3] and uint8 [n, c]."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def evenly(split: Split, most: int, shape: tuple[int, int]) -> Rows:
    """At most `most` rows of a split, evenly spaced, as images of `shape`."""
    if split.images is None:
        raise InputError("check: found a data set without images, expected those of the run")
    part = split.take(np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(np.int64)))
    assert part.images is not None
    images = np.concatenate(list(image_batches(part.images, shape, BATCH)))
    return Rows(images, part.labels, part.ids)


def check(
    run: RunEncoder,
    dataset: RetrievalDataset,
    runner: Runner,
    encoder: str,
    shape: tuple[int, int],
    sizes: tuple[int, int],
) -> dict[str, Any]:
    """Compares an exported model with the run's encoder.

    Args:
        run: The run's encoder.
        dataset: The run's data, with images. Rows are taken from queries and database.
        runner: The exported model.
        encoder: The name of the encoder, which gives its precision.
        shape: (height, width) of the encoder's images.
        sizes: Bytes of the exported files, and of the weights as float32.

    Returns:
        The result, for `model.json`.

    Raises:
        InputError: The model fails: see "The check" in docs/export.md.
    """
    _file_holds_weights(encoder, *sizes)
    half = IMAGES // 2
    query = evenly(dataset.query, max(half, IMAGES - len(dataset.database)), shape)
    database = evenly(dataset.database, IMAGES - len(query.ids), shape)
    images = np.concatenate([query.images, database.images])
    expected = run.outputs(images)
    batched(runner, images[:BATCH], BATCH)  # TensorFlow traces and LiteRT allocates at the first batch
    start = time.perf_counter()
    codes, logits = batched(runner, images, BATCH)
    seconds = time.perf_counter() - start
    if not np.isfinite(logits).all():
        raise _failed(
            encoder, f"logits: found {np.size(logits) - np.isfinite(logits).sum()} that are not finite", "numbers"
        )
    if not np.array_equal(codes, pack(sign(logits))):
        raise _failed(encoder, "code: found bits that are not the signs of the logits", "the order of codes.npz")
    signs = expected >= 0
    constant, own = _constant(logits >= 0), _constant(signs)
    if (constant & ~own).any():
        raise _failed(
            encoder, f"logits: found a constant bit {int((constant & ~own).argmax())}", "both signs, as in the run"
        )
    alone, _ = batched(runner, images[:ALONE], 1)
    near = NEAR_ZERO * float(expected.std())
    clear = np.abs(expected) > near
    apart = (_bits(alone, run.bits) != _bits(codes[:ALONE], run.bits)) & (np.abs(logits[:ALONE]) > near)
    if apart.any():
        raise _failed(
            encoder, f"batch 1: found {int(apart.sum())} bits that differ from those at batch {BATCH}", "none"
        )
    differ = (logits >= 0) != signs
    result: dict[str, Any] = {
        "images": len(images),
        "bits_differ": float(differ.mean()),
        "codes_differ": float(differ.any(axis=1).mean()),
        "largest_logit_that_changed_sign": float(np.abs(expected[differ]).max(initial=0)),
        "logit_deviation": float(expected.std()),
        "logit_error": float(np.abs(logits - expected).max()),
        "constant_bits": int(constant.sum()),
        "milliseconds_an_image": round(1000 * seconds / len(images), 3),
    }
    if encoder == "float32":
        if (differ & clear).any():
            count = int((differ & clear).sum())
            raise _failed(encoder, f"codes: found {count} other bits where |logit| > {near:.3g}", "the run's")
    elif differ.mean() > DIFFERING[encoder]:
        raise _failed(encoder, f"codes: found {differ.mean():.2%} other bits", f"at most {DIFFERING[encoder]:.1%}")
    result |= _as_stored(run, query, signs[: len(query.ids)])
    if encoder != "float32":
        result["map"] = numbers = compare_map(run, dataset, runner, shape)
        if encoder == "litert_int8":
            for name in ("alone", "float32_database"):
                if abs(numbers[name] - numbers["float32"]) > MAP_MOVES:
                    found = f"MAP, {name}: found {numbers[name]:.4f}"
                    raise _failed(encoder, found, f"{numbers['float32']:.4f} of float32 within {MAP_MOVES}")
    return result


def batched(runner: Runner, images: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed codes and logits of all images, `size` at a time."""
    parts = [runner(images[first : first + size]) for first in range(0, len(images), size)]
    codes, logits = zip(*parts, strict=True)
    return np.concatenate(codes), np.concatenate(logits)


def compare_map(run: RunEncoder, dataset: RetrievalDataset, runner: Runner, shape: tuple[int, int]) -> dict[str, Any]:
    """MAP of the run's encoder, of the exported one alone, and of its queries in a database of the run's encoder.

    Both encode the same rows: at most `MAP_QUERIES` queries and `MAP_DATABASE` rows of the database, evenly spaced.
    """
    query, database = evenly(dataset.query, MAP_QUERIES, shape), evenly(dataset.database, MAP_DATABASE, shape)
    own = [pack(sign(run.outputs(rows.images))) for rows in (query, database)]
    exported = [batched(runner, rows.images, BATCH)[0] for rows in (query, database)]

    def value(queries: np.ndarray, codes: np.ndarray) -> float:
        report = evaluate(queries, codes, query.labels, database.labels, bits=run.bits)
        return float(report.map)

    return {
        "queries": len(query.ids),
        "database": len(database.ids),
        "float32": value(*own),
        "alone": value(*exported),
        "float32_database": value(exported[0], own[1]),
    }


def _file_holds_weights(encoder: str, found: int, weights: int) -> None:
    least = int(_FOLDED * weights * _WEIGHT_BYTES.get(encoder, 4) / 4)
    if found < least:
        raise _failed(encoder, f"file: found {found:,} bytes", f"at least {least:,} of its weights")


def _as_stored(run: RunEncoder, query: Rows, signs: np.ndarray) -> dict[str, Any]:
    """How many bits of the queries in codes.npz differ from what the run's encoder gives now."""
    if run.codes_file is None or not Path(run.codes_file).is_file():
        return {}
    stored = load_codes(run.codes_file, run.bits)
    place = {name: row for row, name in enumerate(stored.query_ids.tolist())}
    known = [row for row, name in enumerate(query.ids.tolist()) if name in place]
    if not known:
        return {}
    rows = [place[query.ids[row]] for row in known]
    differ = _bits(stored.query_codes[rows], run.bits) != signs[known]
    return {"stored_queries": len(known), "bits_that_differ_from_codes_npz": float(differ.mean())}


def _bits(codes: np.ndarray, bits: int) -> np.ndarray:
    return np.unpackbits(codes, axis=1, count=bits, bitorder="little").astype(bool)


def _constant(signs: np.ndarray) -> np.ndarray:
    ones: np.ndarray = signs.sum(axis=0)
    return np.isin(ones, (0, len(signs)))


def _failed(encoder: str, found: str, expected: str) -> InputError:
    return InputError(f"check of the export: {encoder}: {found}, expected {expected}; the model was not kept")
