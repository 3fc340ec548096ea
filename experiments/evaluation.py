"""Recomputes the numbers of a run folder from its codes, and compares them with result.json. Does not import
TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.retrieval import code_health_shards, codes_path, has_codes
from dseh_tf.runs import open_run, schema
from experiments import directions, health
from experiments.results import difference, metrics, reports_in_pieces, summary


def print_report(workdir: Path, shard_rows: int | None = None) -> None:
    """Prints the numbers of a run folder, with the database in pieces of `shard_rows` rows (as `CodesFile.pieces`).

    Raises InputError if a file is damaged, or two files are of different runs.
    """
    run = open_run(workdir, ("dataset", "method", "seed"), (*schema.KEYS, "map"))
    config, before = run.config, run.result
    if config.get("phases") == "labnet" and not has_codes(workdir):
        raise InputError(f"{workdir}: found a run on labels alone, expected one with codes.npz")
    codes = run.codes
    found, unseen = reports_in_pieces(codes, shard_rows)
    sizes = {"n_query": len(codes.query_ids), "n_database": len(codes.database_ids)}
    known: dict[str, Any] = {name: config[name] for name in ("dataset", "method", "preset", "seed") if name in config}
    numbers = metrics(found, sizes["n_database"], unseen)
    query_texts, database_texts = codes.query_codes_text, codes.database_codes_text
    if query_texts is not None and database_texts is not None:
        numbers["directions"] = directions.measured_in_pieces(codes, shard_rows)
        parts = (labels for (labels,) in codes.pieces("database_labels", rows=shard_rows))
        numbers["random_order"] = directions.chance(codes.query_labels, parts)
    shards = codes.pieces("database_codes", "database_labels", rows=shard_rows)
    measured = health.record({"database": code_health_shards(shards, codes.bits)})
    stored = before.get("code_health")
    numbers["code_health"] = {**stored, "database": measured["database"]} if stored else measured
    print(summary({**before, **known, "bits": codes.bits, **sizes, "n_train": before.get("n_train", "?"), **numbers}))
    recall, precision = found.precision_recall()
    print("  radius   recall  precision")
    for radius, (r, p) in enumerate(zip(recall, precision, strict=True)):
        print(f"  {radius:6d}   {r:.4f}  {p:.4f}" if p == p else f"  {radius:6d}   {r:.4f}  nothing retrieved")
    told = difference(before, {**known, "bits": codes.bits, **sizes, **numbers})
    if told:
        raise InputError(
            f"{workdir / 'result.json'}: {told} as in {codes_path(workdir).name} and config.json; the files are from different runs"
        )
