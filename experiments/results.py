"""Writes the results of a fitted method to its run folder: codes, counts, features, traces, pictures, and result.json
last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data import RetrievalDataset
from dseh_tf.data.thumbnails import answer_sheet, pictures, thumbnails
from dseh_tf.devices.divided import evaluate_divided, evaluate_unseen_divided
from dseh_tf.devices.workers import ALONE, Workers
from dseh_tf.files import PARTIAL, write_json, write_npz
from dseh_tf.retrieval import (
    CodeHealth,
    CodesFile,
    Counts,
    Report,
    code_health,
    code_health_shards,
    evaluate,
    evaluate_shards,
    evaluate_unseen,
    evaluate_unseen_shards,
    pack,
    save_codes,
    save_counts,
)
from dseh_tf.retrieval.codes_file import FOLDER
from experiments import directions, health
from experiments.sharded import SHARD_ROWS, encode_in_shards

MAP_AT = (50, 1000, 5000)
PRECISION_AT = tuple(range(100, 1001, 100))
TIE_RULE = "expected over tied orders"  # of all numbers but map_stable_order: see retrieval/metrics.py
SAME = 1e-6  # two evaluations of the same codes differ by less, whatever machine they were made on
_PROJECTED_ROWS, _PROJECTED_SIZE = 500, 48  # pixels


def write_results(
    workdir: Path,
    config: Mapping[str, Any],
    dataset: RetrievalDataset,
    fitted: Any,
    seconds: Mapping[str, float],
    labels_only: bool,
    shard_rows: int | None = None,
    workers: Workers = ALONE,
) -> dict[str, Any]:
    """Encodes, evaluates and writes the run folder's files; returns result.json's content.

    result.json is written last, so that everything else is complete if it exists. A database of more than `shard_rows`
    rows is encoded and evaluated in shards, one in memory at a time; the numbers are the same. The workers of a run
    divide encoding and evaluation, without shards, and worker 0 writes; the others return when their part is done, with
    an empty result.
    """
    result: dict[str, Any] = {
        name: config[name] for name in ("dataset", "method", "bits", "preset", "seed") if name in config
    }
    measured = dict(getattr(fitted, "health", {}))
    told, counts, sheet = None, None, None
    shard_rows = SHARD_ROWS if shard_rows is None else shard_rows
    if not labels_only and workers.count == 1 and len(dataset.database) > shard_rows:
        found = _in_shards(workdir, config["bits"], dataset, fitted, shard_rows)
        counts, sheet, told = found.counts, found.sheet, found.told
        result, seconds, measured = result | found.result, {**seconds, **found.seconds}, measured | found.health
    elif not labels_only:
        start = time.perf_counter()
        query_codes = fitted.encode(dataset.query)
        database_codes = fitted.database_codes
        if database_codes is None:
            database_codes = fitted.encode(dataset.database)
        encoded = time.perf_counter()
        trained = dataset.database_is_train()
        partly = trained is not None and trained.any() and not trained.all()
        labels = dataset.query.labels, dataset.database.labels
        report, unseen = evaluate_unseen_divided(
            workers, query_codes, database_codes, *labels, trained if partly else None
        )
        result |= metrics(report, len(dataset.database), unseen)
        seconds = {**seconds, "encode_seconds": encoded - start, "evaluate_seconds": time.perf_counter() - encoded}
        if fitted.database_codes is not None:  # what learned codes are worth: the same database, encoded
            symmetric = fitted.encode(dataset.database)
            result["map_encoded_database"] = evaluate_divided(workers, query_codes, symmetric, *labels).map
        text_codes: dict[str, np.ndarray] = {}
        if "text" in getattr(fitted, "modalities", ()):
            text_codes = {part: fitted.encode(getattr(dataset, part), "text") for part in ("query", "database")}
        if not workers.chief:
            return {}
        if text_codes:
            codes = directions.Codes(query_codes, database_codes, text_codes["query"], text_codes["database"])
            result["directions"] = directions.measured(codes, dataset.query.labels, dataset.database.labels)
            result["random_order"] = directions.chance(dataset.query.labels, dataset.database.labels)
            measured["database_text"] = code_health(text_codes["database"], dataset.database.labels)
            told = directions.warning(codes, result["directions"])
        for name in (FOLDER, f"{PARTIAL}{FOLDER}"):  # of a run that was stopped, in shards
            shutil.rmtree(workdir / name, ignore_errors=True)
        save_codes(
            workdir / "codes.npz",
            query_codes=pack(query_codes),
            database_codes=pack(database_codes),
            query_labels=dataset.query.labels,
            database_labels=dataset.database.labels,
            query_ids=dataset.query.ids,
            database_ids=dataset.database.ids,
            bits=config["bits"],
            database_trained=trained,
            **{f"{part}_codes_text": pack(codes) for part, codes in text_codes.items()},
        )
        counts = report.counts
        save_counts(workdir / "counts.npz", counts)
        measured["database"] = code_health(database_codes, dataset.database.labels)
        if dataset.has_images:
            shown = thumbnails(dataset, query_codes, database_codes)
            sheet = answer_sheet(shown, dataset)
            write_npz(workdir / "thumbnails.npz", shown)
    if not workers.chief:
        return {}
    for name, arrays in fitted.arrays.items():
        write_npz(workdir / f"{name}.npz", arrays)
    if getattr(fitted, "encoder_file", ""):
        fitted.save(workdir / fitted.encoder_file)
    traces = getattr(fitted, "traces", {})
    if traces:
        write_npz(workdir / "losses.npz", traces)
    result |= fitted.results
    if measured:
        result["code_health"] = health.record(measured, getattr(fitted, "advice", ""))
    if told:
        health_of = result["code_health"]
        health_of["warning"] = "; ".join([*filter(None, [health_of.get("warning")]), told])
    result |= {"n_train": len(dataset.train), "n_query": len(dataset.query), "n_database": len(dataset.database)}
    result |= {name: round(value, 3) for name, value in seconds.items()}
    result["data"] = dataset.notes
    if dataset.class_names:
        result["class_names"] = list(dataset.class_names)
    _summaries(workdir, config, result, measured, counts, sheet)
    if "semantic_features" in fitted.arrays:
        _projector(workdir, dataset, fitted.arrays["semantic_features"])
    write_json(workdir / "result.json", result)
    if "warning" in result.get("code_health", {}):
        logging.warning("%s", result["code_health"]["warning"])
    print(summary(result))
    return result


@dataclass
class _Sharded:
    """What evaluating a database in shards found: parts of result.json and what TensorBoard shows."""

    counts: Counts
    result: dict[str, Any]
    seconds: dict[str, float]
    health: dict[str, CodeHealth]
    sheet: np.ndarray | None = None
    told: str | None = None


def _in_shards(workdir: Path, bits: int, dataset: RetrievalDataset, fitted: Any, shard_rows: int) -> _Sharded:
    """Encodes and evaluates in shards, and writes codes, counts and thumbnails."""
    start = time.perf_counter()
    codes = encode_in_shards(workdir, bits, dataset, fitted, shard_rows)
    encoded = time.perf_counter()
    report, unseen = reports_in_pieces(codes)
    numbers = metrics(report, len(dataset.database), unseen)
    times = {"encode_seconds": encoded - start, "evaluate_seconds": time.perf_counter() - encoded}
    shards = codes.pieces("database_codes", "database_labels")
    found = _Sharded(report.counts, numbers, times, {"database": code_health_shards(shards, bits)})
    if fitted.database_codes is not None:
        parts = (dataset.database.part(rows) for rows in _slices(len(dataset.database), shard_rows))
        symmetric = ((fitted.encode(part), part.labels) for part in parts)
        query = codes.query_codes, codes.query_labels
        numbers["map_encoded_database"] = evaluate_shards(*query, symmetric, bits).map
    if codes.query_codes_text is not None and codes.database_codes_text is not None:
        numbers["directions"] = directions.measured_in_pieces(codes)
        parts_of_labels = (labels for (labels,) in codes.pieces("database_labels"))
        numbers["random_order"] = directions.chance(codes.query_labels, parts_of_labels)
        texts = codes.pieces("database_codes_text", "database_labels")
        found.health["database_text"] = code_health_shards(texts, bits)
        every = directions.Codes(
            codes.query_codes, codes.database_codes, codes.query_codes_text, codes.database_codes_text
        )
        found.told = directions.warning(every, numbers["directions"])
    save_counts(workdir / "counts.npz", report.counts)
    if dataset.has_images:
        packed = (part for (part,) in codes.pieces("database_codes"))
        shown = thumbnails(dataset, codes.query_codes, packed, bits)
        found.sheet = answer_sheet(shown, dataset)
        write_npz(workdir / "thumbnails.npz", shown)
    return found


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, n)) for begin in range(0, n, size))


def reports_in_pieces(codes: CodesFile, rows: int | None = None) -> tuple[Report, Report | None]:
    """Like `reports`, with the database in pieces of `rows` rows (as `CodesFile.pieces`)."""
    trained, names, asked = (
        codes.database_trained,
        ("database_codes", "database_labels"),
        (codes.query_codes, codes.query_labels),
    )
    if trained is None or trained.all() or not trained.any():
        return evaluate_shards(*asked, codes.pieces(*names, rows=rows), codes.bits), None
    return evaluate_unseen_shards(*asked, codes.pieces(*names, "database_trained", rows=rows), codes.bits)


def reports(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    trained: np.ndarray | None,
    bits: int | None = None,
) -> tuple[Report, Report | None]:
    """The report on the whole database, and that on the rows that were not trained on.

    The second is None if `trained` (bool [n_database], or None if unknown) holds for every row or for none.
    """
    if trained is None or trained.all() or not trained.any():
        return evaluate(query_codes, database_codes, query_labels, database_labels, bits), None
    return evaluate_unseen(query_codes, database_codes, query_labels, database_labels, trained, bits)


def metrics(report: Report, database: int, unseen: Report | None = None) -> dict[str, Any]:
    """The numbers of result.json that are read off a report; `unseen`: as `reports` returns it."""
    found = {
        "map": report.map,
        "map_stable_order": report.map_stable_order,
        "map_at": {str(k): report.map_at(k) for k in MAP_AT if k <= database},
        "precision_at": {str(n): report.precision_at(n) for n in PRECISION_AT if n <= database},
        "queries_without_relevant": report.queries_without_relevant,
    }
    if unseen is not None:
        found |= {"map_unseen": unseen.map, "n_database_unseen": unseen.database_size}
    return found


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first number, code length or name that two records of one run do not share; empty if there is none.

    Numbers that only one of them has are not compared, nor is code health.
    """
    for name, value in now.items():
        if name not in before or name == "code_health":
            continue
        if isinstance(value, Mapping):
            told = difference(before[name], value)
            if told:
                return f"{name}.{told}"
        elif isinstance(value, str) or isinstance(before[name], str):
            if before[name] != value:
                return f"{name}: found {before[name]!r}, expected {value!r}"
        elif abs(before[name] - value) > SAME:
            return f"{name}: found {before[name]}, expected {value}"
    return ""


def summary(result: Mapping[str, Any]) -> str:
    """A few lines for people: what was run, and its numbers with their tie rule."""
    lines = [
        f"{result['method']} on {result['dataset']}, {result['bits']} bits"
        + (f", preset {result['preset']}" if "preset" in result else "")
        + f", seed {result['seed']}: {result['n_train']} train, {result['n_query']} query, {result['n_database']} database"
    ]
    if "map_labels" in result:
        lines.append(
            f"  labels   map_l {result['map_labels']:.4f} ({result['map_labels_database'].replace('_', ' ')}), "
            f"n_h {result['distinct_label_codes']} of {result['distinct_label_vectors']} label vectors"
        )
    if "map" in result:
        lines.append(
            f"  images   MAP {result['map']:.4f} ({TIE_RULE}), {result['map_stable_order']:.4f} (database order)"
        )
        if "map_encoded_database" in result:
            what = "with the database encoded by the network; the MAP above is that of the learned codes"
            lines.append(f"           MAP {result['map_encoded_database']:.4f} ({TIE_RULE}) {what}")
        if "map_unseen" in result:
            rows = f"the {result['n_database_unseen']:,} database rows that were not trained on"
            lines.append(f"           MAP {result['map_unseen']:.4f} ({TIE_RULE}) over {rows}")
        if result["map_at"]:
            shown = ", ".join(f"MAP@{k} {v:.4f}" for k, v in result["map_at"].items())
            lines.append(f"           {shown} ({TIE_RULE}; divided by the hits within)")
        if result["precision_at"]:
            few = [f"P@{n} {v:.4f}" for n, v in result["precision_at"].items() if n in ("100", "500", "1000")]
            lines.append(f"           {', '.join(few)} ({TIE_RULE})")
        if result["queries_without_relevant"]:
            lines.append(f"           {result['queries_without_relevant']} queries have no relevant item and count 0")
    lines += directions.lines(result)
    lines += health.lines(result.get("code_health", {}))
    timed = [
        f"{name.removesuffix('_seconds')} {value:.1f} s" for name, value in result.items() if name.endswith("_seconds")
    ]
    if timed:
        lines.append("  time     " + ", ".join(timed))
    return "\n".join(lines)


def _summaries(
    workdir: Path,
    config: Mapping[str, Any],
    result: Mapping[str, Any],
    measured: Mapping[str, CodeHealth],
    counts: Counts | None,
    sheet: np.ndarray | None,
) -> None:
    """For TensorBoard: hyper-parameters with their scores, the curve, the health of the database's codes, and a sheet of
    answers."""
    from dseh_tf.training.summaries import Summaries

    chosen = {name: config[name] for name in ("dataset", "method", "bits", "seed", "preset") if name in config}
    scores = {name: result[name] for name in ("map", "map_labels", "distinct_label_codes") if name in result}
    summaries = Summaries(workdir / "tensorboard")
    summaries.hparams({**config["settings"], **chosen}, scores)
    last = max(0, len(result.get("rounds", ())) - 1)
    if "database" in measured:
        summaries.scalars({f"health/database/{k}": v for k, v in measured["database"].scalars().items()}, last)
    if counts is not None:
        summaries.precision_recall("precision_recall", counts, last)
    if sheet is not None:
        summaries.picture("nearest", sheet, last)
    summaries.flush()


def _projector(workdir: Path, dataset: RetrievalDataset, features: Mapping[str, np.ndarray]) -> None:
    """The semantic features of some training rows, LabNet's and ImgNet's of the same ones, for TensorBoard's projector."""
    from dseh_tf.training.projector import write_projector

    train = dataset.train
    rows = np.unique(np.linspace(0, len(train) - 1, _PROJECTED_ROWS).astype(np.int64))
    names = dataset.class_names or [str(column) for column in range(train.classes)]
    labels = [", ".join(names[column] for column in np.flatnonzero(train.labels[row])) for row in rows]
    images = pictures(train, rows, _PROJECTED_SIZE) if train.images is not None else None
    shown = {name: values[rows] for name, values in features.items() if name != "train_ids"}
    write_projector(workdir / "tensorboard", shown, train.ids[rows].tolist(), labels, images)
