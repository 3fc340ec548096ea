"""Checks the array files of a run before figures are drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dseh_tf.errors import InputError
from dseh_tf.retrieval import codes_path, evaluate_shards, load_codes

if TYPE_CHECKING:
    from dseh_tf.runs.read import Run

NETWORKS = {"labnet": "LabNet", "imgnet": "ImgNet"}
_COUNTED_QUERIES = 32  # are compared with counts.npz; all of them would be the evaluation once more


def codes(run: Run) -> None:
    """Checks that codes.npz, or the folder codes/, is complete and belongs to the same run as counts.npz."""
    path = codes_path(run.folder)
    stored = load_codes(path, run.bits)
    if not run.has_ranking:
        return
    rows = np.unique(np.linspace(0, len(stored.query_codes) - 1, _COUNTED_QUERIES).astype(int))
    queries, labels = stored.query_codes[rows], stored.query_labels[rows]
    shards = stored.pieces("database_codes", "database_labels")
    found = evaluate_shards(queries, labels, shards, stored.bits).counts
    for name in ("total", "relevant"):
        if not np.array_equal(getattr(found, name), getattr(run.counts, name)[rows]):
            raise InputError(
                f"{path}: found codes or labels of a different run, expected those that counts.npz was computed from"
            )


def semantic_features(run: Run) -> dict[str, np.ndarray]:
    """The arrays of semantic_features.npz: a row a training id, each value finite."""
    path, stored = run.folder / "semantic_features.npz", run.arrays("semantic_features")
    ids = stored.get("train_ids")
    if ids is not None and (ids.ndim != 1 or ids.dtype.kind != "U" or not len(ids)):
        raise InputError(f"{path}: train_ids: found {ids.dtype} {list(ids.shape)}, expected text [n]")
    for name in NETWORKS:
        if name not in stored:
            continue
        features = stored[name]
        if ids is None or features.ndim != 2 or len(features) != len(ids) or not features.shape[1]:
            raise InputError(f"{path}: {name}: found {list(features.shape)}, expected one row per training id")
        if features.dtype.kind != "f" or not np.isfinite(features).all():
            found = "NaN or infinity" if features.dtype.kind == "f" else str(features.dtype)
            raise InputError(f"{path}: {name}: found {found}, expected numbers")
    return stored


def losses(run: Run) -> dict[tuple[str, int, str], np.ndarray]:
    """The traces of losses.npz by phase, round and term."""
    found = {}
    for name, trace in run.arrays("losses").items():
        parts = name.split("/")
        if len(parts) != 3 or not parts[1].isdecimal() or trace.ndim != 1 or trace.dtype.kind not in "fiu":
            raise InputError(
                f"{run.folder / 'losses.npz'}: found {name} {list(trace.shape)}, expected <phase>/<round>/<term>, one value "
                "per step"
            )
        found[parts[0], int(parts[1]), parts[2]] = trace
    return found


def thumbnails(run: Run) -> dict[str, np.ndarray]:
    """The arrays of thumbnails.npz: ids and RGB images of queries [q] and of the answers of each [q, a]."""
    names = ("query_ids", "query_images", "database_ids", "database_images")
    stored = run.arrays("thumbnails", names)
    for part, dimensions in (("query", 1), ("database", 2)):
        ids, images = stored[f"{part}_ids"], stored[f"{part}_images"]
        fits = images.dtype == np.uint8 and images.shape[:-3] == ids.shape and images.shape[-1:] == (3,) and images.size
        if ids.ndim != dimensions or ids.dtype.kind != "U" or not fits or len(ids) != len(stored["query_ids"]):
            raise InputError(
                f"{run.folder / 'thumbnails.npz'}: {part}_images: found {images.dtype} {list(images.shape)} for ids "
                f"{list(ids.shape)}, expected an RGB image of uint8 for each id"
            )
    return stored


CHECKS: dict[str, Callable[[Run], object]] = {
    "codes": codes,
    "semantic_features": semantic_features,
    "losses": losses,
    "thumbnails": thumbnails,
}
